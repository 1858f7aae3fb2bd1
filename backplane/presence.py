"""Who is there: what each connection of a user says, merged in one call, and told to the user's channel when it changes.

Nothing here is a promise: what is lost runs out, or is said again by the sweep. Times are of the server's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, cast

from backplane.redis import Command, Redis, Word, fcall
from schemas.ids import UserId

Status = Literal["online", "away", "busy", "invisible"]
"""What a connection says of its user."""
Shown = Literal["online", "away", "busy", "offline"]
"""What others see."""

KEPT_SECONDS: Final = 30 * 86400
"""How long it is remembered when somebody was last there."""
_CALLS_A_TRIP: Final = 100
_NOBODY: Final = "-"


class Presence(NamedTuple):
    """What others see of a user, and when the user was last active; a higher `version` is newer."""

    version: int
    status: Shown
    active_ms: int | None


class Change(NamedTuple):
    """One thing that happened to a connection; `text` is its instance, its status, or both (see `presence.lua`)."""

    what: Literal["up", "set", "keep", "down"]
    connection_id: str
    text: str = _NOBODY

    @classmethod
    def up(cls, connection_id: str, instance: str | None) -> "Change":
        """It came; `instance` names the running copy of a client that it belongs to, if that says so."""
        return cls("up", connection_id, instance or _NOBODY)

    @classmethod
    def keep(cls, connection_id: str, status: Status, instance: str | None) -> "Change":
        """It still lives."""
        return cls("keep", connection_id, f"{status} {instance or _NOBODY}")


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to one user's connections, in order; without any, what is there is only read."""

    user: UserId
    changes: Sequence[Change] = ()
    active_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What others see now, and what each changed connection says of itself; None of one that is gone."""

    presence: Presence
    own: Sequence[Status | None]


class Presences:
    """Operations on presence. All raise `Transient`; all are safe to repeat.

    Args:
        life_ms: how long a connection lives that is not said to.
        grace_ms: how long a user is still there whose last connection has ended.
    """

    def __init__(self, redis: Redis, *, life_ms: int, grace_ms: int) -> None:
        self._redis, self._life_ms, self._grace_ms = redis, life_ms, grace_ms

    async def apply(self, changes: Sequence[Changes]) -> list[Outcome]:
        """Note changes of many users, in pipelined calls, one outcome each."""
        outcomes: list[Outcome] = []
        for start in range(0, len(changes), _CALLS_A_TRIP):
            commands = [self._ask(one) for one in changes[start : start + _CALLS_A_TRIP]]
            outcomes += [_outcome(reply) for reply in await self._redis.all(commands)]
        return outcomes

    async def read(self, users: Sequence[UserId]) -> list[Presence]:
        """What others see of many users."""
        return [outcome.presence for outcome in await self.apply([Changes(user) for user in users])]

    def _ask(self, one: Changes) -> Command:
        active: Word = "" if one.active_ms is None else one.active_ms
        args: list[Word] = [KEPT_SECONDS, self._life_ms, self._grace_ms, active]
        for change in one.changes:
            args += change
        return fcall("presence", [self._redis.names.presence(one.user)], args)


def parse_presence(payload: bytes) -> Presence | None:
    """Read what is told to a user's channel: `<version> <status> <last active in ms or nothing>`; None: something else."""
    match payload.split(b" "):
        case [version, status, active] if version.isdigit():
            return _presence(version, status, active)
        case _:
            return None


def _outcome(reply: Any) -> Outcome:
    return Outcome(_presence(*reply[:3]), [cast("Status", own.decode()) if own else None for own in reply[3:]])


def _presence(version: bytes, status: bytes, active: bytes) -> Presence:
    return Presence(int(version), cast("Shown", status.decode()), int(active) if active else None)
