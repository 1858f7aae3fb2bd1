"""From `message.send` to the intent stream."""

import asyncio
import uuid

import pytest

from schemas.ids import ConversationId
from schemas.intents import SendMessage, decode_intent
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import CONVERSATION, Rig

pytestmark = pytest.mark.anyio


async def taken(rig: Rig, conversation: str = CONVERSATION) -> list[SendMessage]:
    stream = rig.settings.names.intents(rig.settings.names.partition_of(ConversationId(conversation)))
    intents = [decode_intent(fields[1]) for _, fields in await rig.redis.command("XRANGE", stream, "-", "+")]
    return [intent for intent in intents if isinstance(intent, SendMessage)]


async def test_accepted_means_that_the_intent_is_in_the_stream(rig: Rig):
    client, _ = await rig.connected("ann")
    key = str(uuid.uuid4())
    other = str(uuid.uuid4())
    reply = await client.send("  e\u0301\r\n", client_msg_id=key, mentions=[other], reply_to=other)
    assert reply["result"] == {"status": "accepted", "client_msg_id": key}
    [intent] = await taken(rig)
    assert (intent.actor_id, intent.client_msg_id, intent.text) == ("ann", key, "  é\n")
    assert (intent.mentions, intent.reply_to, intent.answer) == ((other,), other, None)


async def test_a_resend_is_another_intent_of_the_same_message(rig: Rig):
    client, _ = await rig.connected("ann")
    key = str(uuid.uuid4())
    await client.send(client_msg_id=key)
    await client.send(client_msg_id=key)
    one, two = await taken(rig)
    assert one.client_msg_id == two.client_msg_id == key
    assert one.intent_id != two.intent_id


async def test_sends_of_one_connection_keep_their_order_without_waiting_for_answers(rig: Rig):
    client, _ = await rig.connected("ann")
    for number in range(500):
        await client.say(
            "message.send",
            id=number,
            conversation_id=CONVERSATION,
            client_msg_id=str(uuid.uuid4()),
            content={"text": str(number)},
        )
    replies = [await client.hear("reply") for _ in range(500)]
    assert all(reply["ok"] for reply in replies)
    assert [reply["id"] for reply in replies] == list(range(500))
    assert [intent.text for intent in await taken(rig)] == [str(number) for number in range(500)]


async def overloaded(rig: Rig, seconds: float = 15) -> dict:
    """Send until it is refused."""
    client, _ = await rig.connected("ann")
    async with asyncio.timeout(seconds):
        while (reply := await client.send())["ok"]:
            pass
    return reply["error"]


@with_limits(overload_seconds=0.3)
async def test_a_server_that_falls_behind_takes_no_more(rig: Rig):
    """B13"""
    error = await overloaded(rig)
    assert error["code"] == "overloaded"
    assert error["temporary"] is True
    assert error["retry_after_ms"] > 0


@with_limits(memory_limit_ratio=0.000001)
async def test_a_redis_without_a_limit_is_never_full(rig: Rig):
    client, _ = await rig.connected("ann")
    assert (await client.send())["ok"] is True


async def test_a_lag_that_can_not_be_told_counts_as_too_much(rig: Rig):
    """B13"""
    names = rig.settings.names
    client, _ = await rig.connected("ann")
    await client.send()
    partition = names.partition_of(ConversationId(CONVERSATION))
    await rig.redis.command("XGROUP", "DESTROY", names.intents(partition), "persist")
    assert (await overloaded(rig))["code"] == "overloaded"
