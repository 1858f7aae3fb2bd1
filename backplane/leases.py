"""Who owns a partition for a stage, and how many workers share them (design §3, “One owner per partition and stage”).

The lease is for efficiency; safety rests on tokens and unique indexes. A token is a random value, new at each acquisition,
kept without expiry: functions compare for equality (hole A11).
"""

from backplane.redis import Redis
from schemas.stages import Stage


class Leases:
    """The leases of one worker for one stage."""

    def __init__(self, redis: Redis, stage: Stage, worker_id: str, *, lease_ms: int) -> None:
        raise NotImplementedError

    async def acquire(self, partition: int) -> str | None:
        """Take the lease if it is free or ours already, with a new token; None if somebody else holds it."""
        raise NotImplementedError

    async def renew(self, partition: int, token: str) -> bool:
        """Prolong; False if it is no longer ours with this token."""
        raise NotImplementedError

    async def release(self, partition: int, token: str) -> None:
        """Give back at once, if still ours."""
        raise NotImplementedError

    async def owners(self) -> dict[int, str]:
        """The worker id that holds each leased partition."""
        raise NotImplementedError

    async def heartbeat(self) -> int:
        """Register this worker for one lease life; returns how many workers of the stage live, this one included."""
        raise NotImplementedError

    async def retire(self) -> None:
        """Leave the registry, so that the others take over without waiting."""
        raise NotImplementedError
