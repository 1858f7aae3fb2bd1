"""User logs: Redis streams whose ids are positions `<epoch>-<offset>`, dense within an epoch (design §3).

A log is valid while its epoch key names the log's epoch and its shard's era. `open` and `append` are one call each, so nobody
ever sees half a log (hole B4). What is lost shows as another epoch, never as a silent gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backplane.redis import Redis
from schemas.ids import Position, StreamId, UserId


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a valid log: `position` is its newest entry's (or where it would go on after trimming to nothing)."""

    position: Position
    first_offset: int | None
    """The lowest offset still there; None if every entry was trimmed."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One entry of a log; `body` is empty for the marker at offset 0."""

    position: Position
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for the users of one shard."""

    event_id: StreamId
    """The event's id in its partition's stream: makes the append idempotent (hole B2)."""
    body: bytes
    users: Sequence[UserId]


class Logs:
    """Operations on user logs."""

    def __init__(self, redis: Redis, *, max_entries: int, epoch_ttl_seconds: int) -> None:
        raise NotImplementedError

    async def open(self, user: UserId) -> Head:
        """The head of the user's log; makes a new log, with the marker `<epoch>-0`, if there is no valid one. Renews both times to live."""
        raise NotImplementedError

    async def renew_epoch(self, user: UserId) -> Head | None:
        """Throw the log away for a new epoch, at most once a minute per user (hole C15); None if it was done lately."""
        raise NotImplementedError

    async def read(self, user: UserId, after: Position, count: int) -> list[Logged]:
        """Up to `count` entries after a position of the same epoch. The caller checks that the first is at `after.offset + 1` (hole C9)."""
        raise NotImplementedError

    async def heads(self, users: Sequence[UserId]) -> list[Head | None]:
        """The heads of many users' logs, None where the log is not valid; renews times to live. The sweep, in pipelined calls.

        Raises:
            Transient: a shard refused the renewal or did not answer (hole C17).
        """
        raise NotImplementedError

    async def append(self, partition: int, era: str, shard: int, deliveries: Sequence[Delivery]) -> int:
        """Append events, in order, to the logs of users of one shard, ring their doorbells, raise `done`: calls of ≤ 250 users, each atomic.

        What is not newer than `done:<partition>` of this era does nothing. Each user stands alone: no epoch key, or another era,
        means skipped; a log that refuses loses its epoch key (hole B3). Safe to repeat; the caller repeats until definite,
        with one call in flight per partition and shard. Returns how many entries were appended.
        """
        raise NotImplementedError

    async def drop(self, users: Sequence[UserId]) -> None:
        """Delete epoch keys and ring `epoch_changed`: these users resync (hole A10)."""
        raise NotImplementedError

    async def renew_eras(self, shards: Sequence[int]) -> None:
        """Give shards a new era, so that every log in them counts as lost."""
        raise NotImplementedError

    async def skip_shards(self, partition: int, shards: Sequence[int]) -> None:
        """Note shards as set aside by a partition before events are passed over (hole B11)."""
        raise NotImplementedError

    async def skipped_shards(self, partition: int) -> set[int]:
        """Shards set aside: each needs a new era before its next append."""
        raise NotImplementedError

    async def unskip_shard(self, partition: int, shard: int) -> None:
        """Give the shard a new era, then forget that it was set aside."""
        raise NotImplementedError


Ring = tuple[Position, bytes] | None
"""What a doorbell says: position and body; None for “your epoch changed”."""


def parse_ring(payload: bytes) -> Ring:
    """Read a doorbell: `<epoch>-<offset> <body>`, or `epoch_changed`."""
    raise NotImplementedError
