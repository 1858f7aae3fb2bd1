"""What somebody who is blocked may say on the socket in the direct conversation: every frame of the protocol."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, get_args

import pytest

from backplane.streams import Intents
from consumers.process import run
from schemas.client_frames import ClientFrame
from schemas.ids import (
    ClientMsgId,
    ClientOpId,
    ConversationId,
    IntentId,
    MessageId,
    UserId,
    direct_conversation_id,
    message_id_of,
)
from schemas.intents import AddReaction, CreateConversation, Intent, SendMessage, SetBlock, encode_intent
from tests.integration.gateway.socket.rig import Client, Rig

pytestmark = pytest.mark.anyio

REFUSED: Final = ("message.send", "message.edit", "message.delete", "reaction.add", "reaction.remove")
"""Accepted, as every frame, and then rejected with `blocked`."""
PRIVATE: Final = ("receipt",)
"""Told to their own devices alone."""
TO_WATCHERS: Final = ("typing",)
"""Not narrowed: it reaches whoever watches."""
OF_ONESELF: Final = (
    "connect", "pong", "sync", "refresh", "watch", "unwatch", "presence.subscribe", "presence.unsubscribe", "presence.set",
)  # fmt: skip
"""About no conversation, or heard by nobody in it."""


def new() -> str:
    return str(uuid.uuid4())


@dataclass
class Direct:
    """Ann and Bob talk; Bob has blocked Ann."""

    rig: Rig
    ann: UserId
    bob: UserId
    room: ConversationId
    message: MessageId
    anns: Client
    bobs: Client

    async def intend(self, of: type[Intent], actor: UserId, **fields: object) -> None:
        now_ms = time.time_ns() // 1_000_000
        common = {"intent_id": IntentId(new()), "conversation_id": self.room, "actor_id": actor, "at_ms": now_ms}
        intent = of(**common, **fields)  # type: ignore[arg-type]
        partition = self.rig.settings.names.partition_of(self.room)
        await Intents(self.rig.redis, limit=100).append(partition, encode_intent(intent))


@pytest.fixture
async def direct(live: Rig) -> AsyncIterator[Direct]:
    stop = asyncio.Event()
    running = asyncio.create_task(run(live.settings, ["persist", "fanout", "receipts"], stop))
    ann, bob = UserId(new()), UserId(new())
    room, key = direct_conversation_id(ann, bob), ClientMsgId(new())
    (anns, _), (bobs, _) = await live.connected(ann), await live.connected(bob)
    direct = Direct(live, ann, bob, room, message_id_of(room, ann, key), anns, bobs)
    await direct.intend(CreateConversation, ann, kind="direct", member_ids=(ann, bob))
    await direct.intend(SendMessage, ann, client_msg_id=key, text="hi")
    reaction = {"message_id": direct.message, "emoji": ":ok:", "client_op_id": ClientOpId(new())}
    await direct.intend(AddReaction, ann, **reaction)
    await direct.intend(SetBlock, bob, client_op_id=ClientOpId(new()), user_id=ann, blocked=True)
    await bobs.hear("event", event="block.updated")
    await anns.hear("event", event="reaction.added")
    yield direct
    stop.set()
    await running


async def heard_by_bob(direct: Direct) -> list[str]:
    """The events that came to Bob before one that he asks for now."""
    direct.bobs.passed.clear()
    await direct.intend(SendMessage, direct.bob, client_msg_id=ClientMsgId(new()), text="the end")
    await direct.bobs.hear("event", event="message.created")
    return [frame["event"] for frame in direct.bobs.passed if frame["type"] == "event"]


@pytest.mark.parametrize("frame", REFUSED)
async def test_what_the_other_one_would_see_is_rejected_to_its_sender_alone(direct: Direct, frame: str) -> None:
    fields: dict[str, object] = {"conversation_id": direct.room}
    fields |= {"client_msg_id": new()} if frame == "message.send" else {"client_op_id": new()}
    fields |= {} if frame == "message.send" else {"message_id": direct.message}
    fields |= {"content": {"text": "psst"}} if frame in {"message.send", "message.edit"} else {}
    fields |= {"emoji": ":ok:"} if frame.startswith("reaction") else {}
    assert (await direct.anns.ask(frame, **fields))["ok"] is True
    rejection = "message.rejected" if frame == "message.send" else "operation.rejected"
    told = (await direct.anns.hear("event", event=rejection))["data"]
    assert told["error"]["code"] == "blocked"
    assert [told.get(key) for key in ("client_msg_id", "client_op_id") if key in fields] == [
        fields.get("client_msg_id") or fields.get("client_op_id")
    ]
    assert await heard_by_bob(direct) == []


@pytest.mark.parametrize("frame", PRIVATE)
async def test_a_reading_is_told_to_their_own_devices(direct: Direct, frame: str) -> None:
    other_device, _ = await direct.rig.connected(direct.ann)
    await direct.anns.say(frame, conversation_id=direct.room, read_seq=1)
    told = (await other_device.hear("event", event="receipt.updated"))["data"]
    assert (told["user_id"], told["read_seq"], told["private_read_seq"]) == (direct.ann, 0, 1)
    assert await heard_by_bob(direct) == []


@pytest.mark.parametrize("frame", TO_WATCHERS)
async def test_typing_does_not_ask_for_blocks(direct: Direct, frame: str) -> None:
    assert (await direct.bobs.ask("watch", conversation_id=direct.room))["ok"] is True
    await direct.anns.say(frame, conversation_id=direct.room, state="start")
    assert (await direct.bobs.hear("ephemeral", event="typing"))["data"]["user_id"] == direct.ann


def test_every_frame_of_the_protocol_has_its_place() -> None:
    frames = {one.__struct_config__.tag for one in get_args(ClientFrame)}
    assert frames == {*REFUSED, *PRIVATE, *TO_WATCHERS, *OF_ONESELF}
