"""The whole system, as `headrace up` starts it, once a module."""

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from cli.up import ports
from headrace_client import (
    Api,
    ApiError,
    Unreachable,
)
from headrace_client.http import request

ROOT = Path(__file__).parents[3]
UP_S = 60.0
PATIENCE_S = 60.0


class System:
    """Two gateways and one consumer process under their supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.urls = [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]

    def kill(self, mark: str) -> int:
        """SIGKILL the processes whose command line holds `mark`; the supervisor starts them again."""
        found = [
            each
            for each in psutil.Process(self.process.pid).children(recursive=True)
            if mark in " ".join(each.cmdline())
        ]
        for each in found:
            each.kill()
        return len(found)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    port = next(port for port in iter(ports.choose, None) if ports.is_free(port + 1))  # one for each gateway
    command = [
        sys.executable,
        "-P",
        "-m",
        "cli.main",
        "up",
        "--data",
        str(folder / "data"),
        "--port",
        str(port),
        "--gateways",
        "2",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    environment["HEADRACE_RATE_LIMITS"] = "register=off"  # the people of many tests come from one address
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
    system = System(process, port)
    try:
        anyio.run(ready, system, folder / "up.log")
        yield system
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


async def ready(system: System, log: Path) -> None:
    with anyio.fail_after(UP_S):
        for url in system.urls:
            while True:
                assert system.process.poll() is None, tail(log)
                with contextlib.suppress(ApiError, Unreachable):
                    await request(Api(url).address, "GET", "/health/ready", timeout_s=2)
                    break
                await asyncio.sleep(0.1)


def tail(log: Path) -> str:
    return log.read_text()[-3000:]


async def person(url: str) -> Api:
    api = Api(url)
    await api.register(f"sdk-{secrets.token_hex(5)}", "correct horse battery")
    return api
