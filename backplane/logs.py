"""User logs: Redis streams whose ids are positions `<epoch>-<offset>`, dense within an epoch (design §3).

A log is valid while its epoch key names the log's epoch and its shard's era. `open` and `append` are one call each, so nobody
ever sees half a log (hole B4). What is lost shows as another epoch, never as a silent gap.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from backplane import doorbells
from backplane.redis import Command, Redis, Word, fcall
from schemas.ids import Position, StreamId, UserId
from schemas.names import BODY_FIELD

USERS_A_CALL: Final = 250
"""More keys in one call would hold up everybody else who waits for Redis (design §8)."""
RENEWAL_MS: Final = 60_000
"""Least age of an epoch that a client may have thrown away (hole C15)."""

_EPOCH_CHANGED: Final = b"epoch_changed"
_Item = TypeVar("_Item")


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
        self._redis, self._max_entries, self._ttl_seconds = redis, max_entries, epoch_ttl_seconds

    async def open(self, user: UserId) -> Head:
        """The head of the user's log; makes a new log, with the marker `<epoch>-0`, if there is no valid one. Renews both times to live."""
        return _head(await self._open(user, ""))

    async def renew_epoch(self, user: UserId) -> Head | None:
        """Throw the log away for a new epoch, at most once a minute per user (hole C15); None if it was done lately."""
        reply = await self._open(user, RENEWAL_MS)
        return None if reply is None else _head(reply)

    async def read(self, user: UserId, after: Position, count: int) -> list[Logged]:
        """Up to `count` entries after a position of the same epoch. The caller checks that the first is at `after.offset + 1` (hole C9)."""
        # An incomplete id is the last one of that epoch: a newer epoch's entries are never taken for a continuation.
        log = self._redis.names.log(user)
        entries = await self._redis.command("XRANGE", log, f"({after}", str(after.epoch), "COUNT", count)
        return [Logged(_position(entry_id), _body(fields)) for entry_id, fields in entries]

    async def heads(self, users: Sequence[UserId]) -> list[Head | None]:
        """The heads of many users' logs, None where the log is not valid; renews times to live. The sweep, in pipelined calls.

        Raises:
            Transient: a shard refused the renewal or did not answer (hole C17).
        """
        names = self._redis.names
        by_shard: dict[int, list[UserId]] = {}
        for user in users:
            by_shard.setdefault(names.shard_of(user), []).append(user)
        chunks = [(shard, chunk) for shard, all_users in by_shard.items() for chunk in _chunks(all_users)]
        heads: dict[UserId, Head | None] = {}
        for some in _chunks(chunks, 16):  # a few calls a round trip: others are served between
            commands = [self._ask_heads(shard, chunk) for shard, chunk in some]
            for (_, chunk), replies in zip(some, await self._redis.all(commands), strict=True):
                heads |= zip(chunk, (None if reply is None else _head(reply) for reply in replies), strict=True)
        return [heads[user] for user in users]

    async def append(self, partition: int, era: str, shard: int, deliveries: Sequence[Delivery]) -> int:
        """Append events, in order, to the logs of users of one shard, ring their doorbells, raise `done`: calls of ≤ 250 users, each atomic.

        What is not newer than `done:<partition>` of this era does nothing. Each user stands alone: no epoch key, or another era,
        means skipped; a log that refuses loses its epoch key (hole B3). Safe to repeat; the caller repeats until definite,
        with one call in flight per partition and shard. Returns how many entries were appended.
        """
        names = self._redis.names
        appended = 0
        for chunk in _calls(deliveries):
            keys = [names.era(names.shard_tag(shard)), names.done(shard, partition)]
            args: list[Word] = [era, self._max_entries]
            for delivery in chunk:
                keys += self._keys(delivery.users)
                args += [str(delivery.event_id), delivery.body, len(delivery.users)]
            appended += await self._redis.call("append", keys, args, append=True)
        return appended

    async def ring(self, user: UserId, payload: bytes) -> None:
        """Say something on a user's doorbell that is no entry, at most once.

        Raises:
            Unknown: it may have been said. Transient: it was not.
        """
        await doorbells.ring(self._redis, self._redis.names.log(user), payload)

    async def drop(self, users: Sequence[UserId]) -> None:
        """Delete epoch keys and ring `epoch_changed`: these users resync (hole A10)."""
        names = self._redis.names
        for chunk in _chunks(users):
            # Every key before any bell: whoever hears the bell must find the log invalid.
            await self._redis.all([("DEL", names.epoch(user)) for user in chunk])
            await self._redis.all([("SPUBLISH", names.log(user), _EPOCH_CHANGED) for user in chunk])

    async def renew_eras(self, shards: Sequence[int]) -> None:
        """Give shards a new era, so that every log in them counts as lost."""
        names = self._redis.names
        eras = [names.era(names.shard_tag(shard)) for shard in shards]
        await self._redis.all([("SET", era, secrets.token_hex(8)) for era in eras])

    async def skip_shards(self, partition: int, shards: Sequence[int]) -> None:
        """Note shards as set aside by a partition before events are passed over (hole B11)."""
        if shards:
            await self._redis.command("SADD", self._redis.names.skipped(partition), *shards)

    async def skipped_shards(self, partition: int) -> set[int]:
        """Shards set aside: each needs a new era before its next append."""
        return {int(shard) for shard in await self._redis.command("SMEMBERS", self._redis.names.skipped(partition))}

    async def unskip_shard(self, partition: int, shard: int) -> None:
        """Give the shard a new era, then forget that it was set aside."""
        await self.renew_eras([shard])
        await self._redis.command("SREM", self._redis.names.skipped(partition), shard)

    async def _open(self, user: UserId, least_age_ms: Word) -> Any:
        names = self._redis.names
        tag = names.shard_tag(names.shard_of(user))
        keys = [names.log(user), names.epoch(user), names.run(tag), names.era(tag)]
        # Random values come from here: a function's own repeat after each start of the server.
        args = [secrets.randbelow(1000), secrets.token_hex(8), self._ttl_seconds, least_age_ms]
        return await self._redis.call("open", keys, args)

    def _ask_heads(self, shard: int, users: Sequence[UserId]) -> Command:
        names = self._redis.names
        return fcall("heads", [names.era(names.shard_tag(shard)), *self._keys(users)], [self._ttl_seconds])

    def _keys(self, users: Iterable[UserId]) -> list[str]:
        names = self._redis.names
        return [key for user in users for key in (names.log(user), names.epoch(user))]


def _calls(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Whole events, up to `USERS_A_CALL` users a call: an event that has more alone is one call, as `done` can not be half."""
    call: list[Delivery] = []
    users = 0
    for delivery in deliveries:
        if call and users + len(delivery.users) > USERS_A_CALL:
            yield call
            call, users = [], 0
        call.append(delivery)
        users += len(delivery.users)
    if call:
        yield call


def _chunks(items: Sequence[_Item], size: int = USERS_A_CALL) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _head(reply: Any) -> Head:
    head, first = reply
    return Head(_position(head), None if first is None else _position(first).offset)


def _position(entry_id: bytes) -> Position:
    return Position.parse(entry_id.decode())


def _body(fields: Sequence[bytes]) -> bytes:
    return dict(zip(fields[::2], fields[1::2], strict=True))[BODY_FIELD]


Ring = tuple[Position, bytes] | None
"""What a doorbell says: position and body; None for “your epoch changed”."""


def parse_ring(payload: bytes) -> Ring:
    """Read a doorbell: `<epoch>-<offset> <body>`, or `epoch_changed`."""
    if payload == _EPOCH_CHANGED:
        return None
    position, _, body = payload.partition(b" ")
    epoch, _, offset = position.partition(b"-")
    return Position(int(epoch), int(offset)), body
