"""`headrace streams`: what the partition streams hold, and what comes in."""

import asyncio
from typing import get_args

import click

from backplane import history
from backplane.history import Kind
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output, systems
from cli.entries import summary
from schemas.ids import StreamId
from schemas.stages import STAGES, StreamKind

_KINDS = click.Choice(get_args(Kind))
_FOLLOW_SECONDS = 0.5


@click.group
def command() -> None:
    """Look into the partition streams. Nothing is taken from them."""


@command.command
@output.partition_option
@output.json_option
def ls(*, partition: int | None, as_json: bool) -> None:
    """List every stream: how many entries, how old, how large.

    Example:  headrace streams ls -p 3
    """
    output.show(asyncio.run(_ls(partition)), as_json=as_json)


@command.command
@click.argument("partition", type=click.IntRange(min=0))
@output.json_option
def info(*, partition: int, as_json: bool) -> None:
    """Show one partition: its streams, their consumer groups, the leases and eras.

    Example:  headrace streams info 3
    """
    facts = asyncio.run(_info(partition))
    if as_json:
        output.show_one(facts, as_json=True)
        return
    for title, rows in facts.items():
        output.say(f"{title}:")
        output.show(rows, as_json=False)


@command.command
@click.argument("kind", type=_KINDS)
@output.partition_option
@click.option("-n", "count", type=click.IntRange(0, 10_000), default=10, show_default=True, help="So many of the last.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--bodies", is_flag=True, help="Show what people wrote.")
@output.json_option
def tail(*, kind: Kind, partition: int | None, count: int, follow: bool, bodies: bool, as_json: bool) -> None:
    """Show the last entries of a kind of stream, oldest first.

    Example:  headrace streams tail events -f
    """
    asyncio.run(_tail(kind, partition, count, follow=follow, bodies=bodies, as_json=as_json))


async def _ls(partition: int | None) -> list[output.Row]:
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


async def _info(partition: int) -> dict[str, list[output.Row]]:
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


async def _tail(kind: Kind, partition: int | None, count: int, *, follow: bool, bodies: bool, as_json: bool) -> None:
    async with systems.the_redis() as redis:
        seen: dict[int, StreamId] = {}
        found: list[tuple[int, Entry]] = []
        for at in systems.partitions(redis, partition):
            entries = await history.newest(redis, history.key_of(redis.names, kind, at), max(count, 1))
            seen[at] = entries[-1].id if entries else history.FIRST
            found += [(at, entry) for entry in entries]
        found.sort(key=lambda one: one[1].id)
        rows = [summary(kind, at, entry, bodies=bodies) for at, entry in found[-count:] if count]
        output.show(rows, as_json=as_json)
        while follow:
            await asyncio.sleep(_FOLLOW_SECONDS)
            for at, last in seen.items():
                key = history.key_of(redis.names, kind, at)
                for entry in await history.between(redis, key, history.after(last), history.LAST):
                    seen[at] = entry.id
                    _line(summary(kind, at, entry, bodies=bodies), as_json=as_json)


def _line(row: output.Row, *, as_json: bool) -> None:
    """One row as it comes: there are no widths to know beforehand."""
    if as_json:
        output.show([row], as_json=True)
    else:
        click.echo("  ".join(output.printable(value) for value in row.values()))
