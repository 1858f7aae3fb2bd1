"""One tenure's loop: what was pending first, then fetch → handle → settle, until the tenure is over.

Transient trouble stops the reading and counts nothing. An entry that can not be handled is found by handling its batch one by
one, tried again while its lane waits, and after `max_attempts` buried with a word to whoever waits for it (holes A10, B1, C16).
"""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from time import monotonic, time
from typing import Generic, TypeVar

import structlog

from backplane import telemetry
from backplane.errors import Fenced, Permanent, Transient, Unknown
from backplane.settings import Settings
from backplane.streams import Entry, Partition, Settled
from consumers.lanes import Job, Lanes
from consumers.pace import Pace, retry_seconds
from consumers.stages import StageHandler, Work
from consumers.tenure import Tenure
from schemas.events import Event
from schemas.ids import StreamId

T = TypeVar("T")

_WAIT_MS = 1000
_HELD_LIMIT = 1000
_LOOKS = 8
"""How often to ask after the end whether entries were lost: some 15 s. A Redis away for longer renews every log on its return."""
_TRIMMED = "trimmed while it was pending"

log = structlog.get_logger(__name__)


class End(Enum):
    """Why a tenure's loop is over."""

    STOPPED = auto()
    """The tenure was ended: given back, or the process stops."""
    LOST = auto()
    """Its lease ran out, or could not be renewed because somebody else has it."""
    FENCED = auto()
    """A call was refused: somebody else owns the partition."""
    OPEN = auto()
    """The outcome of a fetch or settle is unknown: only under a new token may the pending list be read (hole A4)."""


class Runner(Generic[T]):
    """The loop of one tenure over one partition's stream."""

    def __init__(self, partition: Partition, tenure: Tenure, handler: StageHandler[T], settings: Settings) -> None:
        self._partition, self._tenure, self._handler = partition, tenure, handler
        self._max_attempts = settings.max_attempts
        self._retry_seconds = settings.retry_seconds
        self._pace = Pace(settings.batch_entries)
        self._lanes: Lanes[T] = Lanes(_HELD_LIMIT)
        self._recovering = True
        self._era = ""
        self._settled = StreamId(0, 0)
        self._stage = partition.stage.name
        self._log = log.bind(stage=self._stage, partition=partition.partition)
        self.settled_at = monotonic()
        """When something was last settled: the worker's proof that it gets on (hole B11)."""

    async def run(self) -> End:
        """Work until the tenure is over. Cancels nothing in flight: a stop is seen between two steps."""
        end = await self._work()
        if not self._tenure.ended:
            await self._look_for_lost()
        return end

    async def _work(self) -> End:
        while self._tenure.alive:
            try:
                await self._turn()
            except Fenced:
                telemetry.fenced.labels(self._stage).inc()
                self._log.warning("fenced: somebody else owns the partition")
                return End.FENCED
            except Unknown as failure:
                self._log.warning("the outcome of a call is unknown; taking a new token", error=str(failure))
                return End.OPEN
            except Transient as failure:
                self._tenure.trouble()
                self._log.warning("waiting for something outside", error=str(failure), batch=self._pace.batch)
                await self._tenure.pause(self._pace.slower())
            else:
                self._tenure.relieved()
        return End.STOPPED if self._tenure.ended else End.LOST

    async def _turn(self) -> None:
        if self._lanes.wants_more:
            await self._refill()
        jobs = self._lanes.take(self._pace.batch, monotonic())
        if not jobs:
            await self._wait()
        elif jobs[0].careful or jobs[0].fault:
            await self._handle_one(jobs[0])
        else:
            await self._handle_batch(jobs)

    # Taking

    async def _refill(self) -> None:
        if self._recovering:
            # Read from the beginning each time; the lanes know which of them are still ours to finish.
            fetched = await self._partition.pending(self._pace.batch + len(self._lanes))
            entries = [entry for entry in fetched.entries if entry.id not in self._lanes]
            if entries:
                telemetry.redeliveries.labels(self._stage).inc(len(entries))
                self._add(fetched.era, entries)
                return
            self._recovering = False
        fetched = await self._partition.fetch(self._pace.batch)
        self._add(fetched.era, fetched.entries)

    def _add(self, era: str, entries: Sequence[Entry]) -> None:
        self._era = era
        self._lanes.add([self._job(entry) for entry in entries])

    def _job(self, entry: Entry) -> Job[T]:
        try:
            if not entry.fields:
                raise ValueError(_TRIMMED)  # noqa: TRY301 - one way for every entry without an item
            item = self._handler.decode(entry)
        except ValueError as failure:
            # On its own lane: nobody can tell what it should keep in order with.
            return Job(entry, None, entry.id, fault=str(failure))
        return Job(entry, item, self._handler.lane(item), careful=self._recovering)

    async def _wait(self) -> None:
        retry = self._lanes.seconds_to_retry(monotonic())
        block_ms = _WAIT_MS if retry is None else min(_WAIT_MS, int(retry * 1000) + 1)
        if self._lanes.full:
            # The stream has more, which may not be taken yet: waiting on it would return at once, for ever.
            await self._tenure.pause(block_ms / 1000)
        else:
            await self._partition.wait(block_ms)

    # Handling

    async def _handle_batch(self, jobs: list[Job[T]]) -> None:
        try:
            done = await self._handler.handle(self._era, _works(jobs))
            await self._settle(jobs, done)
        except (Transient, Fenced):
            self._lanes.put_back(jobs)
            raise
        except Exception:  # noqa: BLE001 - whatever it is, one of these entries brings it about; which one, each alone will show
            self._log.warning("a batch failed; handling its entries one by one", entries=len(jobs), exc_info=True)
            for job in jobs:
                job.careful = True
            self._lanes.put_back(jobs)

    async def _handle_one(self, job: Job[T]) -> None:
        try:
            if job.fault:
                await self._give_up(job, job.fault)
            elif await self._count(job):
                done = await self._handler.handle(self._era, _works([job]))
                await self._settle([job], done)
            else:
                await self._give_up(job, "the process ended each time while it was handled")
        except Fenced:
            self._lanes.put_back([job])
            raise
        except Transient:
            self._lanes.put_back([job])
            if job.attempts <= self._max_attempts:
                await self._uncount(job)
            raise
        except Exception as failure:  # noqa: BLE001 - the entry is at fault, whatever it brings about
            await self._failed(job, failure)

    async def _count(self, job: Job[T]) -> bool:
        """Count this try before it is made; False if it would be one too many."""
        if not job.attempts:
            job.attempts = await self._partition.attempt(job.entry.id)
        return job.attempts <= self._max_attempts

    async def _uncount(self, job: Job[T]) -> None:
        """Transient is not poison: take the count back. If Redis is away too, `attempts` remembers that it was counted."""
        try:
            await self._partition.forget_attempts([job.entry.id])
        except Transient:
            return
        job.attempts = 0

    async def _failed(self, job: Job[T], failure: Exception) -> None:
        now_ms = int(time() * 1000)
        job.first_failed_ms = job.first_failed_ms or now_ms
        job.tries += 1
        self._log.error(
            "an entry failed", entry=str(job.entry.id), attempt=job.attempts, of=self._max_attempts, exc_info=failure
        )
        if job.attempts < self._max_attempts:
            job.careful = True
            self._lanes.hold(job, monotonic() + retry_seconds(job.tries, self._retry_seconds))
            job.attempts = 0  # the next try is counted anew
            return
        try:
            await self._give_up(job, f"{type(failure).__name__}: {failure}")
        except Transient:
            self._lanes.put_back([job])
            raise

    # Settling

    async def _settle(self, jobs: Sequence[Job[T]], done: list[Settled]) -> None:
        highest = max(self._settled, *(job.entry.id for job in jobs))
        oldest = self._lanes.oldest_besides(jobs)
        # A lost group is re-created at the cursor (hole D6): it may not pass what waits for its next try.
        await self._partition.settle(done, highest if oldest is None or highest < oldest else None)
        self._settled = highest
        await self._finished(jobs, done)

    async def _finished(self, jobs: Sequence[Job[T]], done: Sequence[Settled]) -> None:
        self._lanes.done(jobs)
        self._pace.recovered()
        self.settled_at = monotonic()
        telemetry.batches.labels(self._stage).observe(len(jobs))
        try:
            if counted := [job.entry.id for job in jobs if job.careful]:
                await self._partition.forget_attempts(counted)
            await self._handler.after(done)
        except Exception:  # noqa: BLE001 - the entries are settled; nothing after that may touch them again
            self._log.warning("settled, but what should follow has failed", exc_info=True)

    async def _give_up(self, job: Job[T], error: str) -> None:
        """Bury an entry, never silently; one that was trimmed away is acknowledged and alarmed."""
        events = await self._last_words(job)
        if error == _TRIMMED:
            telemetry.lost_trimmed.labels(self._stage).inc()
            self._log.error("work was lost: an entry was trimmed while it was pending", entry=str(job.entry.id))
            await self._partition.settle([Settled(job.entry.id, events)], None)
        else:
            telemetry.dead_letters.labels(self._stage).inc()
            self._log.error("dead-lettered", entry=str(job.entry.id), error=error)
            first_ms = job.first_failed_ms or int(time() * 1000)
            await self._partition.bury(
                job.entry, error=error, first_ms=first_ms, attempts=max(1, job.attempts), events=events
            )
        await self._finished([job], [Settled(job.entry.id, events)])

    async def _look_for_lost(self) -> None:
        """Usually the next owner finds what was in hand here; but a Redis that was emptied has it no more (hole A6).

        What was stored under this tenure is definite by now, so who loads their state after this has it.
        """
        jobs = {job.entry.id: job for job in self._lanes.unsettled() if job.item is not None}
        pace = Pace(1)
        for _ in range(_LOOKS):
            try:
                lost = await self._partition.gone(list(jobs))
                if lost:
                    self._log.error(
                        "the stream has lost entries in hand: who is concerned will resync", entries=len(lost)
                    )
                    await self._handler.forsake(_works([jobs[entry_id] for entry_id in lost]))
            except (Transient, Permanent) as failure:
                self._log.warning("can not tell whether the stream has lost entries in hand", error=str(failure))
                await asyncio.sleep(pace.slower())
            else:
                return

    async def _last_words(self, job: Job[T]) -> Sequence[Event]:
        try:
            return await self._handler.give_up(job.entry, job.item)
        except (Transient, Fenced):
            raise
        except Exception:  # noqa: BLE001 - an entry that can not even be refused must still not stop the partition
            self._log.error("nobody could be told that an entry is given up", entry=str(job.entry.id), exc_info=True)
            return ()


def _works(jobs: Sequence[Job[T]]) -> list[Work[T]]:
    return [Work(job.entry, job.item, job.careful) for job in jobs if job.item is not None]
