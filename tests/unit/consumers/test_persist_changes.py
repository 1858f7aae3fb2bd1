"""Changes on the model: the process is ended after every single write, twice, or its writes land late; the end is the same.

“The same” is what one undisturbed owner makes of the same stream, in content, because numbers may differ.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from backplane.streams import Entry
from schemas.ids import (
    ClientMsgId,
    ClientOpId,
    IntentId,
    MessageId,
    StreamId,
    UserId,
    direct_conversation_id,
    message_id_of,
)
from schemas.intents import (
    AddMembers,
    AddReaction,
    ChangeMine,
    ChangeRole,
    CreateConversation,
    DeleteMessage,
    EditMessage,
    Intent,
    PinMessage,
    RemoveMember,
    RemoveReaction,
    SendMessage,
    SetBlock,
    UpdateConversation,
    encode_intent,
)
from schemas.names import AGAIN_FIELD, INTENT_FIELD
from tests.unit.consumers.test_persist import live_until_done
from tests.unit.consumers.world import Process, World, check_promises, killed_at, reply_lost_at

pytestmark = pytest.mark.anyio

ANN, BEN, CID, DAN = UserId("ann"), UserId("ben"), UserId("cid"), UserId("dan")
ROOM = direct_conversation_id(UserId("the"), UserId("room"))
DIRECT = direct_conversation_id(ANN, BEN)


class Story:
    """Intents in their order, each with an id of its own."""

    def __init__(self) -> None:
        self.intents: list[Intent] = []

    def add(self, of: Any, who: UserId, /, *, room: str = ROOM, op: str = "", **fields: Any) -> None:
        number = len(self.intents) + 1
        common = {"intent_id": IntentId(f"i{number}"), "conversation_id": room, "actor_id": who, "at_ms": 1000 + number}
        if of is not SendMessage and of is not CreateConversation:
            common["client_op_id"] = ClientOpId(op or f"op{number}")
        self.intents.append(of(**common, **fields))


def message(key: str, who: UserId = ANN, room: str = ROOM) -> MessageId:
    return message_id_of(room, who, ClientMsgId(key))  # type: ignore[arg-type]


def a_story() -> list[Intent]:
    """Every kind of change, with repeats, refusals and changes of what the same batch has made."""
    story = Story()
    add = story.add
    add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN, CID))
    add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    add(EditMessage, ANN, message_id=message("a"), text="edited", expected_rev=2)
    add(AddReaction, BEN, message_id=message("a"), emoji="👍", op="like")
    add(SendMessage, BEN, client_msg_id=ClientMsgId("b"), text="a reply", thread_root_id=message("a"))
    add(AddReaction, BEN, message_id=message("a"), emoji="👍", op="like")  # a resend
    add(EditMessage, BEN, message_id=message("a"), text="not mine")  # refused
    add(ChangeRole, ANN, user_id=BEN, role="admin")
    add(AddMembers, BEN, user_ids=(DAN,))
    add(SendMessage, DAN, client_msg_id=ClientMsgId("d"), text="hello", mentions=(ANN, UserId("nobody")))
    add(PinMessage, BEN, message_id=message("d", DAN), pinned=True)
    add(RemoveReaction, BEN, message_id=message("a"), emoji="👍")
    add(AddMembers, BEN, user_ids=(DAN, ANN))  # who are there
    add(RemoveMember, BEN, user_id=CID)
    add(SendMessage, CID, client_msg_id=ClientMsgId("c"), text="too late")  # refused
    add(UpdateConversation, ANN, title="a title")
    add(ChangeMine, DAN, muted_until_ms=99, archived=True)
    add(SendMessage, DAN, client_msg_id=ClientMsgId("e"), text="another reply", thread_root_id=message("a"))
    add(DeleteMessage, ANN, message_id=message("b", BEN))
    add(EditMessage, ANN, message_id=message("a"), text="edited again")
    add(EditMessage, ANN, message_id=message("a"), text="x", op="op3")  # an old id with another body: refused
    add(SetBlock, BEN, room=DIRECT, user_id=ANN, blocked=True)
    add(CreateConversation, ANN, room=DIRECT, kind="direct", member_ids=(ANN, BEN))  # refused
    add(SetBlock, BEN, room=DIRECT, user_id=ANN, blocked=False)
    add(CreateConversation, ANN, room=DIRECT, kind="direct", member_ids=(ANN, BEN))
    add(SetBlock, ANN, room=DIRECT, user_id=BEN, blocked=True)
    add(SendMessage, BEN, room=DIRECT, client_msg_id=ClientMsgId("x"), text="blocked")  # refused
    add(ChangeRole, ANN, user_id=BEN, role="owner")
    add(RemoveMember, ANN, user_id=ANN)
    add(AddMembers, BEN, user_ids=(CID, ANN))
    return story.intents


def content(world: World) -> dict[str, Any]:
    """What the world holds, without its numbers."""
    return {
        "messages": {
            key: (found.seq, found.text, found.reactions, found.deleted_ms, found.pinned_by, found.reply_count, found.mentions)
            for key, found in world.messages.items()
        },
        "members": {
            key: (found.role, found.current, len(found.spans), found.muted_until_ms, found.archived, found.from_seq)
            for key, found in world.people.items()
        },
        "conversations": {key: (found.title, found.last_seq) for key, found in world.conversations.items()},
        "blocks": {key: found.blocked for key, found in world.blocks.items()},
        "operations": {key: (found.intent_id, found.kind) for key, found in world.operations.items()},
        "audit": {key: (entry.event, entry.actor, entry.subject_id) for key, entry in world.audit.items()},
    }  # fmt: skip


def check_told(world: World) -> None:
    """Everybody heard of everything as it is now, and nobody of what was refused as if it were done (hole A2)."""
    told = [event.header for event in world.events]
    for found in world.messages.values():
        assert any(
            header.seq == found.seq and header.rev == found.rev and not header.to
            for header in told
            if header.conversation_id == found.conversation_id
        ), f"nobody told everybody of {found}"
    seen = {
        (body["data"]["conversation_id"], member["user_id"], member["rev"])
        for body in (msgspec.json.decode(b"{" + event.body) for event in world.events)
        if body["event"].startswith("member.")
        for member in body["data"]["members"]
    }
    for (room, user), member in world.people.items():
        assert member.rev == 1 or (room, user, member.rev) in seen, f"nobody told of {member}"
    revs = [member.rev for member in world.people.values() if member.rev > 1]
    assert not set(revs) & {found.rev for found in world.messages.values() if found.conversation_id == ROOM}
    check_ids(world)
    refused = {header.event_id for header in told if header.event.endswith(".rejected")}
    assert not refused & {operation.intent_id for operation in world.operations.values() if not operation.code}


def check_ids(world: World) -> None:
    """An id is of one thing: a client drops what has an id that it knows, so of two things under one it would lose the second."""
    things: dict[str, object] = {}
    welcomes = [event.header.event_id for event in world.events if event.header.event_id.endswith(".welcome")]
    assert len(welcomes) == len(set(welcomes)), "who has come is welcomed once"
    for event in world.events:
        data = msgspec.json.decode(b"{" + event.body)["data"]
        kind = event.header.event.partition(".")[0]
        thing = (data.get("message_id") or data.get("client_op_id") or kind, event.header.conversation_id)
        known = things.setdefault(event.header.event_id, thing)
        assert known == thing, f"{event.header.event_id} is of {known} and of {thing}"


async def undisturbed(intents: Sequence[Intent], batch: int = 100) -> World:
    world = World()
    world.append(*intents)
    await Process(world).drain(batch)
    return world


async def test_every_kind_of_change_is_made_and_told_whatever_the_batch() -> None:
    worlds = [await undisturbed(a_story(), batch) for batch in (1, 2, 7, 100)]
    assert all(content(world) == content(worlds[0]) for world in worlds)
    room = worlds[0]
    assert room.messages[message("a")].text == "edited again"
    assert room.messages[message("a")].reactions == {}
    assert room.messages[message("a")].reply_count == 1
    assert room.messages[message("b", BEN)].deleted_ms is not None
    assert room.messages[message("b", BEN)].text is None
    assert room.messages[message("d", DAN)].pinned_by == BEN
    assert room.messages[message("d", DAN)].mentions == (ANN,)
    assert {user: member.role for (key, user), member in room.people.items() if key == ROOM and member.current} == {
        ANN: "member", BEN: "owner", CID: "member", DAN: "member"
    }  # fmt: skip
    assert room.conversations[ROOM].title == "a title"
    assert sorted(content(room)["audit"].values()) == [
        ("member.removed", BEN, CID), ("member.role_changed", ANN, BEN), ("member.role_changed", ANN, BEN)
    ]  # fmt: skip
    for world in worlds:
        check_told(world)
        refused = [event.header.event_id for event in world.events if event.header.event.endswith(".rejected")]
        assert refused == ["i7", "i15", "i21", "i23", "i27"]


@pytest.mark.parametrize("of", [EditMessage, DeleteMessage, AddReaction, RemoveReaction, PinMessage])
@pytest.mark.parametrize("batch", [1, 100])
async def test_whoever_is_blocked_changes_nothing_that_the_other_one_sees(of: type[Intent], batch: int) -> None:
    fields = {EditMessage: {"text": "x"}, AddReaction: {"emoji": "👎"}, RemoveReaction: {"emoji": "👍"}}
    more: dict[str, Any] = {"pinned": True} if of is PinMessage else dict(fields.get(of, {}))
    story = Story()
    story.add(CreateConversation, ANN, room=DIRECT, kind="direct", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, room=DIRECT, client_msg_id=ClientMsgId("a"), text="first")
    own = message("a", room=DIRECT)
    story.add(AddReaction, ANN, room=DIRECT, message_id=own, emoji="👍")
    story.add(SetBlock, BEN, room=DIRECT, user_id=ANN, blocked=True)
    before = await undisturbed(story.intents, batch)
    story.add(of, ANN, room=DIRECT, message_id=own, op="same", **more)
    world = await undisturbed(story.intents, batch)
    assert content(world)["messages"] == content(before)["messages"]
    refusal = world.events[-1]
    assert (refusal.header.event, refusal.header.to) == ("operation.rejected", (ANN,))
    assert b'"code":"blocked"' in refusal.body
    story.add(SetBlock, BEN, room=DIRECT, user_id=ANN, blocked=False)
    story.add(of, ANN, room=DIRECT, message_id=own, **more)
    world = await undisturbed(story.intents, batch)
    assert content(world)["messages"] != content(before)["messages"]


@pytest.mark.parametrize("batch", [1, 3, 100])
async def test_changes_survive_a_crash_at_any_write(batch: int) -> None:
    """A2, B7, B12: found made, found recorded, or made now: told all the same."""
    intents = a_story()
    calm = await undisturbed(intents, batch)
    for point in range(1, calm.written + 1):
        world = World()
        world.append(*intents)
        world.fault = killed_at(point)
        await live_until_done(world, batch)
        assert content(world) == content(calm), f"killed after write {point}"
        check_promises(world, intents)
        check_told(world)


@pytest.mark.parametrize("batch", [1, 100])
async def test_what_was_refused_stays_refused_though_redis_forgets_that_it_was_delivered(batch: int) -> None:
    """A3, A5: it is delivered as new, and under other circumstances."""
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    story.add(AddReaction, DAN, message_id=message("a"), emoji="👍")
    story.add(SendMessage, DAN, client_msg_id=ClientMsgId("d"), text="let me in")
    story.add(AddMembers, ANN, user_ids=(DAN,))
    world = World()
    world.append(*story.intents)
    await Process(world).drain(batch)
    before = content(world)
    world.taken.clear()
    world.acknowledged.clear()
    world.era = "another"
    await Process(world).drain(batch)
    assert content(world) == before
    assert world.messages[message("a")].reactions == {}


async def test_changes_survive_two_crashes_anywhere() -> None:
    intents = a_story()
    calm = await undisturbed(intents)
    for first, second in itertools.combinations(range(1, calm.written + 6), 2):
        world = World()
        world.append(*intents)
        world.fault = killed_at(first, second)
        await live_until_done(world, 100)
        assert content(world) == content(calm), f"killed after writes {first} and {second}"
        check_told(world)


@pytest.mark.parametrize("batch", [1, 100])
async def test_changes_survive_a_lost_reply_at_any_write(batch: int) -> None:
    """C6: the identical change is made again, and found to be there."""
    intents = a_story()
    calm = await undisturbed(intents, batch)
    for point in range(1, calm.written + 1):
        world = World()
        world.append(*intents)
        world.fault = reply_lost_at(point, point + 1)
        await live_until_done(world, batch)
        assert content(world) == content(calm)
        check_told(world)


async def test_a_dead_owner_s_late_change_undoes_nothing() -> None:
    """B6: it was computed from what is not there any more."""
    intents = a_story()
    calm = await undisturbed(intents)
    for point in range(1, calm.written + 1):
        world = World()
        world.append(*intents)
        world.fault = killed_at(point)
        await live_until_done(world, 100, late_inserts=True)
        world.land()
        assert content(world) == content(calm), f"killed after write {point}"
        check_told(world)


async def test_a_replay_of_everything_changes_nothing() -> None:
    """B7: however often, from wherever, and long after the entity has forgotten the operation."""
    intents = a_story()
    for number in range(200):  # more than an entity remembers by itself
        intents.append(
            EditMessage(
                intent_id=IntentId(f"e{number}"), conversation_id=ROOM, actor_id=DAN, client_op_id=ClientOpId(f"e{number}"),
                at_ms=5000, message_id=message("d", DAN), text=f"edit {number}",
            )
        )  # fmt: skip
    world = await undisturbed(intents)
    before = msgspec.structs.asdict(world.messages[message("d", DAN)]), content(world), dict(world.people)
    for start in (0, 3, 20):
        world.events.clear()
        entries = world.entries[: len(intents)][start:]
        for entry in entries:
            world.entries.append(type(entry)(StreamId(len(world.entries) + 1, 0), {**entry.fields, AGAIN_FIELD: b"1"}))
        await Process(world).drain(50)
        assert (msgspec.structs.asdict(world.messages[message("d", DAN)]), content(world), dict(world.people)) == before
        newest = {found.seq: found.rev for found in world.messages.values() if found.conversation_id == ROOM}
        for event in world.events:  # what is told again is not older than what everybody has
            if event.header.seq is not None and event.header.conversation_id == ROOM:
                assert event.header.rev == newest[event.header.seq]


async def again(world: World, *numbers: int) -> list[dict[str, Any]]:
    """What is told when an operator sends these entries again."""
    world.events.clear()
    for number in numbers:
        entry = world.entries[number - 1]
        world.entries.append(type(entry)(StreamId(len(world.entries) + 1, 0), {**entry.fields, AGAIN_FIELD: b"1"}))
    await Process(world).drain(1)
    headers = [{"to": event.header.to, "about": event.header.about} for event in world.events]
    bodies = [msgspec.json.decode(b"{" + event.body) for event in world.events]
    return [body | header for body, header in zip(bodies, headers, strict=True)]


async def test_who_has_come_back_is_not_told_again_as_put_out_nor_who_has_left_as_there() -> None:
    """A2, C19: else a grant would be closed, and a client would drop the conversation, under their newest number."""
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(AddMembers, ANN, user_ids=(CID, DAN))
    story.add(RemoveMember, ANN, user_id=CID)
    story.add(RemoveMember, ANN, user_id=BEN)
    story.add(AddMembers, ANN, user_ids=(BEN,))
    story.add(ChangeRole, ANN, user_id=BEN, role="admin")
    world = await undisturbed(story.intents, 1)
    revs = {user: found.rev for (_, user), found in world.people.items()}
    joined, left, welcome = await again(world, 2)
    assert [(one["event"], one["about"]) for one in (joined, left)] == [("member.joined", None), ("member.left", CID)]
    assert [(one["user_id"], one["rev"]) for one in joined["data"]["members"]] == [(DAN, revs[DAN])]
    assert [(one["user_id"], one["rev"]) for one in left["data"]["members"]] == [(CID, revs[CID])]
    assert (welcome["event"], welcome["to"]) == ("conversation.created", (DAN,))
    [returned] = await again(world, 4)
    assert (returned["event"], returned["about"], returned["data"]["rev"]) == ("member.joined", None, revs[BEN])
    assert [(one["user_id"], one["role"]) for one in returned["data"]["members"]] == [(BEN, "admin")]


async def test_who_comes_back_begins_anew_as_their_welcome_says() -> None:
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(ChangeMine, BEN, muted_until_ms=99, archived=True)
    story.add(RemoveMember, ANN, user_id=BEN)
    story.add(AddMembers, ANN, user_ids=(BEN,))
    world = await undisturbed(story.intents, 1)
    ben = world.people[ROOM, BEN]
    assert (ben.current, ben.muted_until_ms, ben.archived) == (True, None, False)
    welcome = msgspec.json.decode(b"{" + world.events[-1].body)
    assert welcome["event"] == "conversation.created"
    assert not {"muted_until", "archived"} & welcome["data"].keys()


async def test_each_newcomer_is_welcomed_again_with_what_is_theirs_to_see() -> None:
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    story.add(AddMembers, ANN, user_ids=(CID, DAN))
    story.add(ChangeMine, DAN, cleared=True)
    world = await undisturbed(story.intents, 1)
    welcomes = [one for one in await again(world, 3) if one["event"] == "conversation.created"]
    assert [(one["to"], one["data"]["first_seq"]) for one in welcomes] == [((CID,), 1), ((DAN,), 2)]
    assert len({one["event_id"] for one in welcomes}) == 2


async def test_a_block_that_was_lifted_is_not_told_again_as_if_it_held() -> None:
    """A2: nothing orders what one's devices hear of blocks, so what is told again is what holds now."""
    story = Story()
    for blocked in (True, False, True, False):
        story.add(SetBlock, BEN, room=DIRECT, user_id=ANN, blocked=blocked)
    world = await undisturbed(story.intents, 1)
    world.events.clear()
    for entry in world.entries[:3]:
        world.entries.append(type(entry)(StreamId(len(world.entries) + 1, 0), {**entry.fields, AGAIN_FIELD: b"1"}))
    await Process(world).drain(1)
    assert [b'"blocked":false' in event.body for event in world.events] == [True, True, True]


async def test_a_dead_edit_that_is_retried_undoes_no_newer_one() -> None:
    """D5: it was never made; what was made since stays."""
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    story.add(EditMessage, ANN, message_id=message("a"), text="dead")
    story.add(EditMessage, ANN, message_id=message("a"), text="newer")
    dead = story.intents.pop(2)
    world = await undisturbed(story.intents)
    world.entries.append(Entry(StreamId(9, 0), {INTENT_FIELD: encode_intent(dead), AGAIN_FIELD: b"1"}))
    world.events.clear()
    await Process(world).drain(10)
    assert world.messages[message("a")].text == "newer"
    assert [(event.header.event, event.header.event_id) for event in world.events] == [("operation.rejected", "i3")]
