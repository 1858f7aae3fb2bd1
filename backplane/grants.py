"""Grants in Redis: who may watch and type in which conversation, as of a `rev` of their membership (hole C19).

A grant is a copy of what MongoDB says of a member. Three things keep it true: it is ordered by the member's `rev`, it counts under
its shard's era alone, and it dies after an hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from backplane.redis import Command, Redis, fcall
from schemas.ids import ConversationId, UserId

GRANT_SECONDS: Final = 3600
"""Longer than any read of the store takes: a removal must outlive those who have read what was before it."""
_CALLS_A_TRIP: Final = 250


class Pair(NamedTuple):
    """A person, and a conversation that they may watch or not."""

    user: UserId
    conversation_id: ConversationId


@dataclass(frozen=True, slots=True)
class Held:
    """What Redis holds: `allowed` is None if it holds nothing.

    What is read elsewhere meanwhile is written under `era`; where that is empty, nothing can be.
    """

    era: str
    allowed: bool | None


@dataclass(frozen=True, slots=True)
class Membership:
    """What became of a membership at a `rev`."""

    pair: Pair
    rev: int
    allowed: bool


class Grants:
    """Operations on grants. All raise `Transient`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def held(self, pairs: Sequence[Pair]) -> list[Held]:
        """What is noted of many, in pipelined calls."""
        found: list[Held] = []
        for start in range(0, len(pairs), _CALLS_A_TRIP):
            commands = [("MGET", *self._keys(pair)) for pair in pairs[start : start + _CALLS_A_TRIP]]
            found += [_held(grant, era) for grant, era in await self._redis.all(commands)]
        return found

    async def note(self, membership: Membership, era: str) -> bool | None:
        """Note what the store says; returns what counts now: something newer may. None: the era is another one, read again."""
        reply = await self._redis.call("grant", *self._ask(membership, era))
        return None if reply is None else reply == b"1"

    async def change(self, memberships: Sequence[Membership]) -> None:
        """Note what events say of memberships. Safe to repeat, in any order."""
        commands: list[Command] = [fcall("grant", *self._ask(membership, "")) for membership in memberships]
        for start in range(0, len(commands), _CALLS_A_TRIP):
            await self._redis.all(commands[start : start + _CALLS_A_TRIP])

    def _ask(self, membership: Membership, era: str) -> tuple[list[str], list[str | int]]:
        return self._keys(membership.pair), [membership.rev, int(membership.allowed), GRANT_SECONDS, era]

    def _keys(self, pair: Pair) -> list[str]:
        names = self._redis.names
        return [names.may(*pair), names.era(names.shard_tag(names.shard_of(pair.user)))]


def _held(grant: bytes | None, era: bytes | None) -> Held:
    of_era, _, rest = (grant or b"").partition(b" ")
    if era is None or of_era != era:
        return Held((era or b"").decode(), None)
    return Held(era.decode(), rest.endswith(b" 1"))
