import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backplane.logs import Head
from backplane.settings import load_settings
from gateway.socket.delivery import Look, ReadPage
from gateway.socket.session import (
    GRACE_SECONDS,
    MAX_BAD_FRAMES,
    MAX_LIVE,
    MAX_UNANSWERED,
    Goodbye,
    Session,
)
from gateway.tokens import Identity
from schemas.client_frames import ClientInfo, LiveFrame, Refresh, SendMessage, Sync
from schemas.errors import CLOSES, error
from schemas.ids import Position, SessionId, UserId

NOW_MS = 1_795_000_000_000
CONVERSATION = "0190c0de-0000-7000-8000-000000000001"
SEND = msgspec.json.encode(
    {"type": "message.send", "conversation_id": CONVERSATION, "client_msg_id": CONVERSATION, "content": {"text": "hi"}}
).decode()


def identity(user: str = "u", session: str = "s", expires_in: float = 600) -> Identity:
    return Identity(UserId(user), SessionId(session), NOW_MS + int(expires_in * 1000))


def session(expires_in: float = 600, **settings) -> Session:
    made = Session(
        identity(expires_in=expires_in),
        ClientInfo(),
        load_settings({}, environment="development", heartbeat_seconds=25, slow_consumer_seconds=30, **settings),
        connection_id="c",
        now=0.0,
        now_ms=NOW_MS,
        jitter=lambda: 0.5,
    )
    made.delivery.begin(Position(100, 0), Head(Position(100, 0), 0))
    return made


def said(session: Session) -> list[dict]:
    out = []
    while isinstance(step := session.next(), bytes):
        out.append(msgspec.json.decode(step))
    return out


def goodbye(session: Session) -> int | None:
    return session.goodbye.row.code if session.goodbye else None


def test_a_send_is_a_request_and_its_answer_carries_its_number():
    live = session()
    request = live.receive(SEND[:-1] + ',"id":17}', 1.0)
    assert isinstance(request, SendMessage)
    live.answer(request, {"status": "accepted"})
    assert said(live) == [{"type": "reply", "ok": True, "id": 17, "result": {"status": "accepted"}}]


def test_a_refused_request_is_answered_with_the_error():
    live = session()
    request = live.receive(SEND, 1.0)
    assert request is not None
    live.answer(request, error=error("overloaded", retry_after_ms=700))
    [reply] = said(live)
    assert (reply["ok"], reply["error"]["code"], reply["error"]["retry_after_ms"]) == (False, "overloaded", 700)


def test_sync_and_refresh_are_requests_and_pong_is_none():
    live = session()
    assert isinstance(live.receive('{"type":"sync","after":"1-2"}', 1.0), Sync)
    assert isinstance(live.receive('{"type":"refresh","token":"t"}', 1.0), Refresh)
    assert live.receive('{"type":"pong"}', 1.0) is None
    assert live.unanswered == 2


def live_request(live: Session, type_: str, now: float = 1.0, **fields) -> LiveFrame:
    frame = {"type": type_, "conversation_id": CONVERSATION} | fields
    request = live.receive(msgspec.json.encode(frame).decode(), now)
    assert isinstance(request, LiveFrame)
    return request


def test_typing_that_is_taken_has_no_answer_and_one_that_is_refused_has():
    live = session()
    typing = live_request(live, "typing", state="start", id=5)
    assert live.admits(typing, 1.0)
    live.answer(typing)
    assert said(live) == []
    stop = live_request(live, "typing", state="stop", id=6)
    assert live.admits(stop, 1.1)
    live.answer(stop, error=error("not_member"))
    [reply] = said(live)
    assert (reply["id"], reply["error"]["code"]) == (6, "not_member")


def test_a_watch_is_answered():
    live = session()
    watch = live_request(live, "watch", id=5)
    assert live.admits(watch, 1.0)
    live.answer(watch)
    assert said(live) == [{"type": "reply", "ok": True, "id": 5}]


def test_a_start_too_soon_after_another_is_dropped_in_silence():
    live = session()
    assert live.admits(live_request(live, "typing", state="start"), 1.0)
    assert not live.admits(live_request(live, "typing", state="start", id=9), 1.5)
    assert said(live) == []


def test_requests_about_ephemera_are_bounded_and_never_keep_a_message_from_being_read():
    live = session()
    for _ in range(MAX_LIVE):
        assert live.admits(live_request(live, "watch"), 1.0)
    assert not live.admits(live_request(live, "typing", state="start", id=8), 1.0)
    assert said(live) == []
    assert not live.admits(live_request(live, "watch", id=9), 1.0)
    [reply] = said(live)
    assert (reply["id"], reply["error"]["code"], reply["error"]["temporary"]) == (9, "rate_limited", True)
    assert not live.full
    assert live.unanswered == 0
    live.answer(live_request(live, "watch"))
    assert live.admits(live_request(live, "watch"), 1.0)


def test_what_may_be_lost_is_dropped_where_an_event_may_need_the_room():
    """It may take half of the buffer, and only of a connection that has every event."""
    live = session(send_buffer_bytes=1024)
    assert live.offer(b"x" * 500, 0)
    assert not live.offer(b"x", 13)
    assert live.offer(b"x" * 12, 0)
    assert live.offer(b"x", 0)
    assert not live.offer(b"x", 0)
    assert len(said_bytes(live)) == 3


def test_what_may_be_lost_is_dropped_while_events_are_fetched_and_after_a_goodbye():
    live = session()
    live.delivery.ring(Position(100, 2), b"{}")
    assert not live.offer(b"x", 0)
    live = session()
    live.dismiss(Goodbye(CLOSES["draining"]), 1.0)
    assert not live.offer(b"x", 0)


def said_bytes(session: Session) -> list[bytes]:
    out = []
    while isinstance(step := session.next(), bytes):
        out.append(step)
    return out


OP = f'"conversation_id":"{CONVERSATION}","message_id":"{CONVERSATION}","client_op_id":"{CONVERSATION}"'


@pytest.mark.parametrize(
    "frame",
    [
        SEND[:-1] + ',"id":3}',
        f'{{"type":"message.edit",{OP},"content":{{"text":"x"}},"id":3}}',
        f'{{"type":"message.delete",{OP},"id":3}}',
        f'{{"type":"reaction.add",{OP},"emoji":":ok:","id":3}}',
        f'{{"type":"reaction.remove",{OP},"emoji":":ok:","id":3}}',
        f'{{"type":"typing","conversation_id":"{CONVERSATION}","state":"start","id":3}}',
        '{"type":"presence.set","status":"busy","id":3}',
    ],
)
def test_a_bot_that_may_not_write_is_told_so_and_nothing_is_sent(frame: str):
    live = session()
    live.identity = live.identity._replace(scopes=frozenset({"messages:read"}))
    assert live.receive(frame, 1.0) is None
    [reply] = said(live)
    assert (reply["id"], reply["error"]["code"]) == (3, "forbidden")
    assert live.unanswered == 0


def test_a_second_connect_ends_the_connection():
    live = session()
    live.receive('{"type":"connect","token":"t"}', 1.0)
    assert goodbye(live) == 4504


def test_a_binary_frame_ends_the_connection():
    live = session()
    live.receive(b"{}", 1.0)
    assert goodbye(live) == 1003


def test_a_bad_frame_is_answered_with_its_number_and_what_is_wrong():
    live = session()
    assert live.receive('{"type":"sync","after":"1-2","id":4,"colour":"red"}', 1.0) is None
    [reply] = said(live)
    assert (reply["id"], reply["error"]["code"]) == (4, "bad_request")
    assert "colour" in reply["error"]["message"]
    assert live.goodbye is None


def test_many_bad_frames_within_a_minute_end_the_connection():
    live = session()
    for _ in range(MAX_BAD_FRAMES):
        assert live.goodbye is None
        live.receive("{", 1.0)
    assert goodbye(live) == 4504


def test_a_bad_frame_now_and_then_never_ends_it():
    live = session()
    for minute in range(10 * MAX_BAD_FRAMES):
        live.receive('{"type":"a.newer.frame"}', minute * 61.0)
    assert live.goodbye is None


def test_nothing_is_read_while_too_many_requests_are_unanswered():
    live = session()
    requests = [live.receive(SEND, 1.0) for _ in range(MAX_UNANSWERED)]
    assert live.full
    assert requests[0] is not None
    live.answer(requests[0], None)
    assert not live.full


def test_nothing_is_read_from_a_client_that_does_not_read_its_answers():
    live = session(send_buffer_bytes=2048)
    while not live.full:
        assert live.delivery.waiting_bytes < 4096
        live.receive("{", 1.0)
    said(live)
    assert not live.full


def test_the_first_ping_comes_at_a_random_moment_and_then_every_interval():
    live = session()  # jitter 0.5: half an interval
    pings = []
    for second in range(70):
        live.receive('{"type":"pong"}', float(second))
        live.tick(float(second))
        pings += [second for frame in said(live) if frame["type"] == "ping"]
    assert pings == [13, 38, 63]


def test_a_ping_tells_the_position_that_went_out_before_it():
    live = session()
    live.delivery.ring(Position(100, 1), b'{"type":"event"}')
    live.delivery.ring(Position(100, 3), b"{}")
    live.tick(13.0)
    assert [frame.get("position") for frame in said(live)] == [None, "100-1"]


def test_silence_for_two_intervals_ends_the_connection():
    live = session()
    live.receive('{"type":"pong"}', 10.0)
    live.tick(59.9)
    assert live.goodbye is None
    live.tick(60.0)
    assert goodbye(live) == 4001


def test_a_socket_that_takes_nothing_is_a_slow_consumer_and_is_aborted_if_the_goodbye_gets_stuck():
    live = session()
    live.writing(1.0)
    live.receive('{"type":"pong"}', 30.0)
    assert not live.tick(30.9)
    assert live.goodbye is None
    assert not live.tick(31.0)
    assert goodbye(live) == 4002
    assert not live.tick(31.0 + GRACE_SECONDS - 0.1)
    assert live.tick(31.0 + GRACE_SECONDS)


def test_every_frame_that_the_socket_takes_is_progress():
    live = session()
    for second in range(0, 200, 20):
        live.receive('{"type":"pong"}', float(second))
        live.writing(float(second))
        live.tick(second + 19.0)
        live.written(second + 19.0)
    assert live.goodbye is None


def test_a_client_that_reads_a_long_backlog_is_not_silent():
    live = session()
    live.delivery.swept(Head(Position(100, 9), 0))
    for second in range(0, 200, 20):
        live.writing(float(second))
        live.written(float(second))
        live.tick(float(second))
    assert live.goodbye is None


def test_a_token_is_announced_to_end_once_and_then_ends_the_connection():
    live = session(expires_in=100)
    seen = []
    for second in range(100):
        live.receive('{"type":"pong"}', float(second))
        live.tick(float(second))
        seen += [second for frame in said(live) if frame["type"] == "token_expiring"]
    assert seen == [40]
    live.tick(100.0)
    assert goodbye(live) == 4004


def test_a_refreshed_token_extends_the_connection_and_is_announced_again():
    live = session(expires_in=100)
    live.receive('{"type":"pong"}', 49.0)
    live.tick(50.0)
    said(live)
    assert live.refreshed(identity(expires_in=650), 50.0, NOW_MS + 50_000) is None
    for second in range(50, 640, 10):
        live.receive('{"type":"pong"}', float(second))
        live.tick(float(second))
    assert live.goodbye is None
    assert [frame["type"] for frame in said(live)].count("token_expiring") == 1


@pytest.mark.parametrize("other", [identity(user="v"), identity(session="t")])
def test_a_token_of_somebody_else_does_not_extend_it(other: Identity):
    live = session(expires_in=100)
    refusal = live.refreshed(other, 1.0, NOW_MS)
    assert refusal is not None
    assert refusal.code == "forbidden"
    live.tick(100.0)
    assert goodbye(live) == 4004


def test_the_first_goodbye_counts_and_what_was_queued_goes_out_before_it():
    live = session()
    live.delivery.ring(Position(100, 1), b'{"type":"event"}')
    live.delivery.ring(Position(100, 9), b"{}")
    live.dismiss(Goodbye(CLOSES["replaced"]), 1.0)
    live.dismiss(Goodbye(CLOSES["draining"]), 1.0)
    assert said(live) == [{"type": "event"}]
    assert live.next() == Goodbye(CLOSES["replaced"]), "nothing more is read from the log"
    assert live.receive(SEND, 2.0) is None


@given(
    st.lists(
        st.one_of(
            st.sampled_from([SEND, "{", '{"type":"pong"}', '{"type":"sync","after":"x"}', b"\x00", "", "[]", "1e999"]),
            st.text(max_size=40),
            st.binary(max_size=10),
            st.floats(0, 100),
        ),
        max_size=60,
    )
)
def test_whatever_comes_every_request_is_counted_and_every_step_is_one_of_the_five(doings):
    live, now, requests = session(), 0.0, []
    for doing in doings:
        if isinstance(doing, float):
            now += doing
            live.tick(now)
        else:
            request = live.receive(doing, now)
            if request is not None:
                requests.append(request)
    assert live.unanswered == len(requests)
    for request in requests:
        live.answer(request, None)
    said(live)
    assert live.unanswered == 0
    assert isinstance(live.next(), Goodbye | ReadPage | Look | None)
