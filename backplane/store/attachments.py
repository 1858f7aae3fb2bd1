"""Attachments: what became of each uploaded file, and to which message it belongs.

Every change raises `version` and is made only on the version that it was decided on. So a message binds a file together with the very
status that it will show, and whoever changes the status afterwards finds the message to tell (hole C12, docs/adr/0005).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from backplane.store.documents import Database, Document, chunks, find_in, find_range, from_document, to_document
from backplane.store.failures import reading, writing
from backplane.store.swaps import Swap, fields_of, swap
from schemas.attachments import REFUSED, Attachment, AttachmentStatus, Carried, Thumbnail
from schemas.ids import MAX_SAFE_INTEGER, AttachmentId, ConversationId, MessageId, UserId
from schemas.names import ATTACHMENTS

_TAKES_NO_ROOM: Final = sorted(REFUSED)
"""Of these the object is deleted. Named by what it is not: a document does not hold its first status, `uploading`."""
_STAYS: Final[Document] = {"gone_ms": {"$exists": False}}
"""Not withdrawn."""


class StoredAttachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"attachment_id": "_id"}):
    """One document of `attachments`; times in ms.

    Attributes:
        sha256: in hex, as its sender announced it; None if they did not.
        etag: which content was there when the upload was completed: that one is scanned, and no other.
        digest: the SHA-256 of what was scanned, in hex. With `signatures`, the scanner's version, and `scanned`, its verdict, it spares
            the same file another scan.
        loose_ms: since when no message holds it; None when one does.
        check_ms: since when it is to be seen whether its message shows what is known of it.
        gone_ms: when it was withdrawn: its objects are deleted. Once they are (`cleared`), when they are deleted again, and then this document.
        cleared: its objects were deleted once.
        attempts: scans begun and not known to have ended; see `Attachments.begin_scan`.
    """

    attachment_id: AttachmentId
    owner_id: UserId
    name: str
    content_type: str
    size: int
    sha256: str | None = None
    created_ms: int
    version: int = 0
    status: AttachmentStatus = "uploading"
    reason: str | None = None
    etag: str | None = None
    queued_ms: int = 0
    decided_ms: int = 0
    digest: str | None = None
    signatures: str | None = None
    scanned: str | None = None
    served_type: str | None = None
    width: int = 0
    height: int = 0
    thumbnail: Thumbnail | None = None
    thumbnail_type: str | None = None
    message_id: MessageId | None = None
    conversation_id: ConversationId | None = None
    loose_ms: int | None = None
    check_ms: int | None = None
    gone_ms: int | None = None
    cleared: bool = False
    attempts: int = 0

    @property
    def quarantine_key(self) -> str:
        """Where it comes in."""
        return f"{self.owner_id}/{self.attachment_id}"

    @property
    def clean_key(self) -> str:
        """Where it is served from."""
        return clean_key(self.attachment_id)

    @property
    def thumbnail_key(self) -> str:
        """Where its thumbnail is served from."""
        return thumbnail_key(self.attachment_id)


def clean_key(attachment_id: AttachmentId) -> str:
    """Where a file is served from."""
    return f"{attachment_id}/content"


def thumbnail_key(attachment_id: AttachmentId) -> str:
    """Where its thumbnail is served from."""
    return f"{attachment_id}/thumbnail"


def as_attachment(stored: StoredAttachment) -> Attachment:
    """What clients see of it."""
    return Attachment(
        attachment_id=stored.attachment_id,
        name=stored.name,
        content_type=stored.content_type,
        size=stored.size,
        status=stored.status,
        reason=stored.reason or UNSET,
        width=stored.width or UNSET,
        height=stored.height or UNSET,
        thumbnail=stored.thumbnail or UNSET,
    )


def carried(stored: StoredAttachment) -> Carried:
    """What its message holds of it."""
    return Carried(stored.version, as_attachment(stored))


class Attachments:
    """Operations on `attachments`. All raise `Transient`; writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._attachments = database[ATTACHMENTS]

    async def find(self, ids: Sequence[AttachmentId]) -> dict[AttachmentId, StoredAttachment]:
        """Those that exist, majority-committed."""
        found = await find_in(self._attachments, "_id", ids, StoredAttachment)
        return {one.attachment_id: one for one in found}

    async def get(self, attachment_id: AttachmentId) -> StoredAttachment | None:
        """One of them."""
        return (await self.find([attachment_id])).get(attachment_id)

    async def create(self, attachment: StoredAttachment) -> StoredAttachment:
        """Write unless it exists; returns what is stored. Safe to repeat."""
        with writing():
            try:
                await self._attachments.insert_one(to_document(attachment))
            except DuplicateKeyError:
                pass
            else:
                return attachment
        return await self.get(attachment.attachment_id) or attachment

    async def change(self, changes: Sequence[tuple[StoredAttachment, StoredAttachment]]) -> bool:
        """Compare and set, from → to; False if somebody else was in between. Safe to repeat."""
        return await swap(self._attachments, [_swap(before, after) for before, after in changes])

    async def begin_scan(self, attachment_id: AttachmentId) -> None:
        """Count a scan before it is made: one that kills the process counts too (hole B1)."""
        await self._count(attachment_id, 1)

    async def excuse_scan(self, attachment_id: AttachmentId) -> None:
        """Take a count back: the file was not at fault."""
        await self._count(attachment_id, -1)

    async def used_bytes(self, owner_ids: Iterable[UserId]) -> dict[UserId, int]:
        """How much room people's files take; who has none is left out."""
        used: dict[UserId, int] = {}
        for chunk in chunks(list(owner_ids)):
            of_these = {"$in": list(chunk)} if len(chunk) > 1 else chunk[0]
            matched: Document = {"owner_id": of_these, "status": {"$nin": _TAKES_NO_ROOM}, **_STAYS}
            summed: Document = {"_id": "$owner_id", "bytes": {"$sum": "$size"}}
            with reading():
                cursor = await self._attachments.aggregate([{"$match": matched}, {"$group": summed}])
                used |= {one["_id"]: int(one["bytes"]) for one in await cursor.to_list()}
        return used

    async def scanned_before(self, digest: str, signatures: str) -> str | None:
        """What the scanner said of this very content with these very signatures; None if it was not asked.

        Where it said both, because it was given more signatures than its version tells of, `infected:…` counts, which sorts behind `clean`.
        """
        same: Document = {"digest": digest, "signatures": signatures}
        with reading():
            found = await self._attachments.find(same).sort("scanned", DESCENDING).limit(1).to_list()
        return from_document(found[0], StoredAttachment).scanned if found else None

    async def of_owner(self, owner_id: UserId) -> list[StoredAttachment]:
        """All files of a person, oldest first."""
        found = await find_range(self._attachments, {"owner_id": owner_id}, "created_ms", low=-1, high=MAX_SAFE_INTEGER)
        return [from_document(document, StoredAttachment) for document in found]

    async def with_status(
        self, status: AttachmentStatus, *, after_ms: int = -1, before_ms: int = MAX_SAFE_INTEGER, limit: int
    ) -> list[StoredAttachment]:
        """Files not withdrawn that were queued for this status or in it after one moment, up to another; the first queued first."""
        equal: Document = {"status": status, **_STAYS}
        found = await find_range(self._attachments, equal, "queued_ms", low=after_ms, high=before_ms, limit=limit)
        return [from_document(document, StoredAttachment) for document in found]

    async def loose(self, before_ms: int, limit: int) -> list[StoredAttachment]:
        """Files that no message holds, since before a moment."""
        return await self._since("loose_ms", before_ms, limit)

    async def to_check(self, before_ms: int, limit: int) -> list[StoredAttachment]:
        """Files of which it is to be seen whether their message shows what is known of them, since before a moment."""
        return await self._since("check_ms", before_ms, limit)

    async def gone(self, before_ms: int, limit: int) -> list[StoredAttachment]:
        """Files that were withdrawn, and whose objects are to be deleted, or deleted again, since before a moment."""
        return await self._since("gone_ms", before_ms, limit)

    async def delete(self, ids: Sequence[AttachmentId]) -> None:
        """Forget files whose objects are deleted."""
        for attachment_id in ids:
            with writing():
                await self._attachments.delete_one({"_id": attachment_id, "gone_ms": {"$exists": True}})

    async def discard(self, attachment_id: AttachmentId) -> None:
        """Forget a file of which nothing was uploaded yet."""
        with writing():
            await self._attachments.delete_one({"_id": attachment_id, "status": {"$exists": False}})

    async def _since(self, field: str, before_ms: int, limit: int) -> list[StoredAttachment]:
        within: Document = {field: {"$gt": 0, "$lte": before_ms}}
        with reading():
            found = await self._attachments.find(within).sort(field, ASCENDING).limit(limit).to_list()
        return [from_document(document, StoredAttachment) for document in found]

    async def _count(self, attachment_id: AttachmentId, by: int) -> None:
        with writing():
            await self._attachments.update_one({"_id": attachment_id}, {"$inc": {"attempts": by}})


_CHANGEABLE: Final = tuple(
    field
    for field in StoredAttachment.__struct_fields__
    if field not in {"attachment_id", "owner_id", "name", "content_type", "size", "sha256", "created_ms", "attempts"}
)


def _swap(before: StoredAttachment, after: StoredAttachment) -> Swap:
    fields, absent = fields_of(after, _CHANGEABLE)
    return Swap(after.attachment_id, {}, "version", before.version, fields, absent)


def next_version(stored: StoredAttachment, **fields: object) -> StoredAttachment:
    """The file with these fields, as its next version."""
    return msgspec.structs.replace(stored, version=stored.version + 1, **fields)
