"""Gateways and consumers share the work of one deployment."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from schemas.stages import STAGES
from tests.system.scene import open_scene
from tests.system.stack import PARTITIONS, Stack, run_stack, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]


async def shares(stack: Stack) -> list[list[int]]:
    """For each stage, how many partitions each owner has, sorted."""
    return [sorted(Counter(owners.values()).values()) for owners in (await stack.owners()).values()]


async def test_each_partition_has_one_owner_a_stage_and_sigterm_gives_back_at_once(tmp_path: Path) -> None:
    """D4: two consumers have half each; one that leaves in order is replaced faster than its leases would end; a new one gets half."""
    lease_seconds = 30
    async with run_stack(tmp_path, lease_seconds=str(lease_seconds)) as stack, open_scene(stack) as scene:
        half = [PARTITIONS // 2, PARTITIONS // 2]

        async def even() -> bool:
            return await shares(stack) == [half] * len(STAGES)

        await until(even, 30, "the partitions are not shared evenly")
        await scene.people(4)
        await scene.devices()
        await scene.converse(directs=4, groups=[4])
        talking = asyncio.create_task(scene.talk(300, per_second=50))
        leaving = stack.consumers[0]
        scene.fault(f"SIGTERM {leaving.name}")
        before = set((await stack.owners())["persist"].values())
        assert await leaving.terminate() == 0
        left_at = time.monotonic()
        assert len(set((await stack.owners())["persist"].values()) & before) <= 1, "it left, and its leases stayed"

        async def all_taken() -> bool:
            return await shares(stack) == [[PARTITIONS]] * len(STAGES)

        await until(all_taken, 30, "the partitions of the one that left were not taken")
        assert time.monotonic() - left_at < lease_seconds / 2
        leaving.start()
        await until(even, 30, "the one that came back got no share")
        await talking
        scene.healed()
        await scene.verdict(tmp_path)


async def test_a_gateway_that_is_told_to_stop_sends_its_clients_to_the_other(tmp_path: Path) -> None:
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await scene.people(6)
        await scene.devices(each=2)
        await scene.converse(directs=6)
        talking = asyncio.create_task(scene.talk(250, per_second=50))
        await asyncio.sleep(1.0)
        leaving = stack.gateways[0]
        scene.fault(f"SIGTERM {leaving.name}")
        assert await leaving.terminate() == 0
        await scene.all_whole()
        leaving.start()
        await talking
        await stack.ready()
        scene.healed()
        report = await scene.verdict(tmp_path)
        assert report.figures.recovered > 0, "nobody had to move"
