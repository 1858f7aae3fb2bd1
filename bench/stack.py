"""The system under test: `headrace up` in a folder of its own, or one that runs already."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil

from headrace_client import Api, ApiError, Unreachable
from headrace_client.http import request
from schemas.limits import POLICIES

START_S = 90.0
STOP_S = 30.0

Cpu = dict[str, float]
"""What a process is → CPU seconds that it has used."""


@contextlib.asynccontextmanager
async def running(gateways: int, consumers: int) -> AsyncGenerator[tuple[list[str], int]]:
    """Start everything; yields the gateways' URLs and the supervisor's process id.

    Raises:
        RuntimeError: it did not come up; with the last lines of its log.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        port = _free_ports(gateways)
        log = Path(folder) / "up.log"
        command = [
            sys.executable, "-P", "-m", "cli.main", "up", "--data", f"{folder}/data", "--port", str(port),
            "--gateways", str(gateways), "--consumers", str(consumers),
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        # Counted as ever, but nobody is refused: all clients come from one address, and some say more than people do.
        environment["HEADRACE_RATE_LIMITS"] = ",".join(f"{name}=1000000/60" for name in POLICIES)
        environment["HEADRACE_CONNECTIONS_PER_ADDRESS"] = environment["HEADRACE_ACCEPTS_PER_SECOND"] = "100000"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )
        urls = [f"http://127.0.0.1:{port + number}" for number in range(gateways)]
        try:
            for url in urls:
                await _ready(url, process, log)
            yield urls, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


async def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    address = Api(url).address
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ApiError, Unreachable):
            await request(address, "GET", "/health/ready", timeout_s=2)
            return
        await asyncio.sleep(0.2)
    raise RuntimeError(f"the system did not come up:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def cpu(supervisor: int | None) -> Cpu:
    """CPU seconds so far of this process and of what the supervisor started."""
    used = {"generator": _seconds(psutil.Process())}
    if supervisor is None:
        return used
    for process in psutil.Process(supervisor).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            name = _role(process.cmdline())
            used[name] = used.get(name, 0.0) + _seconds(process)
    return used


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _role(command: list[str]) -> str:
    line = " ".join(command)
    for mark, role in {
        "-m gateway": "gateways",
        "-m consumers": "consumers",
        "valkey-server": "redis",
        "redis-server": "redis",
        "secantusd": "mongodb",
        "mongod": "mongodb",
    }.items():
        if mark in line:
            return role
    return "other"


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that were free a moment ago."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            for number in range(1, count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port + number))
            return port
