"""What `headrace groups` asks."""

from backplane import streams
from backplane.leases import Leases
from cli import output
from cli.asking import systems
from schemas.stages import STAGES


async def rows(partition: int | None, stage: str | None) -> list[output.Row]:
    """A row for each stage of each partition that is asked for."""
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
