"""`headrace up` as a real process, its output read line by line."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backplane.settings import Settings, load_settings
from cli.failures import Failure
from cli.up.folder import DataFolder
from cli.up.services.clamd import SCANNER_URL
from cli.up.services.seaweedfs import tidy
from tests.objects import content_of, opened, put


class Up:
    """One `headrace up` on a data folder; can be signalled and asked what it said."""

    def __init__(self, data: Path, *arguments: str, **environ: str | None) -> None:
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
            env={name: value for name, value in (clean | environ).items() if value is not None},
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

    def start(*arguments: str, data: Path | None = None, **environ: str | None) -> Up:
        started.append(Up(data or tmp_path / "data", *arguments, **environ))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()  # its children die with it: see test_children_die_with_the_supervisor
            one.process.wait(10)
        with contextlib.suppress(Failure):  # another one holds the folder, as a test wants it
            folder = DataFolder.take(one.data)
            tidy(folder)
            folder.release()


def settings_of(data: Path) -> Settings:
    told = json.loads((data / "services.json").read_text())
    return load_settings({name: value for name, value in told.items() if name.startswith("HEADRACE_")})


def store(settings: Settings, key: str) -> None:
    """Store an object and read it again."""

    async def run() -> None:
        async with opened(settings) as objects:
            await objects.ping()
            await put(objects, key, b"hello")
            assert await content_of(objects, key) == b"hello"

    asyncio.run(run())


def kept(settings: Settings, key: str) -> bool:
    """Whether what `store` stored is still there."""

    async def run() -> bool:
        async with opened(settings) as objects:
            return await content_of(objects, key) == b"hello"

    return asyncio.run(run())
