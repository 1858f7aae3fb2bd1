"""`headrace streams`: what the partition streams hold, and what comes in."""

import asyncio
from typing import get_args

import click

from cli import output
from schemas.stages import PartitionStream


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
    from cli.asking import streams as asking

    output.show(asyncio.run(asking.ls(partition)), as_json=as_json)


@command.command
@click.argument("partition", type=click.IntRange(min=0))
@output.json_option
def info(*, partition: int, as_json: bool) -> None:
    """Show one partition: its streams, their consumer groups, the leases and eras.

    Example:  headrace streams info 3
    """
    from cli.asking import streams as asking

    facts = asyncio.run(asking.info(partition))
    if as_json:
        output.show_one(facts, as_json=True)
        return
    for title, rows in facts.items():
        output.say(f"{title}:")
        output.show(rows, as_json=False)


@command.command
@click.argument("kind", type=click.Choice(get_args(PartitionStream)))
@output.partition_option
@click.option("-n", "count", type=click.IntRange(0, 10_000), default=10, show_default=True, help="So many of the last.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--bodies", is_flag=True, help="Show what people wrote.")
@output.json_option
def tail(
    *, kind: PartitionStream, partition: int | None, count: int, follow: bool, bodies: bool, as_json: bool
) -> None:
    """Show the last entries of a kind of stream, oldest first.

    Example:  headrace streams tail events -f
    """
    asyncio.run(_tail(kind, partition, count, follow=follow, bodies=bodies, as_json=as_json))


async def _tail(
    kind: PartitionStream, partition: int | None, count: int, *, follow: bool, bodies: bool, as_json: bool
) -> None:
    from cli.asking import streams as asking

    async for rows in asking.tail(kind, partition, count, bodies=bodies):
        if follow:
            for row in rows:
                _line(row, as_json=as_json)
        else:
            output.show(rows, as_json=as_json)
            return


def _line(row: output.Row, *, as_json: bool) -> None:
    """One row as it comes: there are no widths to know beforehand."""
    if as_json:
        output.show([row], as_json=True)
    else:
        click.echo("  ".join(output.printable(value) for value in row.values()))
