"""Files are sent by many while everything that judges them is killed: each ends as documented, and nothing but a clean one is ever served."""

import asyncio
import contextlib
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.objects import when_it_serves
from tests.system.files import Files, run_files
from tests.system.samples import assortment
from tests.system.scene import seeded
from tests.system.stack import Process, until

pytestmark = pytest.mark.anyio

HEAL_SECONDS = 60.0


@pytest.mark.parametrize(
    ("count", "per_second", "kills"),
    [
        pytest.param(60, 5.0, 8, marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param(200, 4.0, 40, marks=[pytest.mark.chaos, pytest.mark.timeout(600)]),
    ],
)
async def test_files_are_judged_while_scanners_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, per_second: float, kills: int
) -> None:
    """Issue 5: the scan stage, clamd, persist and the object store are SIGKILLed at random (holes C12, D8)."""
    rng, temporary = seeded(), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))  # of every process that is started from now on
    async with run_files(tmp_path, rng, gateways=1, consumers=1, scanners=2) as files:
        await files.join(people=6, rooms=3)
        snatching = [asyncio.create_task(files.snatch()) for _ in range(2)]
        await asyncio.gather(send_all(files, count, per_second), nemesis(files, kills))
        await healed(files)
        for task in snatching:
            task.cancel()
        for outcome in await asyncio.gather(*snatching, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
        await files.shown_over_rest()
        assert await files.dead() == 0
        found = await files.stack.store.attachments.find(list(files.sent))
        print("verdicts:", Counter((one.status, one.reason) for one in found.values()))
        print("attempts:", Counter(one.attempts for one in found.values()))
        print("answers:", files.answers, "fetched:", sum(files.served.values()))
        assert len(found) == count
        print("late writes:", await files.sweep_late())
        await files.leave()
        assert not [line for one in files.stack.scanners for line in one.lines() if "a scan failed" in line]
    assert not list(temporary.iterdir())


async def send_all(files: Files, count: int, per_second: float) -> None:
    """Many at once, at a steady rate; every third of them waits for the verdict before it sends its message."""
    async with asyncio.TaskGroup() as group:
        for number, sample in enumerate(assortment(count, files.rng)):
            group.create_task(files.send(sample, patient=number % 3 == 0))
            await asyncio.sleep(1 / per_second)


async def nemesis(files: Files, kills: int) -> None:
    """Kill what judges, at random, when there is something to be judged; and the object store once."""
    victims = [*(partial(kill_process, files, one) for one in files.stack.scanners * 2), partial(kill_clamd, files)]
    victims += [partial(kill_clamd, files), partial(kill_process, files, files.stack.consumers[0])]
    for number in range(kills):
        await asyncio.sleep(files.rng.uniform(0.2, 1.5))
        with contextlib.suppress(TimeoutError):
            await until(partial(is_busy, files), 2.0, "nothing is judged", interval_seconds=0.005)
        await (kill_seaweedfs(files) if number == kills // 2 else files.rng.choice(victims)())


async def healed(files: Files) -> None:
    """Wait until everything is as it should be."""
    faults = [""]

    async def nothing_is_wrong() -> bool:
        faults[:] = await files.wrong()
        return not faults

    try:
        await until(nothing_is_wrong, HEAL_SECONDS, "something is wrong", interval_seconds=0.25)
    except TimeoutError:
        pytest.fail("\n".join(faults))


async def is_busy(files: Files) -> bool:
    return bool(await files.stack.redis.command("XLEN", files.stack.settings.names.scans()))


async def kill_process(files: Files, process: Process) -> None:
    process.kill()
    await asyncio.sleep(files.rng.uniform(0, 0.5))
    process.start()


async def kill_clamd(files: Files) -> None:
    files.clamd.kill()
    await asyncio.sleep(files.rng.choice([0.0, 1.0]))
    await asyncio.to_thread(files.clamd.start)


async def kill_seaweedfs(files: Files) -> None:
    files.seaweedfs.kill()
    await asyncio.to_thread(files.seaweedfs.start)
    await when_it_serves(files.objects)
