"""Everything that a deployment was ever asked for is sent again, and nothing is any different: `headrace replay` on a living one.

The one thing that a replay may change is a mark that was beyond the newest message, or of somebody who was blocked, when it was said
(docs/cli.md): so people here mark what is there, and who may be blocked marks nothing in the direct conversation.
"""

import asyncio
import json
import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx2
import pymongo
import pytest

from schemas.stages import Replayed
from tests.system.scene import seeded
from tests.system.stack import ROOT, Stack, run_stack
from tests.system.stories import MOVES, Move, Scene, compare, differences, scenes_on, shape

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 24


async def read_what_is_there(scene: Scene) -> None:
    """A receipt of messages that are stored: over the socket or over REST, in a thread, in private."""
    if not scene.said:
        return
    message = scene.rng.choice(scene.said)
    room, root = message["conversation_id"], message["thread_root_id"] if scene.rng.random() < 0.5 else None
    fields = {"read_seq": message["seq"], "thread_root_id": root, "private": scene.rng.random() < 0.3}
    maybe_blocked = list(scene.tokens)[1]
    device = scene.rng.choice(
        [one for one in scene.devices if room == scene.rooms[0] or one.view.user_id != maybe_blocked]
    )
    if device.client is not None and scene.rng.random() < 0.5:
        device.client.mark(room, **fields)
    else:
        await scene.ask(device.view.user_id, "POST", f"/api/conversations/{room}/read", fields)


MARKED: list[Move] = [*(move for move in MOVES if move is not Scene.read), *[read_what_is_there] * 6]


async def test_everything_sent_again_changes_nothing_in_mongodb_and_no_view(tmp_path: Path) -> None:
    """A1, A2, B7, C11: all intents and all marks of a run with every kind of change; some devices hear of it live, others later."""
    rng = seeded()
    async with run_stack(tmp_path, heartbeat_seconds="20") as stack, httpx2.AsyncClient() as http:
        async with scenes_on(stack, http, rng, tmp_path / "scenes") as scenes:
            await asyncio.gather(*(scene.play(STEPS, MARKED) for scene in scenes))
            await compare(stack, scenes)
            documents, views = await stored(stack), seen(scenes)
            lengths = {stream: await length(stack, stream) for stream in ("intents", "receipts")}
            events = await length(stack, "events")
            assert min(lengths.values()) > len(scenes), "the run was too tame to show anything"
            for scene in scenes[::2]:
                await scene.devices[0].leave()
            assert await replay(stack) == sum(lengths.values())
            await compare(stack, scenes)
            for stream, before in lengths.items():
                assert await length(stack, stream) == 2 * before
            assert await length(stack, "events") > events + lengths["intents"] / 2, "nothing was told again"
            assert not list(differences(documents, await stored(stack))), "MongoDB: before | after"
            assert not list(differences(views, seen(scenes))), "the views: before | after"
        for partition in range(stack.settings.partitions):
            assert await stack.redis.command("XLEN", stack.settings.names.dead(partition)) == 0


async def replay(stack: Stack) -> int:
    """`headrace replay --all` as an operator runs it; how many entries it sent."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "replay", "--all", "--execute", "--rate", "100000", "--json",
        env=os.environ | stack.gateways[0].environ, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    found = json.loads(output)
    assert found["unreadable"] == 0
    return found["sent"]


async def length(stack: Stack, stream: Replayed | str) -> int:
    names = stack.settings.names
    of = {"intents": names.intents, "receipts": names.receipts, "events": names.events}[stream]
    return sum([await stack.redis.command("XLEN", of(at)) for at in range(stack.settings.partitions)])


async def stored(stack: Stack) -> dict[str, Any]:
    """Every document of every collection, by id, read past all our own code."""

    def read() -> dict[str, Any]:
        url = stack.settings.mongodb_url.get_secret_value()
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            database = client[stack.settings.mongodb_database]
            return {
                name: {str(document["_id"]): document for document in database[name].find({})}
                for name in database.list_collection_names()
            }

    return await asyncio.to_thread(read)


def seen(scenes: list[Scene]) -> dict[str, Any]:
    """What every device shows."""
    return {
        f"{number}.{nth} {device.view.user_id}": deepcopy(shape(device.view))
        for number, scene in enumerate(scenes)
        for nth, device in enumerate(scene.devices)
    }
