"""What `headrace streams` asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, get_args

from backplane import history
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output
from cli.asking import systems
from cli.asking.entries import summary
from schemas.ids import StreamId
from schemas.stages import STAGES, PartitionStream, StreamKind

_FOLLOW_SECONDS: Final = 0.5


async def ls(partition: int | None) -> list[output.Row]:
    """A row for each stream."""
    async with systems.the_redis() as redis:
        states = await history.states(redis, systems.partitions(redis, partition))
    return [_state(state) for state in states]


def _state(state: history.StreamState) -> output.Row:
    return {
        "partition": state.partition,
        "stream": state.kind,
        "entries": state.entries,
        "bytes": state.bytes,
        "first": str(state.first) if state.first else None,
        "last": str(state.last) if state.last else None,
    }


async def info(partition: int) -> dict[str, list[output.Row]]:
    """One partition: `streams`, `groups`, `keys`."""
    async with systems.the_redis() as redis:
        [partition] = systems.partitions(redis, partition)
        states = await history.states(redis, [partition])
        groups: list[output.Row] = []
        for kind in get_args(StreamKind):
            groups += [{"stream": kind, **group} for group in await history.groups(redis, kind, partition)]
        return {
            "streams": [_state(state) for state in states],
            "groups": groups,
            "keys": await _keys(redis, partition),
        }


async def _keys(redis: Redis, partition: int) -> list[output.Row]:
    """The single values of a partition, e.g. era, leases, cursors; tokens are only said to be there."""
    names, tag = redis.names, redis.names.partition_tag(partition)
    keys = [names.run(tag), names.era(tag)]
    for stage in STAGES:
        keys += [names.lease(partition, stage), names.cursor(partition, stage)]
    values = await redis.all([("GET", key) for key in keys])
    return [{"key": key, "value": value.decode() if value else None} for key, value in zip(keys, values, strict=True)]


async def tail(
    kind: PartitionStream, partition: int | None, count: int, *, bodies: bool
) -> AsyncIterator[list[output.Row]]:
    """The last `count` entries of a kind of stream, oldest first; then, without end, what has come since."""
    async with systems.the_redis() as redis:
        last: dict[int, StreamId] = {}
        found: list[tuple[int, Entry]] = []
        for at in systems.partitions(redis, partition):
            entries = await history.newest(redis, redis.names.stream(kind, at), max(count, 1))
            last[at] = entries[-1].id if entries else history.FIRST
            found += [(at, entry) for entry in entries]
        found = sorted(found, key=lambda one: one[1].id)[-count:] if count else []
        while True:
            yield [summary(kind, at, entry, bodies=bodies) for at, entry in found]
            await asyncio.sleep(_FOLLOW_SECONDS)
            found = await _since(redis, kind, last)


async def _since(redis: Redis, kind: PartitionStream, last: dict[int, StreamId]) -> list[tuple[int, Entry]]:
    """What was appended after `last`, which is moved."""
    found: list[tuple[int, Entry]] = []
    for at, entry_id in last.items():
        key = redis.names.stream(kind, at)
        entries = await history.between(redis, key, history.after(entry_id), history.LAST)
        found += [(at, entry) for entry in entries]
    last.update({at: entry.id for at, entry in found})
    return sorted(found, key=lambda one: one[1].id)
