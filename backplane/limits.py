"""Rate limits in Redis: one call takes from all buckets of a subject, on Redis' clock (GCRA)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from backplane.redis import Command, Redis, fcall
from schemas.limits import Policy


class Wish(NamedTuple):
    """So much of a policy for a subject: at least `needed`, up to `wanted` if there is more. The key is `Names.limit_…`'s."""

    key: str
    policy: Policy
    needed: int
    wanted: int


class Grant(NamedTuple):
    """What became of a wish: `granted` is 0 if it, or one that was asked with it, was refused.

    `wait_ms` is 0 unless this one refused; `full_ms`: until nothing is missing from the bucket.
    """

    granted: int
    left: int
    full_ms: int
    wait_ms: int


class Buckets:
    """Operations on rate limits. Raises `Transient` when Redis is away; what was asked may have been taken then."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, wishes: Sequence[Wish]) -> list[Grant]:
        """Take from buckets of one tag: all or none of it."""
        return read_grants((await self._redis.all([ask(wishes)], append=True))[0])

    async def take_with(self, wishes: Sequence[Wish], beside: Command) -> tuple[list[Grant], Any]:
        """The same, and in the same round trip the reply of another command."""
        taken, reply = await self._redis.all([ask(wishes), beside], append=True)
        return read_grants(taken), reply


def ask(wishes: Sequence[Wish]) -> Command:
    """The command for wishes of one tag."""
    args = [word for one in wishes for word in (one.policy.interval_us, one.policy.burst, one.needed, one.wanted)]
    return fcall("take", [one.key for one in wishes], args)


def read_grants(reply: Sequence[Sequence[int]]) -> list[Grant]:
    """The command's reply."""
    return [Grant(*one) for one in reply]
