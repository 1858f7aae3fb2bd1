"""Every test here runs once for each SDK."""

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from tests.client_conformance.program import SDKS, SPEED, Program, launch
from tests.client_conformance.scripted import ScriptedServer


class Run(Protocol):
    """Starts a program with one client against the server; `start=False`: with none."""

    async def __call__(self, *, speed: float = SPEED, start: bool = True, **fields: Any) -> Program: ...


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> str:
    return request.param


Idle = defaultdict[tuple[str, float], list[Program]]


@pytest.fixture(scope="session")
async def idle() -> AsyncIterator[Idle]:
    """Programs that wait for their next test, by language and speed: starting one costs more than most tests."""
    idle: Idle = defaultdict(list)
    yield idle
    for programs in idle.values():
        for program in programs:
            await program.kill()


@pytest.fixture
async def run(sdk: str, server: ScriptedServer, idle: Idle) -> AsyncIterator[Run]:
    programs: list[Program] = []

    async def run(*, speed: float = SPEED, start: bool = True, **fields: Any) -> Program:
        waiting = idle[sdk, speed]
        program = waiting.pop() if waiting else await launch(sdk, speed)
        programs.append(program)
        if start:
            await program.start(server, **fields)
        return program

    yield run
    for program in programs:
        if await program.reset():
            idle[sdk, program.speed].append(program)
        else:
            await program.kill()
