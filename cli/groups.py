"""`headrace groups`: how far the stages are behind, and who works."""

import asyncio

import click

from backplane import streams
from backplane.leases import Leases
from cli import output, systems
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

    A dash is “unknown”, never zero; an unknown age counts as too old. Example:  headrace groups --max-age 10 || alert
    """
    rows = asyncio.run(_rows(partition, stage))
    output.show(rows, as_json=as_json)
    if max_age is not None and (late := [row for row in rows if _late(row, max_age)]):
        output.say(f"{len(late)} of {len(rows)} wait longer than {max_age:g} s, or can not tell")
        raise click.exceptions.Exit(1)


def _late(row: output.Row, max_age: float) -> bool:
    age_ms = row["age_ms"]
    return not isinstance(age_ms, int) or age_ms > max_age * 1000


async def _rows(partition: int | None, stage: str | None) -> list[output.Row]:
    async with systems.the_redis() as redis:
        wanted = set(systems.partitions(redis, partition))
        owners = {name: await Leases(redis, row, "", lease_ms=1).owners() for name, row in STAGES.items()}
        return [
            {
                "stage": lag.stage,
                "partition": lag.partition,
                "lag": lag.lag,
                "pending": lag.pending,
                "age_ms": lag.oldest_ms,
                "owner": owners[lag.stage].get(lag.partition),
            }
            for lag in await streams.lags(redis)
            if lag.partition in wanted and stage in {None, lag.stage}
        ]
