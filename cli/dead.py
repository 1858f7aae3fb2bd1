"""`headrace dead`: what the stages gave up on; looked through, tried again, or dropped."""

import asyncio
import sys
from collections.abc import Sequence

import click

from cli import output
from cli.failures import FAILED
from cli.places import Reference
from cli.places import reference as reference_type
from schemas.stages import STAGES

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
    from cli.asking import dead as asking

    rows, there = asyncio.run(asking.ls(partition, stage, count))
    output.show(rows, as_json=as_json, empty="no dead letters")
    if len(rows) < there:
        output.say(f"{len(rows)} of {there}; more with -n")


@command.command
@click.argument("reference", type=reference_type)
@click.option("--bodies", is_flag=True, help="Show what people wrote.")
@output.json_option
def show(*, reference: Reference, bodies: bool, as_json: bool) -> None:
    """Show one dead letter: why it is here and what it was.

    Example:  headrace dead show 3/1795000000000-0
    """
    from cli.asking import dead as asking

    row = asyncio.run(asking.one(reference, bodies=bodies))
    if row is None:
        output.say(f"{reference} is not there")
        raise click.exceptions.Exit(FAILED)
    output.show_one(row, as_json=as_json)


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
    from cli.asking import dead as asking

    _selected(references, every=every)
    rows = asyncio.run(asking.each(asking.retry, references, partition, stage))
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
    from cli.asking import dead as asking

    _selected(references, every=every)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting needs --yes where nobody can be asked")
        click.confirm("Delete for good?", abort=True, err=True)
    rows = asyncio.run(asking.each(asking.drop, references, partition, stage))
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
