"""The README's quick start, run as it is written."""

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.up import ports
from tests.system.up.conftest import Up

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK_START = re.search(r"## Quick start\n(.*?)\n## ", README, re.DOTALL)


def commands() -> list[str]:
    assert QUICK_START is not None
    blocks = re.findall(r"```console\n(.*?)```", QUICK_START[1], re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def headrace(command: str) -> list[str]:
    """A `.venv/bin/headrace …` line, run by the interpreter that runs this test."""
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/headrace"
    return [sys.executable, "-P", "-m", "cli.main", *arguments]


class Chat:
    """A chat whose input stays open; what it prints is collected."""

    def __init__(self, command: str, data: Path) -> None:
        self.output = ""
        self.process = subprocess.Popen(
            [*headrace(command), "--data", str(data)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=data.parent,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def until(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, f"{text!r} did not come:\n{self.output}"
            assert self.process.poll() is None, f"it ended:\n{self.output}"
            time.sleep(0.05)

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(60)
        self._reader.join(5)
        return code


def test_the_quick_start_is_short() -> None:
    assert 1 <= len(commands()) <= 5
    assert commands()[0] == "make run"


@pytest.mark.slow
def test_the_quick_start_works_as_it_is_written(up: Callable[..., Up]) -> None:
    make, *chats = commands()
    recipe = subprocess.run(
        [*shlex.split(make), "--dry-run"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        env={name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}},
    )
    start = headrace(recipe.stdout.splitlines()[-1])
    running = up(*start[start.index("up") + 1 :], "--port", str(ports.choose()))
    assert "chat" in running.until("Try:")
    alice, bob = (Chat(command, running.data) for command in chats)
    try:
        bob.say("hello from bob")
        alice.until("hello from bob")
        alice.say("hello from alice")
        bob.until("hello from alice")
        assert alice.end() == 0, alice.output
        assert bob.end() == 0, bob.output
    finally:
        for chat in (alice, bob):
            chat.process.kill()
            chat.process.wait(10)
