"""persist on the model: the process is ended after every single write, and the next owner is left to it.

The promises are checked after each: nothing lost, stored once, no gaps, everybody hears of everything, refused is never stored.
"""

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backplane.errors import Permanent, Unknown
from backplane.store.conversations import StoredConversation, StoredMember
from consumers.stages import Work
from schemas.events import parse_answer
from schemas.ids import (
    ClientMsgId,
    ConversationId,
    IntentId,
    StreamId,
    UserId,
    direct_conversation_id,
    group_conversation_id,
    message_id_of,
)
from schemas.intents import CreateConversation, Intent, SendMessage
from tests.unit.consumers.world import Killed, Process, World, check_promises, killed_at, reply_lost_at

pytestmark = pytest.mark.anyio

ANN, BEN, CID, STRANGER = UserId("ann"), UserId("ben"), UserId("cid"), UserId("stranger")
ROOM = ConversationId("room")
GROUP = group_conversation_id(ANN, "key")
DIRECT = direct_conversation_id(ANN, BEN)


def send(number: int, key: str, *, who: UserId = ANN, text: str = "hi", room: ConversationId = ROOM) -> SendMessage:
    return SendMessage(IntentId(f"i{number}"), room, who, ClientMsgId(key), text, 1000 + number)


def create(number: int, kind: str, room: ConversationId, *who: UserId) -> CreateConversation:
    return CreateConversation(IntentId(f"i{number}"), room, who[0], kind, who, 1000 + number)


INTENTS: Sequence[Intent] = (
    send(1, "k1"),
    create(2, "group", GROUP, ANN, BEN, CID),
    send(3, "g1", room=GROUP, who=BEN),
    send(4, "k2", who=BEN),
    send(5, "k1"),  # a resend by the client
    send(6, "k3", who=STRANGER),
    create(7, "direct", DIRECT, ANN, BEN),
    create(8, "direct", DIRECT, BEN, ANN),  # the other one asks at the same time
    send(9, "k1", text="something else"),  # a conflict
    send(10, "d1", room=DIRECT, who=BEN),
    send(11, "k4"),
    send(3, "g1", room=GROUP, who=BEN),  # the gateway's XADD landed twice
)


def a_world(*intents: Intent) -> World:
    world = World()
    room = StoredConversation(
        conversation_id=ROOM, kind="group", title=None, created_by=ANN, created_ms=1, intent_id="i0", body_hash="", rev=1, last_seq=0
    )  # fmt: skip
    world.add_conversation(room, [a_member(ANN), a_member(BEN)])
    world.append(*intents)
    return world


def a_member(user: UserId, left: int | None = None) -> StoredMember:
    return StoredMember(conversation_id=ROOM, user_id=user, role="member", rev=left or 1, spans=((1, left),))


async def live_until_done(world: World, batch: int, *, late_inserts: bool = False) -> None:
    """Owners follow each other until one has drained the stream."""
    for _ in range(50):
        try:
            process = Process(world, late_inserts=late_inserts)
            if late_inserts and world.late:
                await process.stage.handle("era", [])  # has begun, before its predecessor's writes land
                world.land()
            await process.drain(batch)
        except (Killed, Unknown):
            continue
        return
    raise AssertionError("never done")


async def writes_of(intents: Sequence[Intent], batch: int) -> int:
    world = a_world(*intents)
    await Process(world).drain(batch)
    return world.written


@pytest.mark.parametrize("batch", [1, 3, 100])
async def test_every_promise_holds_after_a_crash_at_any_write(batch: int) -> None:
    """A1, A9, B12, C13: one crash anywhere."""
    total = await writes_of(INTENTS, batch)
    for point in range(1, total + 1):
        world = a_world(*INTENTS)
        world.fault = killed_at(point)
        await live_until_done(world, batch)
        check_promises(world, INTENTS)


async def test_every_promise_holds_after_two_crashes_anywhere() -> None:
    total = await writes_of(INTENTS, 100)
    for first, second in itertools.combinations(range(1, total + 8), 2):
        world = a_world(*INTENTS)
        world.fault = killed_at(first, second)
        await live_until_done(world, 100)
        check_promises(world, INTENTS)


@pytest.mark.parametrize("batch", [1, 3, 100])
async def test_every_promise_holds_when_any_reply_is_lost(batch: int) -> None:
    """C4, C6: the identical documents are written again, and found to be there."""
    total = await writes_of(INTENTS, batch)
    for point in range(1, total + 1):
        world = a_world(*INTENTS)
        world.fault = reply_lost_at(point, point + 1)
        await live_until_done(world, batch)
        check_promises(world, INTENTS)


async def test_every_promise_holds_when_a_dead_owner_s_writes_land_late() -> None:
    """C4, A9: a foreign number is met; the one whose token is the newest reads again and goes on."""
    total = await writes_of(INTENTS, 100)
    for point in range(1, total + 1):
        world = a_world(*INTENTS)
        world.fault = killed_at(point)
        await live_until_done(world, 100, late_inserts=True)
        world.land()
        check_promises(world, INTENTS)


async def test_a_write_that_lands_between_reading_and_writing_is_a_foreign_number() -> None:
    """C4: our numbers are taken by a predecessor's late write, after we have read them."""
    world = a_world(send(1, "k1"), send(2, "k2"), send(3, "k3"))
    world.fault = killed_at(1)
    with pytest.raises(Killed):
        await Process(world, late_inserts=True).drain(100)
    world.acknowledged.update({StreamId(2, 0), StreamId(3, 0)})  # only k1 comes back: k2 and k3 land late
    successor = Process(world)
    await successor.drain(100)
    world.land()
    world.append(send(4, "k4"))
    await successor.drain(100)
    assert [found.client_msg_id for found in sorted(world.messages.values(), key=lambda found: found.seq)] == [
        "k1", "k2", "k3", "k4"
    ]  # fmt: skip


async def test_what_was_stored_is_announced_though_its_sender_was_removed_meanwhile() -> None:
    """A3"""
    world = a_world(send(1, "k1"))
    world.fault = killed_at(1)
    with pytest.raises(Killed):
        await Process(world).drain(1)
    world.people[ROOM, ANN] = a_member(ANN, left=3)
    await Process(world).drain(1)
    assert [(event.header.event, event.header.to) for event in world.events] == [("message.created", ())]
    assert next(iter(world.messages.values())).rev == 2


async def test_the_numbers_go_on_after_a_removed_member_s_rev() -> None:
    """B6: the highest rev may be on a member, with the conversation's own not yet raised."""
    world = a_world(send(1, "k1", who=BEN))
    world.people[ROOM, ANN] = a_member(ANN, left=7)
    await Process(world).drain(1)
    assert [(found.seq, found.rev) for found in world.messages.values()] == [(1, 8)]


async def test_a_hole_becomes_a_void_that_everybody_hears_of_even_if_the_owner_dies() -> None:
    """A8, A9, D2"""
    for point in range(1, 9):
        world = a_world(send(1, "k1"), send(2, "k2"), send(3, "k3"), send(4, "k4"))
        await Process(world).drain(100)
        # Two holes, as an unordered write would have left them; the counter had not been raised.
        for key in ("k1", "k3"):
            del world.messages[message_id_of(ROOM, ANN, ClientMsgId(key))]
        world.conversations[ROOM] = msgspec.structs.replace(world.conversations[ROOM], rev=1, last_seq=0)
        world.events = [event for event in world.events if event.header.rev in {3, 5}]
        world.append(send(5, "k5"))
        world.written, world.fault = 0, killed_at(point)
        await live_until_done(world, 100)
        world.append(send(6, "k6"))
        await live_until_done(world, 100)
        check_promises(world, [send(2, "k2"), send(4, "k4"), send(5, "k5"), send(6, "k6")])
        assert sorted(found.seq for found in world.messages.values() if found.void) == [1, 3]


async def test_repeats_cost_a_look_up_and_new_messages_none() -> None:
    world = a_world(send(1, "k1"), send(2, "k2"))
    await Process(world).drain(100)
    assert world.looked_up == 0
    world.append(send(3, "k3"), send(4, "k1"), send(5, "k5"))
    await Process(world).drain(100)
    assert world.looked_up > 0
    check_promises(world, [send(1, "k1"), send(2, "k2"), send(3, "k3"), send(4, "k1"), send(5, "k5")])


async def test_while_an_outcome_is_open_nothing_is_decided_anew() -> None:
    """C6: were the second try decided anew, it would be refused while the first still lands."""
    world = a_world(send(1, "k1"))
    owner = Process(world)

    def lose_the_reply_and_the_member(number: int) -> BaseException | None:
        if number > 1:
            return None
        world.people[ROOM, ANN] = a_member(ANN, left=9)
        world.land()
        world.late.append(list(world.messages.values()))
        world.messages.clear()  # on its way, not there yet
        return Unknown("no answer")

    world.fault = lose_the_reply_and_the_member
    await owner.drain(1)
    world.land()
    assert len(world.messages) == 1
    assert [event.header.event for event in world.events] == ["message.created"]


async def test_after_a_failed_batch_the_numbers_are_read_again() -> None:
    world = a_world(send(1, "k1"), send(2, "k2"))
    process = Process(world)
    world.fault = lambda number: Permanent("too large") if number == 1 else None
    works = [Work(entry, process.stage.decode(entry)) for entry in world.entries]
    with pytest.raises(Permanent):
        await process.stage.handle("era", works)
    await process.drain(1)
    check_promises(world, [send(1, "k1"), send(2, "k2")])


async def test_an_intent_given_up_though_stored_is_announced_and_not_refused() -> None:
    """A10"""
    world = a_world(send(1, "k1"))
    world.fault = killed_at(1)
    with pytest.raises(Killed):
        await Process(world).drain(1)
    entry = world.entries[0]
    stage = Process(world).stage
    assert [event.header.event for event in await stage.give_up(entry, stage.decode(entry))] == ["message.created"]


async def test_whoever_waits_is_answered_once_it_is_settled() -> None:
    """C2"""
    waiting = SendMessage(IntentId("i1"), ROOM, ANN, ClientMsgId("k1"), "hi", 1, answer="hr:{g1}")
    refused = SendMessage(IntentId("i2"), ROOM, STRANGER, ClientMsgId("k1"), "hi", 1, answer="hr:{g1}")
    world = a_world(waiting, refused)
    process = Process(world)
    await process.drain(10)
    answers = [(channel, parse_answer(payload)) for channel, payload in process.rung]
    assert [(channel, answer.intent_id, answer.event) for channel, answer in answers] == [
        ("hr:{g1}", "i1", "message.created"),
        ("hr:{g1}", "i2", "message.rejected"),
    ]


keys = st.sampled_from(["k1", "k2", "k3", "k4"])
sends = st.builds(lambda key, who: (key, who), keys, st.sampled_from([ANN, BEN]))


@given(
    st.lists(sends, min_size=1, max_size=14),
    st.lists(st.integers(1, 6), min_size=1, max_size=10),
    st.sets(st.integers(1, 60), max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_any_split_crash_and_resend_stores_the_same_in_the_same_order(
    requests: list[tuple[str, UserId]], splits: list[int], crashes: set[int]
) -> None:
    intents = [send(number, key, who=who) for number, (key, who) in enumerate(requests)]
    expected = list(dict.fromkeys((who, key) for key, who in requests))

    async def run() -> World:
        world = a_world(*intents)
        world.fault = killed_at(*crashes)
        sizes = itertools.cycle(splits)
        for _ in range(20):
            try:
                await Process(world).drain(next(sizes))
            except Killed:
                continue
            return world
        raise AssertionError("never done")

    import anyio  # noqa: PLC0415 - hypothesis gives no async tests; this one runs its own loop

    world = anyio.run(run)
    check_promises(world, intents)
    in_order = sorted(world.messages.values(), key=lambda found: found.seq)
    assert [(found.sender_id, found.client_msg_id) for found in in_order] == expected
