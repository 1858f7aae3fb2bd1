"""What a member's view makes of an operation; every frame is one that the server takes."""

import msgspec
import pytest

from bench.mixture import Kind, Operation
from bench.view import EMOJI, RECENT, View
from schemas.client_frames import AddReaction, EditMessage, Receipt, SendMessage, Typing, decode_frame
from schemas.text import clean_emoji

ROOM = "11111111-0000-4000-8000-000000000000"
MARK = "22222222-0000-4000-8000-000000000001"


def message(number: int) -> str:
    return f"33333333-0000-4000-8000-{number:012x}"


def view(count: int = 3, *, own: frozenset[int] = frozenset({1})) -> View:
    found = View(ROOM)
    for seq in range(1, count + 1):
        found.saw(message(seq), seq, own=seq in own)
    return found


def act(kind: Kind, draw: float = 0.0) -> Operation:
    return Operation(kind, 0, 0, draw)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("send", SendMessage), ("read", Receipt), ("type", Typing), ("react", AddReaction), ("edit", EditMessage)],
)
def test_every_frame_is_one_that_the_server_takes(kind: Kind, shape: type) -> None:
    frame = view().frame(act(kind), 5, MARK)
    assert isinstance(decode_frame(msgspec.json.encode(frame)), shape)


def test_receipt_is_of_the_newest_seen_and_a_repeat_takes_nothing_back() -> None:
    seen = view(3)
    seen.saw(message(2), 2, own=False)
    assert (seen.frame(act("read"), 5, MARK) or {})["read_seq"] == 3


def test_edit_is_of_ones_own_message_and_never_the_same_text() -> None:
    seen = view(3, own=frozenset({2}))
    first, second = seen.frame(act("edit"), 5, MARK) or {}, seen.frame(act("edit", 0.99), 6, MARK) or {}
    assert first["message_id"] == second["message_id"] == message(2)
    assert first["content"] != second["content"]


def test_typing_starts_and_stops_in_turn() -> None:
    seen = view()
    assert [(seen.frame(act("type"), 5, MARK) or {})["state"] for _ in range(3)] == ["start", "stop", "start"]


@pytest.mark.parametrize("kind", ["read", "react", "edit"])
def test_nothing_to_do_it_to_is_no_frame(kind: Kind) -> None:
    assert View(ROOM).frame(act(kind), 5, MARK) is None


def test_reactions_are_of_recent_messages_never_repeat_and_end() -> None:
    seen = view(RECENT + 5)
    frames = [seen.frame(act("react", 0.7), 5, MARK) for _ in range(RECENT * len(EMOJI))]
    pairs = {(each["message_id"], each["emoji"]) for each in frames if each}
    assert len(pairs) == RECENT * len(EMOJI)
    assert {message_id for message_id, _ in pairs} == {message(seq) for seq in range(6, RECENT + 6)}
    assert seen.frame(act("react"), 5, MARK) is None


def test_emoji_stay_apart_when_the_server_has_normalised_them() -> None:
    assert len({clean_emoji(each) for each in EMOJI}) == len(EMOJI) == 10
