"""`headrace up` as a real process, its output read line by line."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.up.services.clamd import SCANNER_URL


class Up:
    """One `headrace up` on a data folder; can be signalled and asked what it said."""

    def __init__(self, data: Path, *arguments: str, **environ: str) -> None:
        self.data = data
        self.lines: list[str] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        # A clamd with the signatures of the world takes a gigabyte and a minute: no test starts the one of this machine.
        clean[SCANNER_URL] = ""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", "up", "--data", str(data), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=data.parent,
            env=clean | environ,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until(self, text: str, seconds: float = 90) -> str:
        """The first line that holds `text`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            for line in list(self.lines):
                if text in line:
                    return line
            if ended:
                break
            time.sleep(0.05)
        pytest.fail(f"{text!r} was not said:\n{self.output}")

    def children(self) -> dict[int, str]:
        """The living children: process id → command line."""
        found: dict[int, str] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid = int(stat.parent.name)
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
                if int(parent) == self.process.pid and state != "Z":
                    found[pid] = (stat.parent / "cmdline").read_text().replace("\0", " ")
        return found

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `headrace up …` on one data folder; what is still running at the end is killed."""
    started: list[Up] = []

    def start(*arguments: str, data: Path | None = None, **environ: str) -> Up:
        started.append(Up(data or tmp_path / "data", *arguments, **environ))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()  # its children die with it: see test_children_die_with_the_supervisor
            one.process.wait(10)
