"""Beside the runner of one tenure: a line for each webhook for which something waits in the partition."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Protocol, Self

import structlog

from backplane.errors import Transient
from backplane.outgoing import Outgoing
from consumers.pace import Pace
from consumers.stages import Claim
from consumers.webhooks.line import Hooks, Line, Parked
from consumers.webhooks.policy import Limits

STOP_SECONDS = 3.0
"""How long attempts in flight may take once the tenure is over; shorter than a lease. Cut off, they are made again by the next owner."""

log = structlog.get_logger(__name__)


class Waiting(Parked, Protocol):
    """What the sender needs of `backplane.store.deliveries.Deliveries`, beside what its lines need."""

    async def webhooks(self, partition: int) -> list[str]:
        """The webhooks for which something waits."""
        ...

    async def waiting(self, webhook_id: str, partition: int) -> int:
        """How many wait for one."""
        ...


class Sender:
    """Sends what is parked for one partition, as an async context beside what parks it."""

    def __init__(
        self, partition: int, claim: Claim, *, hooks: Hooks, parked: Waiting, outgoing: Outgoing, limits: Limits
    ) -> None:
        self._partition, self._claim = partition, claim
        self._hooks, self._parked, self._outgoing, self._limits = hooks, parked, outgoing, limits
        self._lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin with what a predecessor has left."""
        await self._outgoing.__aenter__()
        self._spawn(self._inherit(), "webhooks inherited")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what is in flight end for a moment, then cut it off; at once if the tenure is another's, or has to be renewed."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=0 if self._claim.alive else STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._outgoing.__aexit__(None, None, None)

    async def depth(self, webhook_id: str) -> int:
        """How many deliveries wait for a webhook."""
        if line := self._lines.get(webhook_id):
            return line.depth
        return await self._parked.waiting(webhook_id, self._partition)

    def added(self, webhook_id: str, count: int, *, waiting: int) -> None:
        """So many were parked, behind those that were `waiting` if nobody sends them yet."""
        line = self._lines.get(webhook_id)
        if line is None:
            line = self._lines[webhook_id] = Line(
                webhook_id,
                self._partition,
                self._claim,
                hooks=self._hooks,
                parked=self._parked,
                post=self._outgoing.post,
                limits=self._limits,
            )
            line.depth = waiting
            self._spawn(self._run(line), f"webhook {webhook_id}")
        line.more = True
        line.depth += count

    async def _inherit(self) -> None:
        pace = Pace(1)
        while self._claim.alive:
            try:
                for webhook_id in await self._parked.webhooks(self._partition):
                    if webhook_id not in self._lines:
                        self.added(webhook_id, 0, waiting=await self._parked.waiting(webhook_id, self._partition))
            except Transient as failure:
                log.warning("webhooks wait for MongoDB", partition=self._partition, error=str(failure))
                await self._claim.pause(pace.slower())
            else:
                return

    async def _run(self, line: Line) -> None:
        pace = Pace(1)
        while True:
            try:
                await line.run()
            except Exception:
                log.exception("a webhook's line broke", webhook=line.webhook_id, partition=self._partition)
                await self._claim.pause(pace.slower())
                if self._claim.alive:
                    continue
            break
        # Nothing is awaited between the line's last look and this: what is parked from here on makes a new one.
        del self._lines[line.webhook_id]

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
