"""Sessions: one refresh-token family each. Tokens are opaque; only their SHA-256 is kept (RFC 9700, 4.14).

A token that was spent stays known to its session, not only the last one: a thief who rotates a stolen token twice would else
make the owner's own token merely unknown, and keep the family.

Who spends a token twice within `GRACE_MS` has lost the first answer, or has two windows. Both get the same successor: it is made from the
token and a salt, and of these the database holds the salt alone.
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

RECENT_MS: Final = 2 * 3600 * 1000
"""Longer than any access token lives."""

GRACE_MS: Final = 10_000
"""How long a token that was just spent may come again (protocol, section 2)."""

_ATTEMPTS: Final = 5
_NOT_SPENT: Final = {"spent": 0}

Rotation = Literal["rotated", "repeated", "reused", "expired", "revoked", "unknown"]


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
    salt: str | None = None
    """What `token_hash`'s token was made with, and the token before it."""
    revoked_ms: int | None = None
    device: str | None = None
    address: str | None = None
    """Where it was last seen, at `rotated_ms`."""


class Sessions:
    """Operations on `sessions`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._sessions = database[SESSIONS]

    async def create(self, session: StoredSession) -> None:
        """Store a new session."""
        with writing():
            await self._sessions.insert_one(to_document(session))

    async def rotate(
        self,
        token_hash: str,
        new_hash: str,
        *,
        salt: str,
        now_ms: int,
        idle_expires_ms: int,
        address: str | None = None,
    ) -> tuple[Rotation, StoredSession | None]:
        """Swap a token for its successor, once: of many at the same time one is `rotated`.

        The others are `repeated`: the session's salt tells them the same successor. Later it is `reused`, which revokes the family.
        """
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
                salt=salt,
                rotated_ms=now_ms,
                idle_expires_ms=idle_expires_ms,
                address=address or session.address,
            )
            if await self._swap(rotated, token_hash):
                return "rotated", rotated
        raise Transient("the session changes faster than it can be read")  # e.g. the majority lags behind the primary

    async def revoke(self, session_id: SessionId, *, now_ms: int) -> None:
        """End one session; one that has ended keeps its time."""
        with writing():
            await self._sessions.update_one({"_id": session_id, "revoked_ms": None}, {"$set": {"revoked_ms": now_ms}})

    async def revoke_all(self, user_id: UserId, *, now_ms: int, but: SessionId | None = None) -> list[SessionId]:
        """End all sessions of a person, or all but one; returns those that ended lately, so that to repeat it tells the same."""
        with reading():
            found = await self._sessions.find({"user_id": user_id}, {"revoked_ms": 1}).to_list()
        ended = {SessionId(one["_id"]): one.get("revoked_ms") or now_ms for one in found if one["_id"] != but}
        for session_id, revoked_ms in ended.items():
            if revoked_ms == now_ms:
                await self.revoke(session_id, now_ms=now_ms)
        return [session_id for session_id, revoked_ms in ended.items() if revoked_ms > now_ms - RECENT_MS]

    async def of_user(self, user_id: UserId) -> list[StoredSession]:
        """A person's sessions, ended ones too."""
        with reading():
            found = await self._sessions.find({"user_id": user_id}, _NOT_SPENT).sort("created_ms", ASCENDING).to_list()
        return [from_document(document, StoredSession) for document in found]

    async def addresses(self, user_id: UserId) -> set[str]:
        """Where a person's sessions were seen last, also those that have ended."""
        with reading():
            found = await self._sessions.find({"user_id": user_id}, {"address": 1}).to_list()
        return {document["address"] for document in found if document.get("address")}

    async def forget_old(self, user_id: UserId, *, now_ms: int) -> None:
        """Delete the sessions of a person that nothing can be done with any more."""
        with writing():
            await self._sessions.delete_many({"user_id": user_id, "expires_ms": {"$gt": 0, "$lte": now_ms - RECENT_MS}})

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
        if session.previous_hash == token_hash and now_ms - session.rotated_ms <= GRACE_MS:
            return "repeated", session
        await self.revoke(session.session_id, now_ms=now_ms)
        return "reused", replace(session, revoked_ms=now_ms)

    async def _swap(self, rotated: StoredSession, old_hash: str) -> bool:
        """Replace the token if it is still the current one. Two that try are ordered by MongoDB, on the one document."""
        unchanged = {"_id": rotated.session_id, "token_hash": old_hash, "revoked_ms": None}
        change = {
            "token_hash": rotated.token_hash,
            "previous_hash": old_hash,
            "salt": rotated.salt,
            "rotated_ms": rotated.rotated_ms,
            "idle_expires_ms": rotated.idle_expires_ms,
            "address": rotated.address,
        }
        spent = {"spent": {"$each": [old_hash], "$slice": -SPENT_KEPT}}
        with writing():
            result = await self._sessions.update_one(unchanged, {"$set": change, "$push": spent})
        return result.matched_count == 1
