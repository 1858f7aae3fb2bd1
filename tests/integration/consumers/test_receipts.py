"""Receipts on real servers: marks → MongoDB → events → user logs. C11"""

from typing import Any

import pytest

from backplane import history
from backplane.leases import Leases
from backplane.store.conversations import StoredMember
from backplane.streams import Partition
from consumers.process import make_receipts
from consumers.stages import Work
from schemas.ids import ConversationId, Position, StreamId, UserId, message_id_of
from schemas.stages import STAGES, StageName
from tests.integration.consumers.deployment import Deployment, a_send, until

pytestmark = pytest.mark.anyio

ANN, BEN, EVE = UserId("ann"), UserId("ben"), UserId("eve")
ALL: tuple[StageName, ...] = ("persist", "fanout", "receipts")


async def a_room(deployment: Deployment, *who: UserId, messages: int = 5) -> ConversationId:
    """A conversation with stored messages, everything settled."""
    room = await deployment.room(*who)
    await deployment.send(*(a_send(room, who[0]) for _ in range(messages)))
    await settle(deployment)
    return room


async def settle(deployment: Deployment) -> None:
    async with deployment.consumers(*ALL):
        await until(lambda: done(deployment))


async def done(deployment: Deployment) -> bool:
    return await deployment.unfinished(*ALL) == 0


async def member(deployment: Deployment, room: ConversationId, who: UserId) -> StoredMember:
    found = await deployment.store.conversations.member(room, who)
    assert found is not None
    return found


async def receipts(deployment: Deployment) -> list[dict[str, Any]]:
    return [body["data"] for header, body in await deployment.events() if header.event == "receipt.updated"]


async def heard(deployment: Deployment, who: UserId, head: Position) -> list[dict[str, Any]]:
    return [event["data"] for event in await deployment.log(who, head) if event["event"] == "receipt.updated"]


async def test_a_thousand_marks_are_one_write_and_one_event_a_person(deployment: Deployment) -> None:
    """C11"""
    room = await a_room(deployment, ANN, BEN)
    heads = {who: (await deployment.logs.open(who)).position for who in (ANN, BEN)}
    for number in range(100):
        await deployment.mark(room, ANN, number % 5)
        await deployment.mark(room, BEN, delivered_seq=number % 4)
    await settle(deployment)
    told = await receipts(deployment)
    assert sorted((one["user_id"], one["delivered_seq"], one["read_seq"]) for one in told) == [(ANN, 4, 4), (BEN, 3, 0)]
    for who, head in heads.items():
        assert await heard(deployment, who, head) == told
    assert (await member(deployment, room, ANN)).read_seq == 4
    assert (await member(deployment, room, BEN)).read_seq == 0


async def test_marks_never_fall_and_never_pass_the_newest_message(deployment: Deployment) -> None:
    """C11"""
    room = await a_room(deployment, ANN, BEN, messages=3)
    for numbers in ([2], [1], [2], [1000]):
        for number in numbers:
            await deployment.mark(room, BEN, number)
        await settle(deployment)
    assert [(one["delivered_seq"], one["read_seq"]) for one in await receipts(deployment)] == [(2, 2), (3, 3)]
    await deployment.send(a_send(room, ANN))
    await settle(deployment)
    assert (await member(deployment, room, BEN)).read_seq == 3, "a mark beyond the end does not read what comes later"


async def test_who_is_not_in_the_conversation_is_neither_marked_nor_brought_back(deployment: Deployment) -> None:
    """C11"""
    room = await a_room(deployment, ANN, BEN)
    members = deployment.store.database["members"]
    await members.update_one({"_id": f"{room}:{BEN}"}, {"$set": {"spans": [[1, 9]], "rev": 9}})
    await deployment.mark(room, BEN, 3)
    await deployment.mark(room, EVE, 3)
    await deployment.mark(ConversationId("nowhere"), ANN, 3)
    await settle(deployment)
    assert await receipts(deployment) == []
    assert not (await member(deployment, room, BEN)).current
    assert await deployment.store.conversations.member(room, EVE) is None
    assert await members.count_documents({"conversation_id": room}) == 2
    assert await deployment.dead() == []


async def test_what_is_read_in_private_is_told_to_ones_own_devices_alone(deployment: Deployment) -> None:
    room = await a_room(deployment, ANN, BEN)
    heads = {who: (await deployment.logs.open(who)).position for who in (ANN, BEN)}
    await deployment.mark(room, BEN, 4, private=True)
    await settle(deployment)
    assert await heard(deployment, ANN, heads[ANN]) == []
    [own] = await heard(deployment, BEN, heads[BEN])
    assert (own["read_seq"], own["delivered_seq"], own["private_read_seq"]) == (0, 0, 4)
    seen = await deployment.store.lists.one_of_user(room, BEN)
    assert seen is not None
    assert (seen.unread_count, seen.read_seq, seen.private_read_seq) == (1, 0, 4)
    others = await deployment.store.lists.one_of_user(room, ANN)
    assert others is not None
    assert {one.user_id: one.read_seq for one in others.members} == {ANN: 0, BEN: 0}


async def test_in_a_large_group_nobody_else_is_told(deployment: Deployment) -> None:
    """C11: marks would push everything else out of the others' logs."""
    deployment.settings = deployment.settings.model_copy(update={"receipt_members": 2})
    room = await a_room(deployment, ANN, BEN, EVE)
    heads = {who: (await deployment.logs.open(who)).position for who in (ANN, BEN, EVE)}
    await deployment.mark(room, BEN, 4)
    await settle(deployment)
    assert {who: len(await heard(deployment, who, head)) for who, head in heads.items()} == {ANN: 0, BEN: 1, EVE: 0}


async def test_a_thread_has_marks_of_its_own(deployment: Deployment) -> None:
    room = await deployment.room(ANN, BEN)
    root = a_send(room, ANN)
    await deployment.send(root, a_send(room, ANN))
    await settle(deployment)
    thread = message_id_of(room, ANN, root.client_msg_id)
    await deployment.mark(room, BEN, 2, thread_root_id=thread)
    await deployment.mark(room, BEN, 1, thread_root_id=thread)
    await deployment.mark(room, BEN, 2, thread_root_id="0190c0de-0000-7000-8000-000000000001")
    await settle(deployment)
    [told] = await receipts(deployment)
    assert (told["thread_root_id"], told["read_seq"]) == (thread, 2)
    assert (await member(deployment, room, BEN)).read_seq == 0
    [stored] = await deployment.store.marks.threads_of(room, BEN)
    assert (stored.thread_root_id, stored.read_seq, stored.delivered_seq) == (thread, 2, 2)
    assert await deployment.store.marks.threads_of(room, ANN) == []


async def test_an_owner_killed_between_write_and_settle_leaves_nobody_untold(deployment: Deployment) -> None:
    """C11, A1"""
    room = await a_room(deployment, ANN, BEN)
    head = (await deployment.logs.open(ANN)).position
    for number in (1, 3, 2):
        await deployment.mark(room, BEN, number)
        await deployment.mark(room, ANN, number + 1)
    await write_and_die(deployment, deployment.names.partition_of(room))
    assert (await member(deployment, room, BEN)).read_seq == 3
    assert await receipts(deployment) == []
    await settle(deployment)
    assert {(one["user_id"], one["read_seq"]) for one in await heard(deployment, ANN, head)} == {(BEN, 3), (ANN, 4)}


async def write_and_die(deployment: Deployment, partition: int) -> None:
    """What an owner does up to the moment before its settle."""
    stage = STAGES["receipts"]
    token = await Leases(deployment.redis, stage, "mortal", lease_ms=1).acquire(partition)
    assert token is not None
    owned = Partition(deployment.redis, stage, partition, token)
    await owned.pending(1)
    taken = await owned.fetch(100)
    handler = make_receipts(deployment.settings, deployment.redis, deployment.store, partition)
    await handler.handle(taken.era, [Work(entry, handler.decode(entry)) for entry in taken.entries])


async def test_the_whole_stream_again_changes_nothing_and_tells_only_what_is_so(deployment: Deployment) -> None:
    """C11: somebody may not have been told; what is told is how it is now, and nothing of what was private."""
    room = await a_room(deployment, ANN, BEN)
    for number in (1, 4, 2):
        await deployment.mark(room, BEN, number)
        await deployment.mark(room, ANN, number, private=True)
        await settle(deployment)
    before = [await member(deployment, room, who) for who in (ANN, BEN)]
    told = await receipts(deployment)
    stream = deployment.names.receipts(deployment.names.partition_of(room))
    entries = await history.between(deployment.redis, stream, history.FIRST, history.LAST)
    await history.append_again(deployment.redis, stream, entries)
    await settle(deployment)
    assert [await member(deployment, room, who) for who in (ANN, BEN)] == before
    again = (await receipts(deployment))[len(told) :]
    assert [one["user_id"] for one in again] == [BEN, ANN]
    assert all(one in told[-2:] for one in again)
    assert len(entries) == 6


async def test_what_is_no_mark_is_buried_and_its_neighbours_are_not(deployment: Deployment) -> None:
    """A10"""
    room = await a_room(deployment, ANN, BEN)
    stream = deployment.names.receipts(deployment.names.partition_of(room))
    for raw in (b"", b"null", b'{"mark_id":1}'):
        await deployment.redis.command("XADD", stream, "*", b"m", raw)
    await deployment.mark(room, BEN, 2)
    await settle(deployment)
    assert [entry[b"stage"] for entry in await deployment.dead()] == [b"receipts"] * 3
    assert (await member(deployment, room, BEN)).read_seq == 2


async def test_settled_marks_are_trimmed_and_unsettled_ones_are_not(deployment: Deployment) -> None:
    """B14"""
    room = await a_room(deployment, ANN, BEN)
    partition = deployment.names.partition_of(room)
    stage = STAGES["receipts"]
    for number in range(10):
        await deployment.mark(room, BEN, number)
    token = await Leases(deployment.redis, stage, "owner", lease_ms=60_000).acquire(partition)
    assert token is not None
    owned = Partition(deployment.redis, stage, partition, token)
    await owned.pending(1)
    assert (await owned.trim(max_age_seconds=0, max_entries=1)).entries == 0
    taken = (await owned.fetch(4)).entries
    assert (await owned.trim(max_age_seconds=0, max_entries=1)).entries == 0
    await deployment.redis.command(
        "XACK", deployment.names.receipts(partition), "receipts", *(str(one.id) for one in taken)
    )
    assert (await owned.trim(max_age_seconds=0, max_entries=1)).entries == 4
    assert (
        StreamId.parse((await deployment.redis.command("XRANGE", deployment.names.receipts(partition), "-", "+"))[0][0])
        > taken[-1].id
    )
