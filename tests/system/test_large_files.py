"""Twenty uploads of 25 MB at once, in waves: memory stays bounded, and messages are about as fast as ever.

S3, the scanner and the uploaders stand for others' machines: they get what we leave of the processors, and their files are in memory where
that can be had. Uploads come over lines of 10 Mbit/s each, and as fast as they can. Memory is judged always; the latency of messages only if
the tester keeps its own schedule, as a machine on which even that is late says nothing about it. As fast as they can, uploads leave no processor
idle: then it is judged only where the kernel lets a group of processes run behind all others, which niceness alone does not (cgroups(7), `cpu.idle`).
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from bench.findings import LATE_MS, Latency, latency
from bench.load import Plan, Records, Run
from bench.people import Person, make_people
from cli.up.child import BEHIND
from cli.up.processes import scans_at_once
from gateway.tokens import Tokens
from schemas.ids import SessionId, UserId
from tests.system.files import Files, run_files
from tests.system.scene import seeded
from tests.system.stack import ROOT

Running = subprocess.Popen[bytes] | asyncio.subprocess.Process

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(900)]

WAVES, FILES, BYTES = 4, 20, 25_000_000
LINE_MBIT = 10
IN_MEMORY = Path("/dev/shm")
ELSEWHERE = 19
"""The niceness of what stands for other machines."""
STALL_MS = 2000
"""Nobody waits that long for a message, on any machine."""
GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where the kernel's groups for processors are: of its first kind and of its second."""
CALM_ROUNDS = 5
ROUND = Plan(scenario="round", group=2, groups=10, rate=40, seconds=5, warmup_s=0.5)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def idle() -> Iterator[Path | None]:
    """A group of processes that run when no other wants to; None where none can be made."""
    group = next(filter(makes_idle, (root / f"headrace-{os.getpid()}" for root in GROUPS)), None)
    yield group
    if group is not None:
        group.rmdir()


def makes_idle(group: Path) -> bool:
    try:
        group.mkdir()
    except OSError:
        return False
    try:
        (group / "cpu.idle").write_text("1")
    except OSError:
        group.rmdir()
        return False
    return True


@pytest.mark.parametrize("mbit", [0, LINE_MBIT])
async def test_large_uploads_take_little_memory_and_hold_up_no_message(
    tmp_path: Path, elsewhere: Path, idle: Path | None, mbit: int
) -> None:
    given = {"scans_at_once": str(scans_at_once()), "log_level": "warning"}
    async with run_files(
        tmp_path, seeded(), elsewhere=elsewhere, gateways=1, consumers=1, scanners=1, **given
    ) as files:
        set_behind(files.stack.scanners[0].running, BEHIND)
        for server in (files.clamd, files.seaweedfs):
            set_elsewhere(server.process, idle)
        people = await make_people([f"http://{address}" for address in files.stack.addresses], 20)
        await talk(files, people, ROUND)  # what is loaded once is loaded, and what is kept for good is kept
        calm = delivered([await talk(files, people, ROUND) for _ in range(CALM_ROUNDS)])
        async with watched(processes(files)) as peaks:
            uploader = await start_uploader(files, mbit)
            set_elsewhere(uploader, idle)
            rounds: list[Records] = []
            while uploader.returncode is None:
                rounds.append(await talk(files, people, ROUND))
            said, _ = await uploader.communicate()
        del rounds[-1]  # calm by and by
        loaded = delivered(rounds)
        late = latency([max(0.0, lag) for one in rounds for lag in one.lag])
    found = json.loads(said)
    report(found, calm, loaded, peaks)
    assert found["verdicts"] == {"clean": WAVES * FILES}
    assert peaks["gateway-0"].grown < 160
    assert peaks["consumers-1"].grown < 64
    assert peaks["consumers-0"].grown < 32
    assert loaded.count > 500
    assert loaded.max_ms < STALL_MS
    if mbit == 0 and idle is None:
        return
    if late.p99_ms > LATE_MS:
        pytest.skip(f"too busy to tell: the tester was late by {late.p99_ms:.0f} ms itself; {ratios(calm, loaded)}")
    assert loaded.p99_ms < 2 * calm.p99_ms


async def talk(files: Files, people: list[Person], plan: Plan) -> Records:
    """Say something at a steady rate; counted from the moment when each message was meant to be sent until the others had it."""
    records = await Run(plan, people, [f"http://{address}" for address in files.stack.addresses])()
    assert records.refused == records.lost_connections == 0
    return records


def delivered(rounds: Sequence[Records]) -> Latency:
    return latency([took for one in rounds for took in one.delivered])


def set_elsewhere(process: Running | None, idle: Path | None) -> None:
    set_behind(process, ELSEWHERE)
    if idle is not None and process:
        (idle / "cgroup.procs").write_text(str(process.pid))


def set_behind(process: Running | None, nice: int) -> None:
    """As `go_behind` does, from outside."""
    assert process
    tasks = Path(f"/proc/{process.pid}/task")
    if tasks.is_dir():
        for task in tasks.iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
        with contextlib.suppress(FileNotFoundError):
            (tasks.parent / "autogroup").write_text(str(nice))


async def start_uploader(files: Files, mbit: int) -> asyncio.subprocess.Process:
    user = UserId(str(uuid.uuid4()))
    token = Tokens(files.stack.settings).issue(user, SessionId("s"), now_ms=time.time_ns() // 1_000_000)
    command = ["-m", "tests.system.uploader", files.stack.addresses[0], token, *map(str, (WAVES, FILES, BYTES, mbit))]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )


class Peak:
    """The most memory that a process held, beyond what it held at first, in MiB; and what it used of a processor."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before, self._cpu_before, self._began = self._rss(), self._cpu(), time.monotonic()
        self.grown = self.share = 0.0

    def look(self) -> None:
        self.grown = max(self.grown, self._rss() - self._before)
        self.share = (self._cpu() - self._cpu_before) / (time.monotonic() - self._began)

    def _rss(self) -> float:
        return self._process.memory_info().rss / 2**20

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def processes(files: Files) -> dict[str, int]:
    servers = {
        "redis": files.stack.redis_server,
        "mongodb": files.stack.mongodb_server,
        "seaweedfs": files.seaweedfs,
        "clamd": files.clamd,
    }
    ours = {one.name: one.running.pid for one in files.stack.processes if one.running}
    return ours | {name: one.process.pid for name, one in servers.items() if one.process} | {"tester": os.getpid()}


@contextlib.asynccontextmanager
async def watched(pids: Mapping[str, int]) -> AsyncGenerator[dict[str, Peak]]:
    """Look at processes ten times a second."""
    peaks = {name: Peak(pid) for name, pid in pids.items()}

    async def look() -> None:
        while True:
            for peak in peaks.values():
                peak.look()
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield peaks
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


def report(found: Mapping[str, object], calm: Latency, loaded: Latency, peaks: Mapping[str, Peak]) -> None:
    print(json.dumps(found))
    for name, one in {"calm": calm, "loaded": loaded}.items():
        print(
            f"{name}: {one.count} messages, p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms, most {one.max_ms:.0f} ms"
        )
    print(ratios(calm, loaded))
    for name, peak in peaks.items():
        print(f"{name}: +{peak.grown:.0f} MiB, {peak.share:.2f} of a processor")


def ratios(calm: Latency, loaded: Latency) -> str:
    return f"p99 × {loaded.p99_ms / calm.p99_ms:.2f}, p50 × {loaded.p50_ms / calm.p50_ms:.2f}"
