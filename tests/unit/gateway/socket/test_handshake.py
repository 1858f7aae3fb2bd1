import msgspec
import pytest

from gateway.socket.handshake import Refused, check_upgrade, chosen_protocol, first_frame
from schemas.ids import Position


def upgrade(*, offered=("headrace.v1",), origins=(), host="chat.example", allowed=()):
    check_upgrade(offered=offered, origins=origins, host=host, allowed_origins=allowed)


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ((), ()),
        (("https://chat.example",), ()),
        (("https://CHAT.example",), ()),
        (("https://app.example",), ("https://app.example",)),
        (("https://App.Example",), ("https://app.example",)),
    ],
)
def test_own_listed_and_absent_origins_may_connect(origins, allowed):
    upgrade(origins=origins, allowed=allowed)


@pytest.mark.parametrize(
    ("origins", "host"),
    [
        (("https://evil.example",), "chat.example"),
        (("null",), "chat.example"),
        (("",), ""),
        (("https://chat.example.evil.example",), "chat.example"),
        (("https://chat.example:8443",), "chat.example"),
        (("https://[",), "chat.example"),
        (("https://chat.example", "https://evil.example"), "chat.example"),
        (("https://chat.example",), None),
    ],
)
def test_every_other_origin_is_forbidden(origins, host):
    with pytest.raises(Refused) as refused:
        upgrade(origins=origins, host=host)
    assert refused.value.row.code == 4507


def test_a_client_may_offer_several_protocols_or_none():
    upgrade(offered=("graphql-ws", "headrace.v1"))
    upgrade(offered=())


def test_a_client_that_offers_only_foreign_protocols_is_refused_where_a_browser_sees_it():
    assert chosen_protocol(["graphql-ws", "other"]) == "graphql-ws"
    assert chosen_protocol(["graphql-ws", "headrace.v1"]) == "headrace.v1"
    assert chosen_protocol([]) is None
    with pytest.raises(Refused) as refused:
        upgrade(offered=("graphql-ws",))
    assert refused.value.row.code == 4503


def test_the_first_frame_names_the_position_to_resume_from():
    connect, position = first_frame(msgspec.json.encode({"type": "connect", "token": "t", "resume": "17-4"}).decode())
    assert (connect.token, position) == ("t", Position(17, 4))


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (b"\x00", 1003, ""),
        ("{", 4504, "JSON"),
        ('{"type":"pong"}', 4504, "`connect`"),
        ('{"type":"connect"}', 4504, "token"),
        ('{"type":"connect","token":"t","passwort":"x"}', 4504, "passwort"),
        ('{"type":"connect","token":"t","resume":"soon"}', 4504, "position"),
        ('{"type":"connect","token":"t","resume":"1-99999999999999999"}', 4504, "position"),
    ],
)
def test_any_other_first_frame_is_refused_with_what_is_wrong(raw, code, says):
    with pytest.raises(Refused) as refused:
        first_frame(raw)
    assert refused.value.row.code == code
    assert says in (refused.value.reason or "")
