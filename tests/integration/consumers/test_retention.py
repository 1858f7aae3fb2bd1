"""From a setting to what is left: the owner of partition 0 asks, persist takes out, everybody hears."""

import time

import pytest
from msgspec.structs import replace

from backplane.store.expiry import DAY_MS
from schemas.ids import ClientOpId, ConversationId, IntentId, UserId
from schemas.intents import UpdateConversation
from tests.integration.consumers.deployment import Deployment, a_send, identifier, until

pytestmark = pytest.mark.anyio

ANN, BEN = UserId("ann"), UserId("ben")


@pytest.fixture
def retaining(deployment: Deployment) -> Deployment:
    deployment.settings = deployment.settings.model_copy(update={"retention_seconds": 0.2})
    return deployment


def keeps(room: ConversationId, days: int) -> UpdateConversation:
    key, now_ms = identifier(), int(time.time() * 1000)
    return UpdateConversation(
        intent_id=IntentId(key), conversation_id=room, actor_id=ANN, client_op_id=ClientOpId(key), at_ms=now_ms,
        retention_days=days,
    )  # fmt: skip


async def test_what_a_conversation_keeps_no_longer_is_gone_for_everybody(retaining: Deployment) -> None:
    head = (await retaining.logs.open(BEN)).position
    room, other = await retaining.room(ANN, BEN), await retaining.room(ANN, BEN)
    old = [replace(a_send(room, ANN, f"old {n}"), at_ms=int(time.time() * 1000) - 2 * DAY_MS) for n in range(450)]
    kept = replace(a_send(other, ANN, "as old"), at_ms=old[0].at_ms)
    await retaining.send(*old, a_send(room, ANN, "new"), kept, keeps(room, 1))
    async with retaining.consumers():

        async def gone() -> bool:
            stored = (await retaining.store.conversations.find([room])).get(room)
            return stored is not None and stored.expired_seq == 450 and await retaining.unfinished() == 0

        await until(gone)
    messages = sorted(await retaining.messages(room), key=lambda message: message.seq)
    assert [message.text for message in messages] == [None] * 450 + ["new"]
    assert [message.text for message in await retaining.messages(other)] == ["as old"]
    stored = (await retaining.store.conversations.find([room]))[room]
    assert stored.oldest_ms == messages[-1].created_ms
    told = [one["data"] for one in await retaining.log(BEN, head) if one["event"] == "conversation.updated"]
    assert [one["expired_seq"] for one in told] == [0, 200, 400, 450]
    seen = await retaining.store.lists.one_of_user(room, BEN)
    assert seen is not None
    assert (seen.first_seq, seen.unread_count, seen.retention_days) == (451, 1, 1)
    assert not any(one["event"].endswith("rejected") for one in await retaining.log(BEN, head))


async def test_the_deployment_s_own_days_and_nothing_left_to_do(retaining: Deployment) -> None:
    retaining.settings = retaining.settings.model_copy(update={"retention_days": 1})
    room = await retaining.room(ANN, BEN)
    await retaining.send(replace(a_send(room, ANN), at_ms=int(time.time() * 1000) - 2 * DAY_MS))
    async with retaining.consumers():

        async def gone() -> bool:
            stored = (await retaining.store.conversations.find([room])).get(room)
            return stored is not None and (stored.expired_seq, stored.oldest_ms) == (1, 0)

        await until(gone)
    assert await retaining.store.expiry.due(int(time.time() * 1000), 1, limit=10) == []
    seen = await retaining.store.lists.one_of_user(room, BEN)
    assert seen is not None
    assert (seen.last_message, seen.unread_count, seen.last_seq) == (None, 0, 1)
