"""A worker that gets nothing done steps aside, and bids last for a while (hole B11), on a model of the leases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import cast

import pytest

from backplane.leases import Leases
from backplane.settings import load_settings
from backplane.streams import Partition
from consumers.runner import End
from consumers.tenure import Tenure
from consumers.worker import Runs, Worker

pytestmark = pytest.mark.anyio

ME, OTHER = "me", "other"
SETTINGS = load_settings({}, environment="development", partitions=4, lease_seconds=1.5, mongodb_timeout_seconds=0.1)
STALLED_SECONDS = 0.4
NEVER = 60.0


@dataclass
class Registry:
    """Who holds what, and who is counted, as Redis keeps it; for the worker under test it is its leases."""

    held: dict[int, str] = field(default_factory=lambda: {0: OTHER, 1: OTHER})
    counted: set[str] = field(default_factory=lambda: {OTHER})
    retired_at: float | None = None
    taken: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    async def acquire(self, partition: int) -> str | None:
        if self.held.setdefault(partition, ME) != ME:
            return None
        self.taken.append((monotonic(), partition))
        return "token"

    async def renew(self, partition: int, token: str) -> bool:
        del token
        return self.held.get(partition) == ME

    async def release(self, partition: int, token: str) -> None:
        del token
        if self.held.get(partition) == ME:
            del self.held[partition]

    async def owners(self) -> dict[int, str]:
        return dict(self.held)

    async def heartbeat(self) -> int:
        self.counted.add(ME)
        return len(self.counted)

    async def retire(self) -> None:
        self.retired_at = self.retired_at or monotonic()
        self.counted.discard(ME)

    def mine(self) -> set[int]:
        return {partition for partition, owner in self.held.items() if owner == ME}

    def taken_again(self) -> list[tuple[float, int]]:
        """What it took after it had stepped aside."""
        return [] if self.retired_at is None else [each for each in self.taken if each[0] > self.retired_at]


class CutOff:
    """A runner whose every batch fails for something outside."""

    def __init__(self, tenure: Tenure) -> None:
        self._tenure, self.settled_at = tenure, monotonic()

    async def run(self) -> End:
        while self._tenure.alive:
            self._tenure.trouble()
            await self._tenure.pause(0.01)
        return End.STOPPED


@asynccontextmanager
async def working(registry: Registry, *, penalty_seconds: float, last_bid_seconds: float) -> AsyncIterator[Worker]:
    def build(tenure: Tenure) -> tuple[Partition, Runs]:
        return cast("Partition", None), CutOff(tenure)  # nothing is trimmed in so short a time

    worker = Worker(
        "persist",
        ME,
        cast("Leases", registry),
        SETTINGS,
        build,
        stalled_seconds=STALLED_SECONDS,
        penalty_seconds=penalty_seconds,
        last_bid_seconds=last_bid_seconds,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await running


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  what is polled is a task that runs beside
            await asyncio.sleep(0.005)


async def test_who_gets_nothing_done_gives_all_back_leaves_the_registry_and_returns_after_the_penalty() -> None:
    """B11"""
    registry = Registry()
    async with working(registry, penalty_seconds=1.2, last_bid_seconds=NEVER):
        await until(lambda: registry.mine() == {2, 3})
        assert registry.counted == {ME, OTHER}
        await until(lambda: registry.retired_at)
        await until(lambda: not registry.mine())
        assert registry.counted == {OTHER}, "the other divides without it"
        await until(registry.taken_again)
        assert registry.counted == {ME, OTHER}
    assert registry.retired_at is not None
    assert registry.taken_again()[0][0] - registry.retired_at >= 1.1, "it sat the penalty out"


async def test_during_the_penalty_it_takes_what_nobody_else_wants_and_only_then() -> None:
    """B11: better a worker that is slow than none."""
    registry = Registry()
    async with working(registry, penalty_seconds=NEVER, last_bid_seconds=0.5):
        await until(lambda: registry.retired_at)
        await until(lambda: not registry.mine())
        registry.held[2] = OTHER
        await until(registry.taken_again)
        assert registry.mine() == {3}
        assert registry.counted == {OTHER}, "it is still not counted"
    assert registry.retired_at is not None
    assert registry.taken_again()[0][0] - registry.retired_at >= 0.4


async def test_who_is_alone_does_not_step_aside() -> None:
    """B11: nobody could do better."""
    registry = Registry(held={}, counted=set())
    async with working(registry, penalty_seconds=NEVER, last_bid_seconds=NEVER) as worker:
        await until(lambda: registry.mine() == {0, 1, 2, 3})
        began = monotonic()
        await until(lambda: monotonic() - began > 3 * STALLED_SECONDS)
        assert registry.retired_at is None
        assert worker.partitions == [0, 1, 2, 3]
