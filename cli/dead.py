"""`headrace dead`: what the stages gave up on; looked through, tried again, or dropped."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

import click

from backplane import history
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output, systems
from cli.entries import original, source_of, stage_of, summary
from cli.failures import FAILED
from cli.places import Reference
from cli.places import reference as reference_type
from schemas.stages import STAGES

Work = Callable[[Redis, Reference], Awaitable[dict[str, object]]]

_references = click.argument("references", type=reference_type, nargs=-1, metavar="[PARTITION/ID]...")
_all = click.option("--all", "every", is_flag=True, help="All of them; with --stage and --partition, all of those.")
_stage = click.option("--stage", type=click.Choice(list(STAGES)), help="Only those that this stage gave up on.")


@click.group
def command() -> None:
    """Look through dead letters, try them again or drop them."""


@command.command
@output.partition_option
@_stage
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="So many of the newest.")
@output.json_option
def ls(*, partition: int | None, stage: str | None, count: int, as_json: bool) -> None:
    """List dead letters, newest first.

    Example:  headrace dead ls --stage persist
    """
    found = asyncio.run(_ls(partition, stage))
    newest = sorted(found, key=lambda one: one[1].id, reverse=True)[:count]
    output.show([summary("dead", at, entry) for at, entry in newest], as_json=as_json, empty="no dead letters")
    if len(newest) < len(found):
        output.say(f"{len(newest)} of {len(found)}; more with -n")


@command.command
@click.argument("reference", type=reference_type)
@click.option("--bodies", is_flag=True, help="Show what people wrote.")
@output.json_option
def show(*, reference: Reference, bodies: bool, as_json: bool) -> None:
    """Show one dead letter: why it is here and what it was.

    Example:  headrace dead show 3/1795000000000-0
    """
    entry = asyncio.run(_one(reference))
    if entry is None:
        output.say(f"{reference} is not there")
        raise click.exceptions.Exit(FAILED)
    output.show_one(summary("dead", reference.partition, entry, bodies=bodies), as_json=as_json)


@command.command
@_references
@_all
@output.partition_option
@_stage
@output.json_option
def retry(
    *, references: tuple[Reference, ...], every: bool, partition: int | None, stage: str | None, as_json: bool
) -> None:
    """Send dead letters through their stage once more, as the same intents: what was done already is not done again.

    A client that was told of a rejection learns of the message after all. Example:  headrace dead retry --all --stage persist
    """
    _selected(references, every=every)
    rows = asyncio.run(_each(_retry, references, partition, stage))
    _report(rows, "sent again", as_json=as_json)


@command.command
@_references
@_all
@output.partition_option
@_stage
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
def drop(
    *,
    references: tuple[Reference, ...],
    every: bool,
    partition: int | None,
    stage: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete dead letters for good.

    Example:  headrace dead drop 3/1795000000000-0
    """
    _selected(references, every=every)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting needs --yes where nobody can be asked")
        click.confirm("Delete for good?", abort=True, err=True)
    rows = asyncio.run(_each(_drop, references, partition, stage))
    _report(rows, "dropped", as_json=as_json)


def _selected(references: Sequence[Reference], *, every: bool) -> None:
    if bool(references) == every:
        raise click.UsageError("name entries as PARTITION/ID, or say --all")


def _report(rows: Sequence[output.Row], done: str, *, as_json: bool) -> None:
    output.show(rows, as_json=as_json, empty="no dead letters")
    missed = sum(row["outcome"] != done for row in rows)
    if missed:
        output.say(f"{missed} of {len(rows)} not {done}")
        raise click.exceptions.Exit(FAILED)


async def _ls(partition: int | None, stage: str | None) -> list[tuple[int, Entry]]:
    async with systems.the_redis() as redis:
        return [
            (at, entry) for at in systems.partitions(redis, partition) for entry in await _dead_of(redis, at, stage)
        ]


async def _dead_of(redis: Redis, partition: int, stage: str | None) -> list[Entry]:
    key = redis.names.dead(partition)
    pages = history.pages(redis, key, history.FIRST, history.LAST)
    return [entry async for page in pages for entry in page if stage in {None, stage_of(entry)}]


async def _one(reference: Reference) -> Entry | None:
    async with systems.the_redis() as redis:
        systems.partitions(redis, reference.partition)
        return await history.one(redis, redis.names.dead(reference.partition), reference.entry_id)


async def _each(
    work: Work, references: Sequence[Reference], partition: int | None, stage: str | None
) -> list[output.Row]:
    async with systems.the_redis() as redis:
        if not references:
            references = [
                Reference(at, entry.id)
                for at in systems.partitions(redis, partition)
                for entry in await _dead_of(redis, at, stage)
            ]
        return [{"entry": str(reference), **await work(redis, reference)} for reference in references]


async def _retry(redis: Redis, reference: Reference) -> dict[str, object]:
    """Append first, delete then: killed in between it is sent twice, and the stages know it by its `intent_id`."""
    key = redis.names.dead(reference.partition)
    entry = await history.one(redis, key, reference.entry_id)
    if entry is None:
        return {"outcome": "not there"}
    source = source_of(entry)
    if source is None:
        return {"outcome": f"this version has no stage {stage_of(entry)!r}"}
    target = history.key_of(redis.names, source, reference.partition)
    [new] = await history.append_again(redis, target, [original(entry)])
    await history.remove(redis, key, reference.entry_id)
    return {"outcome": "sent again", "as": f"{source} {new}"}


async def _drop(redis: Redis, reference: Reference) -> dict[str, object]:
    key = redis.names.dead(reference.partition)
    gone = await history.remove(redis, key, reference.entry_id)
    return {"outcome": "dropped" if gone else "not there"}
