"""One ownership of a partition under one token. Counters and caches belong to it and die with it (hole B8).

It is valid while its lease was renewed in time, by this process' own clock, so that a process that was stopped for a while
finds its tenures dead before it does anything. That is for efficiency; safety rests on the token and on unique indexes.
"""

import asyncio
import contextlib
from time import monotonic

from backplane.errors import Fenced, Permanent, Transient
from backplane.leases import Leases


class Tenure:
    """A lease that renews itself beside the work (`keep`), until it is ended or lost.

    Args:
        leases: of this worker and stage.
        partition: which one.
        token: from `leases.acquire`.
        lease_seconds: life of the lease.
        asked_at: `time.monotonic()` before the acquire was sent: the life counts from there.
    """

    def __init__(self, leases: Leases, partition: int, token: str, *, lease_seconds: float, asked_at: float) -> None:
        self.partition, self.token = partition, token
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._valid_until = asked_at + lease_seconds
        self._ended = asyncio.Event()
        self._trouble_since: float | None = None

    @property
    def alive(self) -> bool:
        """Whether to go on: neither ended nor past its lease."""
        return not self._ended.is_set() and monotonic() < self._valid_until

    @property
    def ended(self) -> bool:
        """Whether `end` was called, rather than the lease lost."""
        return self._ended.is_set()

    def end(self) -> None:
        """Ask everything under this tenure to finish what is in flight and stop."""
        self._ended.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, but no longer than the tenure goes on."""
        left = min(seconds, max(0.0, self._valid_until - monotonic()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), left)

    async def keep(self) -> None:
        """Renew at a third of the lease's life, sooner after a failure, until ended or lost."""
        wait = self._lease_seconds / 3
        while True:
            await self.pause(wait)
            if not self.alive:
                return
            try:
                await self.confirm()
            except Fenced:
                return
            except (Transient, Permanent):
                wait = self._lease_seconds / 20
            else:
                wait = self._lease_seconds / 3

    async def confirm(self) -> None:
        """Renew now.

        Raises:
            Fenced: somebody else owns the partition; the tenure is over.
            Transient: Redis did not answer.
        """
        asked_at = monotonic()
        if not await self._leases.renew(self.partition, self.token):
            self._valid_until = 0.0
            raise Fenced(f"partition {self.partition} has another owner")
        self._valid_until = asked_at + self._lease_seconds

    def trouble(self) -> None:
        """Note that work could not go on: something outside is away."""
        if self._trouble_since is None:
            self._trouble_since = monotonic()

    def relieved(self) -> None:
        """Note that work goes on, or that there is none."""
        self._trouble_since = None

    @property
    def trouble_seconds(self) -> float:
        """For how long work has not gone on; 0.0 when it does."""
        return 0.0 if self._trouble_since is None else monotonic() - self._trouble_since
