"""One stage in this process: takes its share of the partitions, runs a tenure on each, gives back what is over.

A worker that has work and gets nothing done for a while, while others live, is probably the one that is cut off: it gives
everything back, leaves the registry for a while so that the others count without it, and bids last (hole B11).
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import structlog

from backplane import telemetry
from backplane.errors import Transient
from backplane.leases import Leases
from backplane.settings import Settings
from backplane.streams import Partition
from consumers.runner import End
from consumers.sharing import in_my_order, share
from consumers.tenure import Tenure
from consumers.trimmer import keep_trimmed

STALLED_SECONDS = 15.0
PENALTY_SECONDS = 60.0
STOP_SECONDS = 20.0
_ROUND_SECONDS = 1.0
LAST_BID_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Runs(Protocol):
    """A runner, whatever its stage makes of the entries."""

    settled_at: float

    async def run(self) -> End:
        """Work until the tenure is over."""
        ...


Chores = Sequence[Callable[[Tenure], Coroutine[Any, Any, None]]]


@dataclass(slots=True)
class Holding:
    """A partition of ours: the tenure and runner of the moment, and the task that goes through them."""

    tenure: Tenure
    runner: Runs | None = None
    task: asyncio.Task[None] | None = None


class Worker:
    """The worker of one stage.

    Args:
        stage: its name, for figures.
        worker_id: unique among all workers.
        leases: of this worker and stage.
        settings: of the process.
        build: opens a partition under a tenure's token, with the runner of this stage.
        chores: what runs beside the runner until the tenure is over.
        stalled_seconds: with work and without any success for this long, it gives everything back …
        penalty_seconds: … and bids last for this long:
        last_bid_seconds: only for what nobody has taken within this.
    """

    def __init__(
        self,
        stage: str,
        worker_id: str,
        leases: Leases,
        settings: Settings,
        build: Callable[[Tenure], tuple[Partition, Runs]],
        *,
        chores: Chores = (),
        stalled_seconds: float = STALLED_SECONDS,
        penalty_seconds: float = PENALTY_SECONDS,
        last_bid_seconds: float = LAST_BID_SECONDS,
    ) -> None:
        self._stage, self._id = stage, worker_id
        self._stalled_seconds, self._penalty_seconds = stalled_seconds, penalty_seconds
        self._last_bid_seconds = last_bid_seconds
        self._leases, self._settings, self._build, self._chores = leases, settings, build, chores
        self._holdings: dict[int, Holding] = {}
        self._free_since: dict[int, float] = {}
        self._aside_until = -math.inf
        self._workers = 1
        self._log = log.bind(stage=stage, worker=worker_id)

    @property
    def partitions(self) -> list[int]:
        """The partitions that are ours now."""
        return sorted(self._holdings)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is in flight and give everything back."""
        period = min(_ROUND_SECONDS, self._settings.lease_seconds / 3)
        while not stop.is_set():
            try:
                await self._round()
            except Transient as failure:
                self._log.warning("a round of sharing failed", error=str(failure))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), period)
        await self._stop()

    async def _round(self) -> None:
        now = monotonic()
        if self._stalled(now):
            await self._step_aside(now)
        owners = await self._leases.owners()
        free = [partition for partition in range(self._settings.partitions) if partition not in owners]
        self._free_since = {partition: self._free_since.get(partition, now) for partition in free}
        if now < self._aside_until:
            late = [partition for partition in free if now - self._free_since[partition] >= self._last_bid_seconds]
            await self._bid(in_my_order(self._id, late))
            return
        self._workers = await self._leases.heartbeat()
        division = share(self._id, self._settings.partitions, self._workers, owners)
        self._give_back(division.give)
        # A lease of ours without a tenure: the tenure broke, and its lease would only stand in the way until it ends.
        orphans = [p for p, owner in owners.items() if owner == self._id and p not in division.give]
        await self._bid([*orphans, *division.take])

    # Taking and giving

    async def _bid(self, partitions: Iterable[int]) -> None:
        await asyncio.gather(*(self._take(partition) for partition in partitions if partition not in self._holdings))

    async def _take(self, partition: int) -> None:
        tenure = await self._new_tenure(partition)
        if tenure is None:
            return
        holding = self._holdings[partition] = Holding(tenure)
        holding.task = asyncio.create_task(self._hold(holding), name=f"{self._stage} {partition}")
        self._observe()

    async def _new_tenure(self, partition: int) -> Tenure | None:
        asked_at = monotonic()
        token = await self._leases.acquire(partition)
        if token is None:
            return None
        return Tenure(self._leases, partition, token, lease_seconds=self._settings.lease_seconds, asked_at=asked_at)

    def _give_back(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            if holding := self._holdings.get(partition):
                holding.tenure.end()

    def _stalled(self, now: float) -> bool:
        """Whether there is work, none of it gets done, and somebody else could do better."""
        held = [holding for holding in self._holdings.values() if holding.runner]
        return (
            self._workers > 1
            and any(holding.tenure.trouble_seconds > self._stalled_seconds for holding in held)
            and all(now - holding.runner.settled_at > self._stalled_seconds for holding in held if holding.runner)
        )

    async def _step_aside(self, now: float) -> None:
        self._log.error("nothing gets done here: giving all partitions back", seconds=self._stalled_seconds)
        self._aside_until = now + self._penalty_seconds
        self._give_back(list(self._holdings))
        await self._leases.retire()

    # One partition

    async def _hold(self, holding: Holding) -> None:
        """Run tenures on a partition until it is given back, or lost."""
        partition = holding.tenure.partition
        try:
            while await self._serve(holding) is End.OPEN:
                renewed = await self._new_tenure(partition)
                if renewed is None:
                    return
                holding.tenure = renewed
            await self._leases.release(partition, holding.tenure.token)
        except Transient as failure:
            # The lease ends by itself, or the next round finds it still ours.
            self._log.warning("a partition was left as it was", partition=partition, error=str(failure))
        except Exception:  # noqa: BLE001 - the other partitions go on; this one is taken anew in the next round
            self._log.exception("a tenure broke", partition=partition)
        finally:
            del self._holdings[partition]
            self._observe()

    async def _serve(self, holding: Holding) -> End:
        """Run one tenure, with its renewal and trimming beside it."""
        tenure = holding.tenure
        partition, holding.runner = self._build(tenure)
        self._log.info("took a partition", partition=tenure.partition)
        async with asyncio.TaskGroup() as beside:
            beside.create_task(tenure.keep())
            beside.create_task(keep_trimmed(partition, tenure, self._settings))
            for chore in self._chores:
                beside.create_task(chore(tenure))
            end = await holding.runner.run()
            if tenure.ended:
                end = End.STOPPED
            tenure.end()
        self._log.info("left a partition", partition=tenure.partition, because=end.name.lower())
        return end

    def _observe(self) -> None:
        telemetry.owned.labels(self._stage).set(len(self._holdings))

    # The end

    async def _stop(self) -> None:
        """Finish what is in flight, give back, leave (hole D4). One deadline for all: STOP_SECONDS."""
        tasks = [holding.task for holding in self._holdings.values() if holding.task]
        # 1. No new batch is begun; each tenure ends after the one in flight and gives its lease back at once.
        self._give_back(list(self._holdings))
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            # 2. What hangs longer than every time-out of its parts is cut; the pending list has its entries.
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        # 3. The others count without us from their next round on.
        with contextlib.suppress(Transient):
            await self._leases.retire()
