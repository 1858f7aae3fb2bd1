"""Everything that can break, breaks at random for minutes: the long form of `test_faults`, run by `make chaos`.

`HEADRACE_CHAOS_SECONDS` sets how long, `HEADRACE_SEED` repeats a run's choices.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system import faults
from tests.system.mixture import Mixture
from tests.system.scene import Scene, open_scene, seeded
from tests.system.stack import run_stack

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "300"))

DURABLE: tuple[faults.Fault, ...] = (
    faults.kill_gateway,
    faults.kill_consumer,
    faults.kill_redis,
    faults.kill_mongodb,
    faults.freeze_redis,
    faults.freeze_mongodb,
    faults.freeze_consumer,
    faults.freeze_gateway,
    faults.cut_sockets,
    faults.stop_gateway,
    faults.stop_consumer,
    faults.forget_device,
)


@pytest.mark.parametrize("kinds", [DURABLE, (*DURABLE, faults.flush_redis)], ids=["durable", "with flushes"])
async def test_promises_hold_while_everything_breaks_at_random(tmp_path: Path, kinds: tuple[faults.Fault, ...]) -> None:
    rng = seeded()
    async with run_stack(tmp_path) as stack, open_scene(stack, rng) as scene:
        await scene.people(16)
        await scene.devices(each=2)
        await scene.converse(directs=20, groups=[3, 4, 5, 6, 8, 16])
        async with scene.talking(per_second=60):
            await break_for_a_while(scene, kinds)
        await stack.ready()
        scene.healed()
        await scene.verdict(tmp_path, settle_seconds=30.0)


@pytest.mark.parametrize("kinds", [DURABLE, (*DURABLE, faults.flush_redis)], ids=["durable", "with flushes"])
async def test_changes_of_every_kind_hold_while_everything_breaks_at_random(
    tmp_path: Path, kinds: tuple[faults.Fault, ...]
) -> None:
    rng = seeded()
    async with run_stack(tmp_path) as stack, open_scene(stack, rng) as scene:
        await scene.people(16)
        await scene.devices(each=2)
        await scene.converse(directs=20, groups=[3, 4, 5, 6, 8, 12])
        mixture = asyncio.create_task(Mixture(scene).go_on(10**9, per_second=50))
        await break_for_a_while(scene, kinds)
        mixture.cancel()
        await asyncio.wait([mixture])
        await stack.ready()
        scene.healed()
        await scene.verdict(tmp_path, settle_seconds=30.0)


async def break_for_a_while(scene: Scene, kinds: Sequence[faults.Fault]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(scene.rng.expovariate(1 / 2.5))
        # Now and then two at once.
        some = _some(scene.rng.sample(kinds, 2), scene.rng.random() < 0.2)
        await asyncio.gather(*(fault(scene, scene.rng) for fault in some))


def _some(pair: list[faults.Fault], both: bool) -> list[faults.Fault]:
    return pair if both else pair[:1]
