"""Everything that a deployment was ever asked for is sent again, and nothing is any different: `headrace replay` on a living one.

The one thing that a replay may change is what came of a mark that was beyond the newest message, or of somebody who was blocked or absent,
when it was said (docs/cli.md): so people here mark what is there, where they are, and who may be blocked marks nothing in the direct one.
"""

import asyncio
import json
import os
import sys
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pymongo
import pytest

from schemas.stages import Replayed
from tests.system.scene import seeded
from tests.system.stack import ROOT, Stack, run_stack
from tests.system.stories import MOVES, Move, Scene, compare, differences, rest, scenes_on, shape

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 32


async def read_what_is_there(scene: Scene) -> None:
    """A receipt of somebody who is there, of messages that are: over the socket or over REST, in a thread, in private."""
    if not scene.said:
        return
    message = scene.rng.choice(scene.said)
    room, root = message["conversation_id"], message["thread_root_id"] if scene.rng.random() < 0.5 else None
    fields = {"read_seq": message["seq"], "thread_root_id": root, "private": scene.rng.random() < 0.3}
    in_the_group, maybe_blocked = room == scene.rooms[0], list(scene.tokens)[1]
    device = scene.rng.choice([one for one in scene.devices if in_the_group or one.view.user_id != maybe_blocked])
    user = device.view.user_id
    if in_the_group and (await scene.ask(user, "GET", f"/api/conversations/{room}")).status_code != 200:
        return
    if device.client is not None and not in_the_group:  # nobody leaves the direct one before the mark is there
        device.client.mark(room, **fields)
    else:
        await scene.ask(user, "POST", f"/api/conversations/{room}/read", fields)


MARKED: list[Move] = [*(move for move in MOVES if move is not Scene.read), *[read_what_is_there] * 6]


async def test_whatever_is_sent_again_changes_nothing_in_mongodb_and_no_view(tmp_path: Path) -> None:
    """A1, A2, B7, C11: the older half of a run with every kind of change, then all of it; some devices hear of it live, others later."""
    rng = seeded()
    async with run_stack(tmp_path, heartbeat_seconds="20") as stack, httpx2.AsyncClient() as http:
        async with scenes_on(stack, http, rng, tmp_path / "scenes") as scenes:
            await asyncio.gather(*(scene.play(STEPS // 2, MARKED) for scene in scenes))
            half = datetime.now(UTC).isoformat()
            older = await entries(stack)
            await asyncio.gather(*(scene.play(STEPS // 2, MARKED) for scene in scenes))
            await compare(stack, scenes)
            documents, views = await stored(stack), seen(scenes)
            everything, events = await entries(stack), await length(stack, "events")
            assert everything > older > 6 * len(scenes), "the run was too tame to show anything"
            for selection, least in ((("--to", half), older // 2), (("--all",), everything)):
                for scene in scenes[::2]:
                    await scene.devices[0].leave()
                sent = await replay(stack, *selection)
                assert sent >= least
                everything += sent
                await rest(stack, scenes)
                assert await entries(stack) == everything
                assert not list(differences(documents, await stored(stack))), "MongoDB: before | after"
                assert not list(differences(views, seen(scenes))), "the views: before | after"
            assert await length(stack, "events") > events + everything / 4, "nothing was told again"
            await compare(stack, scenes)
        for partition in range(stack.settings.partitions):
            assert await stack.redis.command("XLEN", stack.settings.names.dead(partition)) == 0


async def replay(stack: Stack, *selection: str) -> int:
    """`headrace replay` as an operator runs it; how many entries it sent."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "replay", *selection, "--execute", "--rate", "100000", "--json",
        env=os.environ | stack.gateways[0].environ, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    found = json.loads(output)
    assert found["unreadable"] == 0
    return found["sent"]


async def entries(stack: Stack) -> int:
    """Everything that gateways have added, and what was sent again."""
    return await length(stack, "intents") + await length(stack, "receipts")


async def length(stack: Stack, stream: Replayed | str) -> int:
    names = stack.settings.names
    of = {"intents": names.intents, "receipts": names.receipts, "events": names.events}[stream]
    return sum([await stack.redis.command("XLEN", of(at)) for at in range(stack.settings.partitions)])


async def stored(stack: Stack) -> dict[str, Any]:
    """Every document of every collection, by id, read past all our own code; but not that an operator has replayed."""

    def read() -> dict[str, Any]:
        url = stack.settings.mongodb_url.get_secret_value()
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            database = client[stack.settings.mongodb_database]
            return {
                name: {
                    str(document["_id"]): document
                    for document in database[name].find({"event": {"$ne": "streams.replayed"}})
                }
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
