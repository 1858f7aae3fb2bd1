"""What a runner has taken and not yet settled, in order. Pure: the clock is an argument.

Entries of one lane keep their order: when one failed and waits for its next try, those behind it wait too, and other
lanes go on (hole C16). persist has a lane a conversation; fanout has one for everything, because it never passes an event::

    ready   c1 ─ c2 ─ c1 ─ c3 …
    held    c4: [failed, waits until 12.5 s] ─ c4 ─ c4
"""

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from backplane.streams import Entry
from schemas.ids import StreamId

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """One entry on its way. `item` is None if it can not be decoded; `fault` then says why."""

    entry: Entry
    item: T | None
    lane: Hashable
    fault: str = ""
    careful: bool = False
    """Handled alone, its attempts counted: it was pending at the start, or its batch has failed (hole B1)."""
    attempts: int = 0
    """As counted in Redis before the try that is going on; 0 if none is counted."""
    tries: int = 0
    """How often it failed in this tenure."""
    first_failed_ms: int = 0


class Lanes(Generic[T]):
    """The entries of one runner; asks for no more while `limit` of them wait behind failed ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: set[StreamId] = set()
        self._ready: deque[Job[T]] = deque()
        self._held: dict[Hashable, deque[Job[T]]] = {}
        self._retry_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, entry_id: StreamId) -> bool:
        return entry_id in self._ids

    @property
    def full(self) -> bool:
        """Whether too many wait behind failed ones: nothing more is fetched until they are done or buried."""
        return sum(map(len, self._held.values())) >= self._limit

    @property
    def wants_more(self) -> bool:
        """Whether it is time to fetch."""
        return not self._ready and not self.full

    def unsettled(self) -> list[Job[T]]:
        """Everything that was taken and is neither settled nor on its way, in no order."""
        return [*self._ready, *(job for lane in self._held.values() for job in lane)]

    def oldest_besides(self, jobs: Iterable[Job[T]]) -> StreamId | None:
        """The lowest id that is not settled once these are."""
        return min(self._ids.difference(job.entry.id for job in jobs), default=None)

    def add(self, jobs: Iterable[Job[T]]) -> None:
        """Append entries as they were taken."""
        for job in jobs:
            self._ids.add(job.entry.id)
            self._ready.append(job)

    def take(self, limit: int, now: float) -> list[Job[T]]:
        """What to handle next, in order: a failed one whose time has come, else a careful one alone, else up to `limit` others.

        They stay unsettled until `done`; what could not be handled is given back with `put_back` or `hold`.
        """
        for lane, at in self._retry_at.items():
            if at <= now:
                return [self._held[lane][0]]
        batch: list[Job[T]] = []
        while self._ready and len(batch) < limit:
            job = self._ready[0]
            if job.lane in self._held:
                self._held[job.lane].append(self._ready.popleft())
                continue
            if batch and (job.careful or job.fault):
                break
            batch.append(self._ready.popleft())
            if job.careful or job.fault:
                break
        return batch

    def put_back(self, jobs: Sequence[Job[T]]) -> None:
        """Return what `take` gave, unhandled, to the place where it was."""
        self._ready.extendleft(job for job in reversed(jobs) if not self._is_head(job))

    def hold(self, job: Job[T], until: float) -> None:
        """Let a failed entry wait for its next try, and its lane behind it."""
        if not self._is_head(job):
            self._held[job.lane] = deque([job])
        self._retry_at[job.lane] = until

    def done(self, jobs: Iterable[Job[T]]) -> None:
        """Forget settled entries; what waited behind them is next."""
        for job in jobs:
            self._ids.discard(job.entry.id)
            if self._is_head(job):
                del self._retry_at[job.lane]
                waiting = self._held.pop(job.lane)
                waiting.popleft()
                self._ready.extendleft(reversed(waiting))

    def seconds_to_retry(self, now: float) -> float | None:
        """Until the next failed entry is due; None if there is none."""
        return max(0.0, min(self._retry_at.values()) - now) if self._retry_at else None

    def _is_head(self, job: Job[T]) -> bool:
        lane = self._held.get(job.lane)
        return lane is not None and lane[0] is job
