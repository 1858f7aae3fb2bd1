"""From `receipt` to the stream of marks."""

import asyncio

import pytest

from schemas.ids import ConversationId
from schemas.marks import Mark, decode_mark
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import CONVERSATION, Rig

pytestmark = pytest.mark.anyio


async def taken(rig: Rig) -> list[Mark]:
    stream = rig.settings.names.receipts(rig.settings.names.partition_of(ConversationId(CONVERSATION)))
    return [decode_mark(fields[1]) for _, fields in await rig.redis.command("XRANGE", stream, "-", "+")]


async def reached(rig: Rig, read_seq: int) -> list[Mark]:
    async with asyncio.timeout(20):
        while True:
            marks = await taken(rig)
            if marks and marks[-1].read_seq >= read_seq:
                return marks
            await asyncio.sleep(0.02)


async def test_a_flood_of_receipts_becomes_a_few_marks_and_no_reply(rig: Rig):
    """C11"""
    client, _ = await rig.connected("ann")
    for number in range(1, 2001):
        await client.say("receipt", conversation_id=CONVERSATION, read_seq=number, id=number)
    marks = await reached(rig, 2000)
    assert len(marks) < 20
    assert {mark.actor_id for mark in marks} == {"ann"}
    assert (await client.send())["ok"], "the next reply is the send's: a receipt has none"
    assert [frame for frame in client.passed if frame["type"] == "reply"] == []


async def test_what_was_said_before_a_hang_up_is_appended(rig: Rig):
    client, _ = await rig.connected("ann")
    for number in (1, 2, 3):
        await client.say("receipt", conversation_id=CONVERSATION, delivered_seq=9, read_seq=number, private=True)
    await client.socket.close()
    [*_, last] = await reached(rig, 3)
    assert (last.delivered_seq, last.private) == (9, True)


async def test_a_receipt_that_says_nothing_is_refused(rig: Rig):
    client, _ = await rig.connected("ann")
    reply = await client.ask("receipt", conversation_id=CONVERSATION)
    assert (reply["ok"], reply["error"]["code"]) == (False, "bad_request")


@with_limits(overload_seconds=0.3)
async def test_marks_that_pile_up_refuse_marks_and_no_message(rig: Rig):
    """B13"""
    client, _ = await rig.connected("ann")
    stream = rig.settings.names.receipts(0)
    await rig.redis.command("XADD", stream, "*", "m", "old")
    async with asyncio.timeout(15):
        while True:
            await client.say("receipt", id=7, conversation_id=CONVERSATION, read_seq=1)
            reply = await client.send()
            assert reply["ok"]
            if any(frame.get("id") == 7 for frame in client.passed):
                break
            for partition in range(rig.settings.partitions):  # what was sent is done, so that only marks are late
                names = rig.settings.names
                await rig.redis.command("XGROUP", "SETID", names.intents(partition), "persist", "$")
            await asyncio.sleep(0.05)
    refused = next(frame for frame in client.passed if frame.get("id") == 7)
    assert refused["error"]["code"] == "overloaded"
