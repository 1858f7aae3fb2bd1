"""The streams of a partition: gateways append intents; one owner a stage takes entries, settles, buries, trims.

Entries are taken only by `fetch`, a function that checks the token and reads without BLOCK; waiting is a plain `XREAD BLOCK`,
which takes nothing (hole A4). Every function of a partition checks the token: a zombie gets `Fenced`. After a `fetch` or
`settle` that raised `Unknown`, the owner takes a new token (`leases.acquire` again) before it reads its pending list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backplane.redis import Redis
from schemas.events import Event
from schemas.ids import StreamId
from schemas.names import Names
from schemas.stages import Stage


class Intents:
    """The gateway's end: appends that arrive while one is in flight go out together in the next pipeline (bounded)."""

    def __init__(self, redis: Redis, *, limit: int) -> None:
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        """Intents accepted here and not yet answered by Redis."""
        raise NotImplementedError

    async def append(self, partition: int, intent: bytes) -> StreamId:
        """Append one encoded intent to its partition's stream.

        Raises:
            Transient: Redis is away or `limit` intents are in flight: nothing was appended.
            Unknown: it may have been appended.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry. `fields` is empty if the entry was trimmed while pending: lost work, counted and alarmed."""

    id: StreamId
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch took, and the era of the partition's tag (for `logs.append`)."""

    era: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Settled:
    """One entry that is done, and the events that it makes: emitted only if this acknowledgement is the first (hole B5)."""

    id: StreamId
    events: Sequence[Event] = ()


class Partition:
    """One partition as the owner of one stage sees it, under one token. A new tenure is a new object."""

    def __init__(self, redis: Redis, stage: Stage, partition: int, token: str) -> None:
        self.names: Names = redis.names
        self.stage, self.partition, self.token = stage, partition, token
        raise NotImplementedError

    async def pending(self, count: int) -> Fetched:
        """The first `count` entries that are taken and not acknowledged, oldest first: a predecessor's, or our own.

        Before the first entry of a partition whose server has a new `run_id` is handed out, all user shards get a new era
        (hole A6). A lost group is re-created at the stage's cursor, at 0 without one (hole D6).

        Raises:
            Fenced: the token is not the newest.
            Transient: Redis is away.
        """
        raise NotImplementedError

    async def fetch(self, count: int) -> Fetched:
        """Take up to `count` new entries, in order. Raises as `pending`, and `Unknown`: take a new token first."""
        raise NotImplementedError

    async def wait(self, block_ms: int) -> None:
        """Return when the stream may have something new, or after `block_ms` (≤ 2 000). Takes nothing."""
        raise NotImplementedError

    async def settle(self, done: Sequence[Settled], cursor: StreamId | None) -> int:
        """Acknowledge entries and add their events to `events:{p}`, in one atomic call, in the order given.

        `cursor`: everything up to it is settled. Returns how many acknowledgements were the first of their entry.

        Raises:
            Fenced: the token is not the newest; nothing was done.
            Unknown: it may have been done; take a new token before reading the pending list.
        """
        raise NotImplementedError

    async def bury(
        self, entry: Entry, *, error: str, first_ms: int, attempts: int, events: Sequence[Event] = ()
    ) -> None:
        """Move an entry to `dead` with its fields, stage, error and times, emit `events`, acknowledge: one call (hole A10)."""
        raise NotImplementedError

    async def attempt(self, entry_id: StreamId) -> int:
        """Count one attempt at an entry before it is made, and return the count: a handler that kills the process counts too (B1)."""
        raise NotImplementedError

    async def forget_attempts(self, entry_ids: Sequence[StreamId]) -> None:
        """Clear the counts of entries that are done."""
        raise NotImplementedError

    async def trim(self, *, max_age_seconds: float, max_entries: int) -> int:
        """Cut this stage's stream to its window, never what a required group has not acknowledged; returns how many went (B14).

        Also cuts `dead` to 100 000 entries.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class StageLag:
    """How far one stage is behind in one partition. `lag` is None when Redis can not tell: unknown, never 0."""

    stage: str
    partition: int
    lag: int | None
    pending: int
    oldest_ms: int | None
    """Age of the oldest unacknowledged entry; 0 when there is none, None when unknown."""


async def lags(redis: Redis) -> list[StageLag]:
    """The lag of every stage in every partition, in pipelined calls; a stage whose group does not exist yet but has entries is unknown."""
    raise NotImplementedError


async def memory_ratio(redis: Redis) -> float:
    """used_memory / maxmemory of the fullest primary; 0.0 without a limit."""
    raise NotImplementedError
