"""The audit log: who did what to whom, appended and never changed."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pymongo import DESCENDING
from pymongo.errors import BulkWriteError
from uuid_utils import uuid7

from backplane.store.documents import Database, Document, from_document, to_document
from backplane.store.failures import reading, refused_indexes, writing
from schemas.ids import UserId
from schemas.names import AUDIT

PAGE: Final = 1000


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"entry_id": "_id"}):
    """One document of `audit`. `actor`: a user's id, or `operator:<name>`; no text that anybody wrote, and no secret."""

    entry_id: str
    at_ms: int
    event: str
    actor: str
    subject_id: UserId | None = None
    """Whom it is about."""
    detail: dict[str, Any] = {}


class Audit:
    """Operations on `audit`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._entries = database[AUDIT]

    async def append(
        self, event: str, *, actor: str, at_ms: int, subject_id: UserId | None = None, **detail: Any
    ) -> None:
        """Note what was done."""
        entry = AuditEntry(
            entry_id=str(uuid7()), at_ms=at_ms, event=event, actor=actor, subject_id=subject_id, detail=detail
        )
        with writing():
            await self._entries.insert_one(to_document(entry))

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Note what stages did, each under an id of its own; what is noted already stays as it is. Safe to repeat."""
        with writing():
            try:
                await self._entries.insert_many([to_document(entry) for entry in entries], ordered=False)
            except BulkWriteError as failure:
                refused_indexes(failure)

    async def about(self, subject_id: UserId, *, limit: int = PAGE) -> list[AuditEntry]:
        """What was done to a person, newest first, at most so much; 0: all."""
        which: Document = {"subject_id": subject_id}
        with reading():
            found = await self._entries.find(which).sort("at_ms", DESCENDING).limit(limit).to_list()
        return [from_document(document, AuditEntry) for document in found]
