"""Who owns a partition for a stage, and how many workers share them (design §3, “One owner per partition and stage”).

The lease is for efficiency; safety rests on tokens and unique indexes. A token is a random value, new at each acquisition,
kept without expiry: functions compare for equality (hole A11).
"""

import secrets

from backplane.redis import Redis
from schemas.stages import Stage


class Leases:
    """The leases of one worker for one stage."""

    def __init__(self, redis: Redis, stage: Stage, worker_id: str, *, lease_ms: int) -> None:
        self._redis, self._stage, self._worker_id, self._lease_ms = redis, stage, worker_id, lease_ms

    async def acquire(self, partition: int) -> str | None:
        """Take the lease if it is free or ours already, with a new token; None if somebody else holds it."""
        token = secrets.token_hex(16)
        args = [self._worker_id, token, self._lease_ms]
        return token if await self._redis.call("acquire", self._keys(partition), args) else None

    async def renew(self, partition: int, token: str) -> bool:
        """Prolong; False if it is no longer ours with this token."""
        args = [self._worker_id, token, self._lease_ms]
        return bool(await self._redis.call("prolong", self._keys(partition), args))

    async def release(self, partition: int, token: str) -> None:
        """Give back at once, if still ours."""
        await self._redis.call("release", self._keys(partition), [token])

    async def owners(self) -> dict[int, str]:
        """The worker id that holds each leased partition."""
        names = self._redis.names
        leases = [("GET", names.lease(partition, self._stage.name)) for partition in range(names.partitions)]
        owners = await self._redis.all(leases)
        return {partition: owner.decode() for partition, owner in enumerate(owners) if owner is not None}

    async def heartbeat(self) -> int:
        """Register this worker for one lease life; returns how many workers of the stage live, this one included."""
        workers = self._redis.names.workers(self._stage.name)
        return await self._redis.call("heartbeat", [workers], [self._worker_id, self._lease_ms])

    async def retire(self) -> None:
        """Leave the registry, so that the others take over without waiting."""
        await self._redis.command("ZREM", self._redis.names.workers(self._stage.name), self._worker_id)

    def _keys(self, partition: int) -> list[str]:
        names, stage = self._redis.names, self._stage.name
        return [names.lease(partition, stage), names.token(partition, stage)]
