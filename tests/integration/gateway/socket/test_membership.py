"""Watching, with real consumers: whoever is removed hears so and watches no more; whoever comes back may watch again."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from backplane.streams import Intents
from consumers.process import run
from schemas.ids import ClientOpId, ConversationId, IntentId, UserId
from schemas.intents import AddMembers, CreateConversation, Intent, RemoveMember, encode_intent
from tests.integration.gateway.socket.rig import Client, Rig, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def served(live: Rig) -> AsyncIterator[Rig]:
    stop = asyncio.Event()
    running = asyncio.create_task(run(live.settings, ["persist", "fanout"], stop))
    yield live
    stop.set()
    await running


def new() -> str:
    return str(uuid.uuid4())


async def intend(rig: Rig, intent: Intent) -> None:
    partition = rig.settings.names.partition_of(intent.conversation_id)
    await Intents(rig.redis, limit=100).append(partition, encode_intent(intent))


def change(room: ConversationId, actor: UserId) -> dict:
    return {
        "intent_id": IntentId(new()),
        "conversation_id": room,
        "actor_id": actor,
        "client_op_id": ClientOpId(new()),
        "at_ms": time.time_ns() // 1_000_000,
    }


async def typed(client: Client) -> str:
    return (await client.hear("ephemeral", event="typing"))["data"]["user_id"]


async def test_a_removal_and_a_return_through_the_whole_way(served: Rig):
    """C19"""
    ann, bob, room = UserId(new()), UserId(new()), ConversationId(new())
    anns, _ = await served.connected(ann)
    bobs, _ = await served.connected(bob)
    now_ms = time.time_ns() // 1_000_000
    await intend(served, CreateConversation(IntentId(new()), room, ann, "group", (ann, bob), now_ms, title="group"))
    await bobs.hear("event", event="conversation.created")
    assert (await bobs.ask("watch", conversation_id=room))["ok"] is True
    await anns.say("typing", conversation_id=room, state="start")
    assert await typed(bobs) == ann

    await intend(served, RemoveMember(user_id=bob, **change(room, ann)))
    await bobs.hear("event", event="member.left")
    await until(lambda: served.ephemera.watched == 0)
    for request in ({"type_": "watch"}, {"type_": "typing", "state": "start"}):
        assert (await bobs.ask(conversation_id=room, **request))["error"]["code"] == "not_member"

    await intend(served, AddMembers(user_ids=(bob,), **change(room, ann)))
    await bobs.hear("event", event="conversation.created")
    assert (await bobs.ask("watch", conversation_id=room))["ok"] is True
    await anns.say("typing", conversation_id=room, state="stop")
    assert await typed(bobs) == ann
