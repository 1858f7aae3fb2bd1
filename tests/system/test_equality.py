"""State + the events that were missed = a fresh fetch, for every kind of change and however a device came and went."""

import asyncio
import random
from pathlib import Path

import httpx2
import pytest

from tests.system.scene import seeded
from tests.system.stack import Stack, run_stack
from tests.system.stories import AT_ONCE, STEPS, compare, scenes_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("stories", [75, pytest.param(400, marks=pytest.mark.chaos)])
async def test_every_device_s_view_equals_a_fresh_fetch(tmp_path: Path, stories: int) -> None:
    """C8, A2, B9, C11: for many random stories."""
    rng = seeded()
    async with run_stack(tmp_path, heartbeat_seconds="20") as stack, httpx2.AsyncClient() as http:
        outcomes: list[int] = []
        for wave in range(stories // AT_ONCE):
            async with scenes_on(stack, http, rng, tmp_path / str(wave)) as scenes:
                await asyncio.gather(*(scene.play() for scene in scenes))
                await compare(stack, scenes)
            outcomes += [code for scene in scenes for code in scene.outcomes]
        assert sum(code < 300 for code in outcomes) > stories * STEPS / 3, "most stories were refusals"


@pytest.mark.parametrize("steps", [30, pytest.param(400, marks=pytest.mark.chaos)])
async def test_every_view_is_right_after_random_kills_of_every_part(tmp_path: Path, steps: int) -> None:
    """A2, B6, B7, B12: gateways, consumers and Redis are killed while everything is being changed."""
    rng = seeded()
    async with run_stack(tmp_path, heartbeat_seconds="20") as stack, httpx2.AsyncClient() as http:
        async with scenes_on(stack, http, rng, tmp_path / "scenes") as scenes:
            nemesis = asyncio.create_task(kill_for_ever(stack, rng))
            await asyncio.gather(*(scene.play(steps) for scene in scenes))
            nemesis.cancel()
            await asyncio.wait([nemesis])
            await revive(stack)
            await compare(stack, scenes)
        for partition in range(stack.settings.partitions):
            assert await stack.redis.command("XLEN", stack.settings.names.dead(partition)) == 0


async def kill_for_ever(stack: Stack, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(0.5, 2.0))
        if rng.random() < 0.3:
            stack.redis_server.kill()
            await asyncio.sleep(rng.uniform(0, 0.5))
            await asyncio.to_thread(stack.redis_server.start)
        else:
            process = rng.choice(stack.processes)
            process.kill()
            await asyncio.sleep(rng.uniform(0, 0.5))
            process.start()


async def revive(stack: Stack) -> None:
    """Whatever the nemesis had just killed is started again."""
    if stack.redis_server.process is None:
        await asyncio.to_thread(stack.redis_server.start)
    for process in stack.processes:
        if process.running is None:
            process.start()
    await stack.ready()
