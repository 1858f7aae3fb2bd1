import msgspec

from headrace_client import effects
from headrace_client.core import Core
from headrace_client.entities import Conversation, ErrorBody, Member, Receipt, State, User
from headrace_client.events import Event
from headrace_client.marks import NEVER, PAUSE_S, Key, Levels, Marks, frames_of
from headrace_client.store import Saved
from headrace_client.view import View

CHAT, OTHER = Key("c1"), Key("c2")


def due(marks: Marks, now: float) -> dict[Key, Levels]:
    found = dict(marks.take_due(now))
    for key in found:
        marks.written(key, (1,))
    return found


def test_what_waits_is_merged_and_written_now_and_then() -> None:
    marks = Marks()
    marks.raise_to(CHAT, Levels(read_seq=1), 0.0)
    assert due(marks, 0.0) == {CHAT: Levels(0, 1, 0)}
    for number in (2, 5, 3):
        marks.raise_to(CHAT, Levels(read_seq=number), 0.1)
    marks.raise_to(OTHER, Levels(delivered_seq=9), 0.1)
    assert due(marks, 0.1) == {}
    assert marks.next_due() == PAUSE_S
    assert due(marks, PAUSE_S) == {CHAT: Levels(0, 5, 0), OTHER: Levels(9, 0, 0)}
    assert marks.next_due() == NEVER


def test_after_a_reconnect_it_is_sent_again_until_it_is_confirmed() -> None:
    marks = Marks()
    marks.raise_to(CHAT, Levels(read_seq=5), 0.0)
    assert due(marks, 0.0)
    marks.heard(Receipt(conversation_id="c1", user_id="me", delivered_seq=4, read_seq=4))
    marks.disconnected()
    assert due(marks, 1.0) == {CHAT: Levels(0, 5, 0)}
    marks.heard(Receipt(conversation_id="c1", user_id="me", delivered_seq=7, read_seq=7))
    marks.disconnected()
    assert due(marks, 2.0) == {}
    assert len(marks) == 0


def test_what_is_known_to_be_reached_is_not_said() -> None:
    marks = Marks()
    member = Member(user_id="me", delivered_seq=6, read_seq=5)
    marks.loaded(Conversation(conversation_id="c1", kind="group", members=(member,), private_read_seq=8), "me")
    marks.raise_to(CHAT, Levels(6, 5, 8), 0.0)
    assert due(marks, 0.0) == {}
    marks.raise_to(CHAT, Levels(read_seq=6), 0.0)
    assert due(marks, 0.0) == {CHAT: Levels(0, 6, 0)}


def test_a_refusal_that_passes_is_waited_out_and_another_ends_it() -> None:
    marks = Marks()
    marks.raise_to(CHAT, Levels(read_seq=5), 0.0)
    due(marks, 0.0)
    marks.refuse(1, ErrorBody("overloaded", temporary=True, retry_after_ms=2000), 1.0)
    assert marks.next_due() == 3.0
    assert due(marks, 3.0)
    marks.refuse(7, ErrorBody("bad_request"), 4.0)
    assert len(marks) == 1, "somebody else's refusal"
    marks.refuse(1, ErrorBody("bad_request"), 4.0)
    assert len(marks) == 0


def test_what_others_may_not_see_is_a_frame_of_its_own() -> None:
    public, private = frames_of(Key("c1", "root"), Levels(4, 3, 9))
    assert (public["delivered_seq"], public["read_seq"], public["thread_root_id"]) == (4, 3, "root")
    assert (private["read_seq"], private["private"]) == (9, True)


def test_a_view_keeps_the_higher_of_what_it_has_and_what_it_hears() -> None:
    view = View("me")
    members = (Member(user_id="me", read_seq=2, delivered_seq=2), Member(user_id="you"))
    chat = Conversation(conversation_id="c1", kind="group", members=members, read_seq=2, last_seq=9)
    user = User(user_id="me", username="me")
    view.replace(State(position="1-0", user=user, conversations=(chat,)))
    heard = [
        Receipt(conversation_id="c1", user_id="me", delivered_seq=5, read_seq=4, private_read_seq=6),
        Receipt(conversation_id="c1", user_id="me", delivered_seq=1, read_seq=1),
        Receipt(conversation_id="c1", user_id="you", delivered_seq=3, read_seq=3),
        Receipt(conversation_id="c1", user_id="you", delivered_seq=8, read_seq=8, thread_root_id="root"),
        Receipt(conversation_id="c1", user_id="stranger", delivered_seq=8, read_seq=8),
        Receipt(conversation_id="c2", user_id="you", delivered_seq=8, read_seq=8),
    ]
    for number, receipt in enumerate(heard):
        view.apply(Event("receipt.updated", f"e{number}", "", f"1-{number + 1}", receipt))
    room = view.rooms["c1"]
    assert {who: (one.delivered_seq, one.read_seq) for who, one in room.members.items()} == {
        "me": (5, 4),
        "you": (3, 3),
    }
    assert (room.conversation.read_seq, room.conversation.private_read_seq) == (4, 6)


def said(todo: list[effects.Effect]) -> list[dict]:
    frames = [msgspec.json.decode(effect.frame) for effect in todo if isinstance(effect, effects.Write)]
    return [frame for frame in frames if frame["type"] == "receipt"]


def test_a_core_says_a_mark_once_it_is_connected_and_again_after_a_cut() -> None:
    core = Core(Saved(None, {}, []), client={}, random=lambda: 0.0)
    assert said(core.mark(CHAT, Levels(read_seq=3), 0.0)) == []
    connected = {"type": "connected", "user_id": "me", "position": "1-0", "resync": "fresh"}
    for now in (0.0, 100.0):
        core.dialling()
        core.opened("token", now)
        [frame] = said(core.received(msgspec.json.encode(connected), now))
        assert (frame["conversation_id"], frame["read_seq"]) == ("c1", 3)
        core.lost(1006, "", now + 1)
    core.dialling()
    core.opened("token", 200.0)
    state = {"position": "1-0", "user": {"user_id": "me", "username": "me"}, "conversations": []}
    core.received(msgspec.json.encode(connected), 200.0)
    [load] = [effect for effect in core.tick(201.0) if isinstance(effect, effects.Load)]
    core.loaded(load.number, msgspec.convert(state, State), 201.0)
    data = {"conversation_id": "c1", "user_id": "me", "delivered_seq": 3, "read_seq": 3}
    event = {"type": "event", "position": "1-1", "event": "receipt.updated", "event_id": "e", "ts": "", "data": data}
    core.received(msgspec.json.encode(event), 202.0)
    assert len(core.marks) == 0
