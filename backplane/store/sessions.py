"""Sessions: one refresh-token family each. Tokens are opaque; only their SHA-256 is kept (RFC 9700, 4.14)."""

from typing import Any, Literal

import msgspec

from schemas.ids import SessionId, UserId


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """One document of `sessions`; times in ms."""

    session_id: SessionId
    user_id: UserId
    token_hash: str
    created_ms: int
    expires_ms: int
    idle_expires_ms: int
    rotated_ms: int
    previous_hash: str | None = None
    revoked_ms: int | None = None
    device: str | None = None


class Sessions:
    """Operations on `sessions`."""

    def __init__(self, database: Any) -> None:
        raise NotImplementedError

    async def create(self, session: StoredSession) -> None:
        """Store a new session."""
        raise NotImplementedError

    async def rotate(
        self, token_hash: str, new_hash: str, *, now_ms: int, idle_expires_ms: int
    ) -> tuple[Literal["rotated", "reused", "expired", "revoked", "unknown"], StoredSession | None]:
        """Swap a token for its successor, once: of two at the same time exactly one is `rotated`. `reused` revokes the family."""
        raise NotImplementedError

    async def revoke(self, session_id: SessionId, *, now_ms: int) -> None:
        """End one session."""
        raise NotImplementedError

    async def revoke_all(self, user_id: UserId, *, now_ms: int) -> list[SessionId]:
        """End all sessions of a person; returns those that were open."""
        raise NotImplementedError

    async def get(self, session_id: SessionId) -> StoredSession | None:
        """One session."""
        raise NotImplementedError
