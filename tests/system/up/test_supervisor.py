"""The supervisor with small real processes: order, restarts, the end of everything."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.up.child import NotReady, Spec
from cli.up.supervisor import Supervisor, Timing

pytestmark = pytest.mark.anyio

WAIT = "import signal, time; print('up', flush=True); signal.pause()"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


class Lines:
    """What the supervisor and its children said, and a probe that waits for a child's first line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def say(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def said(self, name: str, text: str) -> int:
        return sum(1 for who, line in self.lines if who == name and text in line)

    def probe(self, name: str) -> Callable[[], Awaitable[bool]]:
        async def ready() -> bool:
            return self.said(name, "up") > 0

        return ready


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"


@pytest.fixture
def lines() -> Lines:
    return Lines()


def spec(lines: Lines, folder: Path, name: str, code: str, **changes: object) -> Spec:
    fields: dict[str, object] = {"ready": lines.probe(name), "ready_seconds": 20.0}
    return Spec(name, (sys.executable, "-c", code), folder, **(fields | changes))  # type: ignore[arg-type]


async def test_floors_start_in_order_and_stop_in_reverse(lines: Lines, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import signal, sys, time\n"
        "name, path = '{name}', '{log}'\n"
        "def note(what):\n    with open(path, 'a') as file: file.write(what + ' ' + name + chr(10))\n"
        "def end(*_):\n    note('stop'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); note('start'); print('up', flush=True)\n"
        "while True: signal.pause()"
    )
    supervisor = Supervisor(lines.say)
    for name in ("ground", "middle", "top"):
        await supervisor.start(spec(lines, tmp_path, name, code.format(name=name, log=log)))
    assert await supervisor.stop()
    assert log.read_text().split("\n")[:-1] == [
        "start ground",
        "start middle",
        "start top",
        "stop top",
        "stop middle",
        "stop ground",
    ]


async def test_a_child_that_is_to_be_nice_lets_others_go_first(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say)
    code = (
        "import os, pathlib as p; autogroup = p.Path('/proc/self/autogroup');"
        f"print(os.nice(0) - {os.nice(0)}, 'behind', flush=True);"
        f"print('of all:', autogroup.read_text().split()[-1] if autogroup.exists() else os.nice(0), flush=True); {WAIT}"
    )
    for name, nice in (("ground", 0), ("top", 7)):
        await supervisor.start(spec(lines, tmp_path, name, code, nice=nice))
    await supervisor.stop()
    assert [line for _, line in lines.lines if "behind" in line] == ["0 behind", "7 behind"]
    assert [line for _, line in lines.lines if "of all" in line] == ["of all: 0", "of all: 7"]


async def test_a_child_that_dies_is_started_again_ever_more_slowly(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say, Timing(first_wait_seconds=0.1))
    await supervisor.start(
        spec(lines, tmp_path, "one", "import os; print('up', os.getpid(), flush=True); import time; time.sleep(0.3)")
    )
    await until(lambda: lines.said("one", "up") >= 3)
    await supervisor.stop()
    waits = [line for who, line in lines.lines if who == "up"]
    assert "exit 0" in waits[0]
    assert waits[0].endswith("in 0.1 s")
    assert waits[1].endswith("in 0.2 s")


async def test_a_killed_child_comes_back_and_is_stopped_with_the_rest(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say, Timing(first_wait_seconds=0.05))
    await supervisor.start(spec(lines, tmp_path, "one", f"import os; print('pid', os.getpid()); {WAIT}"))
    first = _pid(lines)
    os.kill(first, signal.SIGKILL)
    await until(lambda: lines.said("one", "up") == 2)
    second = _pid(lines)
    assert second != first
    assert lines.said("up", "SIGKILL") == 1
    assert await supervisor.stop()
    assert not is_alive(second)


async def test_nothing_is_started_again_after_stop(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say, Timing(first_wait_seconds=30))
    await supervisor.start(spec(lines, tmp_path, "one", WAIT))
    await supervisor.start(spec(lines, tmp_path, "two", f"import os; print('pid', os.getpid()); {WAIT}"))
    os.kill(_pid(lines, "two"), signal.SIGKILL)
    await until(lambda: lines.said("up", "starting it again") == 1)
    started = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - started < 15, "stop waited for the back-off"
    assert lines.said("two", "up") == 1


async def test_a_deaf_child_and_its_whole_group_are_killed_at_the_deadline(lines: Lines, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {DEAF!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print('child', child.pid)\n" + DEAF
    )
    supervisor = Supervisor(lines.say, Timing(stop_seconds=0.5))
    await supervisor.start(spec(lines, tmp_path, "one", code))
    grandchild = next(int(line.split()[1]) for who, line in lines.lines if line.startswith("child"))
    assert is_alive(grandchild)
    assert not await supervisor.stop()
    assert lines.said("up", "was killed") == 1
    await until(lambda: not is_alive(grandchild))


async def test_what_a_child_left_behind_after_a_clean_end_is_killed(lines: Lines, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {DEAF!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print('child', child.pid)\n" + WAIT
    )
    supervisor = Supervisor(lines.say)
    await supervisor.start(spec(lines, tmp_path, "one", code))
    grandchild = next(int(line.split()[1]) for who, line in lines.lines if line.startswith("child"))
    assert await supervisor.stop()
    await until(lambda: not is_alive(grandchild))


async def test_a_hurried_stop_waits_for_nobody(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say, Timing(stop_seconds=600))
    await supervisor.start(spec(lines, tmp_path, "one", DEAF))
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    supervisor.hurry()
    async with asyncio.timeout(60):
        assert not await stopping
    assert lines.lines[-1][1] == "one was killed"


async def test_a_child_that_ends_at_once_is_told_with_its_last_lines(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say)
    with pytest.raises(NotReady, match=r"one ended at once \(exit 3\); its last lines:\n  no room on disk"):
        await supervisor.start(spec(lines, tmp_path, "one", "print('no room on disk'); exit(3)"))
    await supervisor.stop()


async def test_a_child_that_never_serves_is_told(lines: Lines, tmp_path: Path) -> None:
    async def never() -> bool:
        raise ConnectionRefusedError

    supervisor = Supervisor(lines.say)
    with pytest.raises(NotReady, match="one does not answer after 0 seconds"):
        await supervisor.start(spec(lines, tmp_path, "one", WAIT, ready=never, ready_seconds=0.3))
    assert await supervisor.stop()


async def test_a_child_that_nobody_waits_for_holds_nothing_up_and_is_kept_all_the_same(
    lines: Lines, tmp_path: Path
) -> None:
    supervisor = Supervisor(lines.say, Timing(first_wait_seconds=0.05))
    await supervisor.start(spec(lines, tmp_path, "slow", "exit(3)", ready=None), spec(lines, tmp_path, "one", WAIT))
    assert lines.said("one", "up") == 1
    await until(lambda: lines.said("up", "slow died (exit 3)") >= 2)
    assert await supervisor.stop()


async def test_a_program_that_is_not_there_is_told(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say)
    with pytest.raises(NotReady, match="one can not be run: /nowhere/program: No such file or directory"):
        await supervisor.start(Spec("one", ("/nowhere/program",), tmp_path, lines.probe("one")))
    assert await supervisor.stop()


async def test_endless_lines_are_cut_and_odd_bytes_shown(lines: Lines, tmp_path: Path) -> None:
    supervisor = Supervisor(lines.say)
    code = "import sys; sys.stdout.buffer.write(b'x' * 1_000_000 + b'\\n\\xff\\xfe\\nup\\n'); sys.stdout.flush(); import signal; signal.pause()"
    await supervisor.start(spec(lines, tmp_path, "one", code))
    await supervisor.stop()
    assert sum(len(line) for _, line in lines.lines if line.startswith("x")) == 1_000_000
    assert max(len(line) for _, line in lines.lines) < 200_000
    assert ("one", "\ufffd\ufffd") in lines.lines


def _pid(lines: Lines, name: str = "one") -> int:
    return [int(line.split()[1]) for who, line in lines.lines if who == name and line.startswith("pid")][-1]
