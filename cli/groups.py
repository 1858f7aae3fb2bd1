"""`headrace groups`: how far the stages are behind, and who works."""

import asyncio

import click

from cli import output
from schemas.stages import STAGES


@click.command
@output.partition_option
@click.option("--stage", type=click.Choice(list(STAGES)), help="Only this stage.")
@click.option(
    "--max-age", type=click.FloatRange(min=0), metavar="SECONDS", help="Fail if anything waits longer than this."
)
@output.json_option
def command(*, partition: int | None, stage: str | None, max_age: float | None, as_json: bool) -> None:
    """Show each stage of each partition: lag, pending entries, age of the oldest unacknowledged one, owner.

    A dash is “unknown”, never zero; an unknown age counts as too old. A stage that a deployment may leave out (webhooks) counts
    only if it is asked for with --stage. Example:  headrace groups --max-age 10 || alert
    """
    from cli.asking import groups as asking

    rows = asyncio.run(asking.rows(partition, stage))
    output.show(rows, as_json=as_json)
    if max_age is not None and (late := [row for row in rows if _counts(row, stage) and _late(row, max_age)]):
        output.say(f"{len(late)} of {len(rows)} wait longer than {max_age:g} s, or can not tell")
        raise click.exceptions.Exit(1)


def _counts(row: output.Row, asked_for: str | None) -> bool:
    return asked_for is not None or any(stage.required for stage in STAGES.values() if stage.name == row["stage"])


def _late(row: output.Row, max_age: float) -> bool:
    age_ms = row["age_ms"]
    return not isinstance(age_ms, int) or age_ms > max_age * 1000
