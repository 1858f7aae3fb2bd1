"""Who works on the streams, and what was given up: what an operator looks at first. How far behind they are, the metrics say."""

import asyncio
from typing import Final

import msgspec

from backplane.errors import Permanent, Transient
from backplane.leases import Leases
from backplane.redis import Redis
from schemas.stages import STAGES

LOOK_SECONDS: Final = 3.0


class StageReport(msgspec.Struct, frozen=True):
    """`owners`: how many partitions each worker has; `unowned`: how many nobody has."""

    owners: dict[str, int]
    unowned: int


class StreamsReport(msgspec.Struct, frozen=True):
    """The stages by name, and how many entries are dead letters, of all partitions."""

    stages: dict[str, StageReport]
    dead_entries: int


class StreamsHealth:
    """Asks Redis for the leases and the dead letters."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._leases = {name: Leases(redis, stage, "observer", lease_ms=1000) for name, stage in STAGES.items()}

    async def look(self) -> StreamsReport | None:
        """How things are; None where Redis does not say in time."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                owners = await asyncio.gather(*(leases.owners() for leases in self._leases.values()))
                dead = await self._dead_entries()
        except (Transient, Permanent, TimeoutError):
            return None
        stages = {
            name: _report(list(found.values()), self._partitions)
            for name, found in zip(self._leases, owners, strict=True)
        }
        return StreamsReport(stages, dead)

    @property
    def _partitions(self) -> int:
        return self._redis.names.partitions

    async def _dead_entries(self) -> int:
        names = self._redis.names
        return sum(await self._redis.all([("XLEN", names.dead(partition)) for partition in range(names.partitions)]))


def _report(owners: list[str], partitions: int) -> StageReport:
    many = {owner: owners.count(owner) for owner in sorted(set(owners))}
    return StageReport(many, partitions - len(owners))
