"""Sessions that ended before their access tokens did: one key for each user, with the life of a token (design §3).

MongoDB knows which sessions have ended; this is for gateways, which ask no database whether a token still counts. The key is read
at every connect, refresh and sweep, and with every REST call; the doorbell that rings beside it only makes it quick.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, NamedTuple, cast

from backplane import doorbells
from backplane.errors import Transient
from backplane.redis import Command, Redis
from schemas.ids import SessionId, UserId

Reason = Literal["session_revoked", "account_disabled"]
"""Rows of the error table, and of the close table."""

_ACCOUNT: Final = "*"
"""In the place of a session: all of them, also those that nobody has listed."""
_BELL: Final = b"ended"
_USERS_A_TRIP: Final = 250
_SKEW_SECONDS: Final = 60
"""Gateways' clocks differ: a token may live longer by the clock of whoever checks it."""


class Ended(NamedTuple):
    """What a doorbell says of sessions that have ended; None: every session of the account."""

    reason: Reason
    sessions: frozenset[SessionId] | None

    def includes(self, session_id: SessionId) -> bool:
        """Whether it is one of them."""
        return self.sessions is None or session_id in self.sessions


class Revocations:
    """Operations on revocations. All raise `Transient` when Redis is away.

    Args:
        token_seconds: the life of an access token.
    """

    def __init__(self, redis: Redis, *, token_seconds: int) -> None:
        self._redis, self._seconds = redis, token_seconds + _SKEW_SECONDS

    async def end(self, user_id: UserId, sessions: Collection[SessionId], reason: Reason = "session_revoked") -> None:
        """Let these sessions count no more, and close their sockets. Safe to repeat."""
        if sessions:
            await self._end(user_id, list(sessions), reason)

    async def disable(self, user_id: UserId) -> None:
        """Let no token of the account count, and close all its sockets, until it is enabled. Safe to repeat."""
        await self._end(user_id, [_ACCOUNT], "account_disabled")

    async def enable(self, user_id: UserId) -> None:
        """Let the account's tokens count again, but for those of sessions that have ended."""
        await self._redis.command("HDEL", self._key(user_id), _ACCOUNT)

    def ask(self, user_id: UserId, session_id: SessionId) -> Command:
        """The command whose reply `read` understands: for a pipeline that asks other things, too."""
        return ("HMGET", self._key(user_id), session_id, _ACCOUNT)

    @staticmethod
    def read(reply: Sequence[bytes | None]) -> Reason | None:
        """Why a session counts no more; None: it does."""
        found = next((one for one in reversed(reply) if one is not None), None)  # the account's end says more
        return None if found is None else cast("Reason", found.decode())

    async def reason(self, user_id: UserId, session_id: SessionId) -> Reason | None:
        """Why a session counts no more; None: it does."""
        return self.read(await self._redis.command(*self.ask(user_id, session_id)))

    async def of(self, users: Sequence[UserId]) -> list[Mapping[SessionId, Reason]]:
        """What has ended of many users, in pipelined calls; `ended_in` tells what that means for one session."""
        found: list[Mapping[SessionId, Reason]] = []
        for start in range(0, len(users), _USERS_A_TRIP):
            commands: list[Command] = [("HGETALL", self._key(user)) for user in users[start : start + _USERS_A_TRIP]]
            for words in await self._redis.all(commands):
                texts = [word.decode() for word in words]
                found.append(
                    {SessionId(one): cast("Reason", why) for one, why in zip(texts[::2], texts[1::2], strict=True)}
                )
        return found

    async def _end(self, user_id: UserId, sessions: Sequence[str], reason: Reason) -> None:
        fields = [word for session in sessions for word in (session, reason)]
        # The key before the bell: who hears of it and looks must find it.
        await self._redis.all([("HSET", self._key(user_id), *fields), ("EXPIRE", self._key(user_id), self._seconds)])
        with contextlib.suppress(Transient):  # the sweep finds it without
            payload = b" ".join([_BELL, reason.encode(), *(session.encode() for session in sessions)])
            await doorbells.ring(self._redis, self._redis.names.log(user_id), payload)

    def _key(self, user_id: UserId) -> str:
        return self._redis.names.ended(user_id)


def ended_in(ended: Mapping[SessionId, Reason], session_id: SessionId) -> Reason | None:
    """Why a session counts no more, by what `Revocations.of` found; None: it does."""
    return ended.get(SessionId(_ACCOUNT)) or ended.get(session_id)


def parse_ended(payload: bytes) -> Ended | None:
    """Read what a doorbell says of sessions that have ended; None: it says something else."""
    match payload.split(b" "):
        case [word, (b"session_revoked" | b"account_disabled") as reason, *sessions] if word == _BELL:
            ended = frozenset(SessionId(one.decode()) for one in sessions)
            return Ended(cast("Reason", reason.decode()), None if _ACCOUNT in ended else ended)
        case _:
            return None
