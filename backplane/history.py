"""What the partition streams still hold, for operators: looked through, followed, and sent again.

Nothing here takes an entry: reading is XRANGE, and what is sent again is a new entry with the old fields. The stages know what
they have done by the `intent_id` inside, not by the entry's id, so a repeat costs work and changes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from backplane.errors import Permanent
from backplane.redis import Redis, Word
from backplane.streams import Entry
from schemas.ids import StreamId
from schemas.names import AGAIN_FIELD
from schemas.stages import PartitionStream

LAST: Final = StreamId(2**63 - 1, 2**63 - 1)
FIRST: Final = StreamId(0, 0)

_PAGE: Final = 500
_KINDS: Final[tuple[PartitionStream, ...]] = get_args(PartitionStream)


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream of one partition; `first` and `last` are None when it is empty."""

    kind: PartitionStream
    partition: int
    entries: int
    first: StreamId | None
    last: StreamId | None
    bytes: int


async def states(redis: Redis, partitions: Sequence[int]) -> list[StreamState]:
    """Every stream of these partitions.

    Raises:
        Transient: Redis is away.
    """
    found: list[StreamState] = []
    for partition in partitions:
        keys = [redis.names.stream(kind, partition) for kind in _KINDS]
        replies = [await _of_stream(redis, key) for key in keys]
        found += [
            StreamState(kind, partition, entries, first, last, size)
            for kind, (entries, first, last, size) in zip(_KINDS, replies, strict=True)
        ]
    return found


async def _of_stream(redis: Redis, key: str) -> tuple[int, StreamId | None, StreamId | None, int]:
    length, first, last, size = await redis.all(
        [
            ("XLEN", key),
            ("XRANGE", key, "-", "+", "COUNT", 1),
            ("XREVRANGE", key, "+", "-", "COUNT", 1),
            ("MEMORY", "USAGE", key),
        ]
    )
    return length, _edge(first), _edge(last), size or 0


def _edge(reply: Any) -> StreamId | None:
    return StreamId.parse(reply[0][0]) if reply else None


async def groups(redis: Redis, kind: PartitionStream, partition: int) -> list[dict[str, int | str | None]]:
    """What Redis says about the groups of a stream (XINFO GROUPS); empty if the stream does not exist."""
    [reply] = await redis.pipeline([("XINFO", "GROUPS", redis.names.stream(kind, partition))])
    if isinstance(reply, Permanent):  # no such key
        return []
    if isinstance(reply, Exception):
        raise reply
    return [_named(group) for group in reply]


def _named(flat: Sequence[Any]) -> dict[str, int | str | None]:
    texts = [word.decode() if isinstance(word, bytes) else word for word in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


async def newest(redis: Redis, key: str, count: int) -> list[Entry]:
    """The last `count` entries, oldest first."""
    reply = await redis.command("XREVRANGE", key, "+", "-", "COUNT", count)
    return [_entry(row) for row in reversed(reply)]


async def one(redis: Redis, key: str, entry_id: StreamId) -> Entry | None:
    """The entry with this id."""
    reply = await redis.command("XRANGE", key, str(entry_id), str(entry_id))
    return _entry(reply[0]) if reply else None


async def between(redis: Redis, key: str, low: StreamId, high: StreamId, *, count: int = _PAGE) -> list[Entry]:
    """Up to `count` entries with `low <= id <= high`, oldest first."""
    return [_entry(row) for row in await redis.command("XRANGE", key, str(low), str(high), "COUNT", count)]


async def pages(redis: Redis, key: str, low: StreamId, high: StreamId) -> AsyncIterator[list[Entry]]:
    """All entries with `low <= id <= high`, a page at a time. What is appended meanwhile is not among them if `high` is the last id."""
    while page := await between(redis, key, low, high):
        yield page
        if len(page) < _PAGE:
            return
        low = after(page[-1].id)


def after(entry_id: StreamId) -> StreamId:
    """The smallest id that is greater."""
    return StreamId(entry_id.ms, entry_id.seq + 1)


async def append_again(redis: Redis, key: str, entries: Sequence[Entry]) -> list[StreamId]:
    """Append the fields of entries, in order, as new entries that say so; returns their ids.

    Raises:
        Transient: one was refused, e.g. for lack of memory; those before it are appended.
        Unknown: they may be appended. To do it again is harmless.
    """
    commands: list[tuple[Word, ...]] = []
    for entry in entries:
        fields = {**entry.fields, AGAIN_FIELD: b"1"}
        commands.append(("XADD", key, "*", *(word for field in fields.items() for word in field)))
    replies = await redis.all(commands, append=True)
    return [StreamId.parse(reply) for reply in replies]


async def remove(redis: Redis, key: str, entry_id: StreamId) -> bool:
    """Delete one entry; False if it was not there."""
    return bool(await redis.command("XDEL", key, str(entry_id)))


def _entry(row: Any) -> Entry:
    entry_id, flat = row
    return Entry(StreamId.parse(entry_id), dict(zip(flat[::2], flat[1::2], strict=True)))
