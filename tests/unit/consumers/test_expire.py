"""What is too old goes on the model of a crash at every write: hidden for everybody, wiped, and never back."""

from typing import Any

import msgspec
import pytest

from backplane.store.expiry import DAY_MS
from backplane.store.messages import StoredMessage
from schemas.ids import SYSTEM, ClientMsgId, ClientOpId, IntentId, UserId
from schemas.intents import (
    AddMembers,
    AddReaction,
    CreateConversation,
    DeleteMessage,
    EditMessage,
    ExpireMessages,
    Intent,
    PinMessage,
    RemoveMember,
    SendMessage,
    UpdateConversation,
)
from tests.unit.consumers.test_persist import live_until_done
from tests.unit.consumers.test_persist_changes import ANN, BEN, DAN, DIRECT, ROOM, Story, again, message, undisturbed
from tests.unit.consumers.world import World, check_promises, killed_at, reply_lost_at

pytestmark = pytest.mark.anyio


def late(story: Story, of: Any, who: UserId, **fields: Any) -> None:
    """What is asked for a day later."""
    story.add(of, who, **fields)
    last = story.intents.pop()
    story.intents.append(msgspec.structs.replace(last, at_ms=DAY_MS + last.at_ms))


def a_story() -> list[Intent]:
    """Messages, what people do with them, and the first three of them too old (of the day after, at 1 004 ms)."""
    story = Story()
    add = story.add
    add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first", mentions=(BEN,))
    add(SendMessage, BEN, client_msg_id=ClientMsgId("b"), text="a reply", thread_root_id=message("a"))
    add(SendMessage, ANN, client_msg_id=ClientMsgId("c"), text="third")
    add(SendMessage, ANN, client_msg_id=ClientMsgId("d"), text="fourth", reply_to=message("a"))
    add(AddReaction, BEN, message_id=message("a"), emoji="👍")
    add(PinMessage, ANN, message_id=message("c"), pinned=True)
    add(DeleteMessage, ANN, message_id=message("c"))
    add(UpdateConversation, ANN, retention_days=1)
    story.intents.append(expire(10, 0, 4, at_ms=DAY_MS + 1004))
    late(story, EditMessage, ANN, message_id=message("a"), text="again?")  # refused: it is there no more
    late(story, SendMessage, BEN, client_msg_id=ClientMsgId("e"), text="on", thread_root_id=message("a"))  # refused
    late(story, SendMessage, BEN, client_msg_id=ClientMsgId("f"), text="on")
    late(story, AddMembers, ANN, user_ids=(DAN,))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first", mentions=(BEN,))  # a resend, days later
    return story.intents


def expire(number: int, after_seq: int, up_to_seq: int, *, at_ms: int) -> ExpireMessages:
    return ExpireMessages(
        intent_id=IntentId(f"i{number}"), conversation_id=ROOM, actor_id=SYSTEM,
        client_op_id=f"expire:{after_seq}:{up_to_seq}:0", at_ms=at_ms, after_seq=after_seq, up_to_seq=up_to_seq,
    )  # fmt: skip


def content(world: World) -> dict[str, Any]:
    room = world.conversations[ROOM]
    return {
        "room": (room.expired_seq, room.oldest_ms, room.last_seq, room.retention_days),
        "messages": {key: (found.seq, found.text, found.deleted_ms, found.wiped) for key, found in world.messages.items()},
        "operations": {key: found.intent_id for key, found in world.operations.items()},
    }  # fmt: skip


def bodies(world: World, event: str) -> list[dict[str, Any]]:
    found = [msgspec.json.decode(b"{" + one.body) for one in world.events if one.header.event == event]
    return [one["data"] for one in found]


def check_hidden(world: World) -> None:
    """Everybody was told up to where, and nothing of what was said is left anywhere."""
    told = [one for one in world.events if one.header.event == "conversation.updated" and not one.header.to]
    assert msgspec.json.decode(b"{" + told[-1].body)["data"]["expired_seq"] == 3
    for key in ("a", "c"):
        assert nothing_left(world.messages[message(key)])
    assert nothing_left(world.messages[message("b", BEN)])


def nothing_left(found: StoredMessage) -> bool:
    said = (found.text, found.mentions, found.reactions, found.pinned_ms, found.edited_ms, found.body_hash)
    return not any(said) and found.deleted_ms is not None


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
async def test_what_is_too_old_goes_with_all_that_hung_on_it(batch: int) -> None:
    world = await undisturbed(a_story(), batch)
    check_hidden(world)
    assert content(world)["room"] == (3, 1005, 5, 1)
    assert world.messages[message("d")].text == "fourth"
    refused = [event.header.event_id for event in world.events if event.header.event.endswith(".rejected")]
    assert refused == ["i11", "i12"]
    assert bodies(world, "conversation.created")[-1]["first_seq"] == 4, "a newcomer who sees all sees what is left"
    resent = bodies(world, "message.created")[-1]
    assert (resent["seq"], resent["content"], resent["duplicate"]) == (1, None, True)


@pytest.mark.parametrize("batch", [1, 3, 100])
async def test_expiry_survives_a_crash_at_any_write(batch: int) -> None:
    """B6, B7: hidden and not yet wiped, wiped and not yet recorded: the next owner goes on where it was left."""
    intents = a_story()
    calm = await undisturbed(intents, batch)
    for point in range(1, calm.written + 1):
        for late_inserts in (False, True):
            world = World()
            world.append(*intents)
            world.fault = killed_at(point)
            await live_until_done(world, batch, late_inserts=late_inserts)
            world.land()
            assert content(world) == content(calm), f"killed after write {point}"
            check_promises(world, intents)
            check_hidden(world)


async def test_expiry_survives_a_lost_reply_at_any_write() -> None:
    intents = a_story()
    calm = await undisturbed(intents)
    for point in range(1, calm.written + 1):
        world = World()
        world.append(*intents)
        world.fault = reply_lost_at(point)
        await live_until_done(world, 100)
        assert content(world) == content(calm)
        check_hidden(world)


async def test_a_replay_brings_nothing_back() -> None:
    intents = a_story()
    world = await undisturbed(intents)
    before = content(world), dict(world.messages)
    await again(world, *range(1, len(intents) + 1))
    assert (content(world), dict(world.messages)) == before
    check = [one for one in bodies(world, "message.created") if one["seq"] <= 3]
    assert check
    assert all(one["content"] is None for one in check)


async def test_a_conversation_that_keeps_everything_by_now_keeps_it() -> None:
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    story.add(UpdateConversation, ANN, retention_days=1)
    story.add(UpdateConversation, ANN, retention_days=0)
    story.intents.append(expire(5, 0, 1, at_ms=9 * DAY_MS))
    world = await undisturbed(story.intents)
    assert world.messages[message("a")].text == "first"
    assert world.conversations[ROOM].expired_seq == 0


async def test_what_is_asked_for_while_it_is_going_is_told_once() -> None:
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    story.add(UpdateConversation, ANN, retention_days=1)
    more = [expire(4, 0, 1, at_ms=9 * DAY_MS), expire(5, 1, 1, at_ms=9 * DAY_MS), expire(6, 0, 1, at_ms=9 * DAY_MS)]
    story.intents += [*more[:2], msgspec.structs.replace(more[2], client_op_id=ClientOpId("another"))]
    for batch in (1, 100):
        world = await undisturbed(story.intents, batch)
        told = [one.header for one in world.events if one.header.event == "conversation.updated"]
        assert [(one.event_id, one.to) for one in told] == [
            ("i3", ()),
            ("i4", ()),
            ("i5", (SYSTEM,)),
            ("i6", (SYSTEM,)),
        ]


async def test_what_is_not_too_old_stays_whatever_the_intent_says() -> None:
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("a"), text="first")
    story.add(SendMessage, ANN, client_msg_id=ClientMsgId("b"), text="second")
    story.add(UpdateConversation, ANN, retention_days=1)
    story.intents.append(expire(5, 0, 2, at_ms=DAY_MS + 1002))
    world = await undisturbed(story.intents)
    assert [world.messages[message(key)].text for key in "ab"] == [None, "second"]
    assert (world.conversations[ROOM].expired_seq, world.conversations[ROOM].oldest_ms) == (1, 1003)


async def test_both_people_of_a_direct_conversation_say_how_long_it_keeps_and_a_member_of_a_group_does_not() -> None:
    story = Story()
    story.add(CreateConversation, ANN, room=DIRECT, kind="direct", member_ids=(ANN, BEN))
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN))
    story.add(UpdateConversation, BEN, room=DIRECT, retention_days=7)
    story.add(UpdateConversation, BEN, retention_days=7)
    story.add(UpdateConversation, BEN, room=DIRECT, title="no", retention_days=9)
    world = await undisturbed(story.intents)
    assert (world.conversations[DIRECT].retention_days, world.conversations[ROOM].retention_days) == (7, 0)
    assert [event.header.event_id for event in world.events if event.header.event == "operation.rejected"] == [
        "i4",
        "i5",
    ]


async def test_the_system_takes_a_person_out_with_all_they_said() -> None:
    """Erasure: even an owner, even in a direct conversation, and no hash is left to guess a text from."""
    story = Story()
    story.add(CreateConversation, ANN, room=DIRECT, kind="direct", member_ids=(ANN, BEN))
    story.add(SendMessage, ANN, room=DIRECT, client_msg_id=ClientMsgId("a"), text="first")
    story.add(DeleteMessage, ANN, room=DIRECT, message_id=message("a", room=DIRECT))
    story.add(DeleteMessage, SYSTEM, room=DIRECT, message_id=message("a", room=DIRECT))
    story.add(RemoveMember, SYSTEM, room=DIRECT, user_id=ANN)
    story.add(SendMessage, BEN, room=DIRECT, client_msg_id=ClientMsgId("b"), text="anybody?")
    world = await undisturbed(story.intents, 1)
    assert nothing_left(world.messages[message("a", room=DIRECT)])
    assert not world.people[DIRECT, ANN].current
    assert bodies(world, "message.rejected")[-1]["error"]["code"] == "blocked"
