"""Sessions: one refresh-token family each. Tokens are opaque; only their SHA-256 is kept (RFC 9700, 4.14).

A token that was spent stays known to its session, not only the last one: a thief who rotates a stolen token twice would else
make the owner's own token merely unknown, and keep the family.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace
from pymongo import ASCENDING

from backplane.errors import Transient
from backplane.store.documents import Database, Document, from_document, to_document
from backplane.store.failures import reading, writing
from schemas.ids import SessionId, UserId
from schemas.names import SESSIONS

SPENT_KEPT: Final = 1000
"""Spent tokens that a session remembers: ten days of one every quarter of an hour."""

_ATTEMPTS: Final = 5
_NOT_SPENT: Final = {"spent": 0}

Rotation = Literal["rotated", "reused", "expired", "revoked", "unknown"]


class StoredSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"session_id": "_id"}):
    """One document of `sessions`; times in ms. Beside these fields it holds `spent`, the hashes of tokens used before."""

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
    """Operations on `sessions`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._sessions = database[SESSIONS]

    async def create(self, session: StoredSession) -> None:
        """Store a new session."""
        with writing():
            await self._sessions.insert_one(to_document(session))

    async def rotate(
        self, token_hash: str, new_hash: str, *, now_ms: int, idle_expires_ms: int
    ) -> tuple[Rotation, StoredSession | None]:
        """Swap a token for its successor, once: of two at the same time exactly one is `rotated`. `reused` revokes the family."""
        for _ in range(_ATTEMPTS):
            session = await self._one({"token_hash": token_hash})
            if session is None:
                return await self._without_current(token_hash, now_ms)
            if session.revoked_ms is not None:
                return "revoked", session
            if now_ms >= min(session.expires_ms, session.idle_expires_ms):
                return "expired", session
            rotated = replace(
                session,
                token_hash=new_hash,
                previous_hash=token_hash,
                rotated_ms=now_ms,
                idle_expires_ms=idle_expires_ms,
            )
            if await self._swap(rotated, token_hash):
                return "rotated", rotated
        raise Transient("the session changes faster than it can be read")  # e.g. the majority lags behind the primary

    async def revoke(self, session_id: SessionId, *, now_ms: int) -> None:
        """End one session; one that has ended keeps its time."""
        with writing():
            await self._sessions.update_one({"_id": session_id, "revoked_ms": None}, {"$set": {"revoked_ms": now_ms}})

    async def revoke_all(self, user_id: UserId, *, now_ms: int) -> list[SessionId]:
        """End all sessions of a person; returns those that were open."""
        opened = {"user_id": user_id, "revoked_ms": None}
        with reading():
            found = await self._sessions.find(opened, {"_id": 1}).to_list()
        with writing():
            await self._sessions.update_many(opened, {"$set": {"revoked_ms": now_ms}})
        return [SessionId(document["_id"]) for document in found]

    async def of_user(self, user_id: UserId) -> list[StoredSession]:
        """A person's sessions, ended ones too."""
        with reading():
            found = await self._sessions.find({"user_id": user_id}, _NOT_SPENT).sort("created_ms", ASCENDING).to_list()
        return [from_document(document, StoredSession) for document in found]

    async def delete_all(self, user_id: UserId) -> None:
        """Forget all sessions of a person, and what device each was."""
        with writing():
            await self._sessions.delete_many({"user_id": user_id})

    async def get(self, session_id: SessionId) -> StoredSession | None:
        """One session."""
        return await self._one({"_id": session_id})

    async def _one(self, which: Document) -> StoredSession | None:
        with reading():
            document = await self._sessions.find_one(which, _NOT_SPENT)
        return from_document(document, StoredSession) if document else None

    async def _without_current(self, token_hash: str, now_ms: int) -> tuple[Rotation, StoredSession | None]:
        session = await self._one({"spent": token_hash})
        if session is None:
            return "unknown", None
        if session.revoked_ms is not None:
            return "revoked", session
        await self.revoke(session.session_id, now_ms=now_ms)
        return "reused", replace(session, revoked_ms=now_ms)

    async def _swap(self, rotated: StoredSession, old_hash: str) -> bool:
        """Replace the token if it is still the current one. Two that try are ordered by MongoDB, on the one document."""
        unchanged = {"_id": rotated.session_id, "token_hash": old_hash, "revoked_ms": None}
        change = {
            "token_hash": rotated.token_hash,
            "previous_hash": old_hash,
            "rotated_ms": rotated.rotated_ms,
            "idle_expires_ms": rotated.idle_expires_ms,
        }
        spent = {"spent": {"$each": [old_hash], "$slice": -SPENT_KEPT}}
        with writing():
            result = await self._sessions.update_one(unchanged, {"$set": change, "$push": spent})
        return result.matched_count == 1
