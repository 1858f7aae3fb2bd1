"""Webhooks: who wants which events, where, and how sending them goes.

One more document, `changed`, holds a token that is another one whenever what is enabled has changed: whoever keeps all of them in memory
compares one small document a batch, and misses none that was made before the batch's events.
"""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo import ASCENDING

from backplane.store.documents import Database, Document, from_document, to_document
from backplane.store.failures import reading, writing
from schemas.events import EventName
from schemas.ids import ConversationId, UserId
from schemas.names import WEBHOOKS

CHANGED: Final = "changed"
_HEALTHY: Final = {"failing_since_ms": "", "failures": "", "last_error": "", "disabled_reason": ""}


class StoredWebhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"webhook_id": "_id"}):
    """One document of `webhooks`. `secret` is kept readable: signing needs it. Times in ms."""

    webhook_id: str
    owner_id: UserId
    url: str
    secret: str
    created_ms: int
    active_ms: int
    """Since when it is enabled: events from before that are not for it."""
    conversation_id: ConversationId | None = None
    events: tuple[EventName, ...] = ()
    enabled: bool = False
    failing_since_ms: int | None = None
    """The first failure since the last success."""
    failures: int = 0
    """Attempts that failed in a row."""
    dropped: int = 0
    """Deliveries that were given up, or never begun because too many waited."""
    last_error: str | None = None
    disabled_reason: str | None = None


class Webhooks:
    """Operations on `webhooks`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._webhooks = database[WEBHOOKS]

    async def create(self, webhook: StoredWebhook) -> None:
        """Store a new one."""
        with writing():
            await self._webhooks.insert_one(to_document(webhook))
        await self._announce()

    async def get(self, webhook_id: str) -> StoredWebhook | None:
        """One webhook."""
        with reading():
            document = await self._webhooks.find_one({"_id": webhook_id})
        return from_document(document, StoredWebhook) if document else None

    async def of_owner(self, owner_id: UserId) -> list[StoredWebhook]:
        """Those of a person or bot, oldest first."""
        return await self._find({"owner_id": owner_id})

    async def every(self) -> list[StoredWebhook]:
        """All there are, oldest first."""
        return await self._find({"created_ms": {"$gte": 0, "$lt": 2**53}})

    async def enabled(self) -> list[StoredWebhook]:
        """All that get events."""
        return await self._find({"enabled": True})

    async def changed(self) -> str:
        """A token that is another one once what is enabled has changed."""
        with reading():
            document = await self._webhooks.find_one({"_id": CHANGED})
        return str(document["token"]) if document else ""

    async def delete(self, webhook_id: str) -> None:
        """Forget one."""
        with writing():
            await self._webhooks.delete_one({"_id": webhook_id})
        await self._announce()

    async def enable(self, webhook_id: str, *, now_ms: int) -> None:
        """Let it get events from now on, with a clean record; one that is enabled already keeps its place."""
        fresh: Document = {"$set": {"enabled": True, "active_ms": now_ms}, "$unset": _HEALTHY}
        with writing():
            await self._webhooks.update_one({"_id": webhook_id, "enabled": {"$ne": True}}, fresh)
        await self._announce()

    async def disable(self, webhook_id: str, reason: str, *, unless_since: StoredWebhook | None = None) -> bool:
        """Let it get nothing more; False if it was disabled already, for the reason that it has.

        `unless_since`: as it was read before it failed once more; if something has got through since then, it stays enabled.
        """
        which: Document = {"_id": webhook_id, "enabled": True}
        if unless_since is not None and unless_since.failing_since_ms is not None:
            which["failing_since_ms"] = unless_since.failing_since_ms
        change: Document = {"$set": {"disabled_reason": reason}, "$unset": {"enabled": ""}}
        with writing():
            result = await self._webhooks.update_one(which, change)
        await self._announce()
        return result.matched_count == 1

    async def failed(self, webhook_id: str, error: str, *, now_ms: int) -> None:
        """Note one failed attempt. Repeated after an unknown outcome it counts twice, which does no harm."""
        with writing():
            await self._webhooks.update_one(
                {"_id": webhook_id}, {"$set": {"last_error": error[:300]}, "$inc": {"failures": 1}}
            )
            await self._webhooks.update_one(
                {"_id": webhook_id, "failing_since_ms": None}, {"$set": {"failing_since_ms": now_ms}}
            )

    async def succeeded(self, webhook_id: str) -> None:
        """Note that deliveries get through: what failed before is forgotten."""
        with writing():
            await self._webhooks.update_one(
                {"_id": webhook_id}, {"$unset": {"failing_since_ms": "", "failures": "", "last_error": ""}}
            )

    async def lost(self, webhook_id: str, count: int) -> None:
        """Count deliveries that will not be made."""
        with writing():
            await self._webhooks.update_one({"_id": webhook_id}, {"$inc": {"dropped": count}})

    async def _find(self, which: Document) -> list[StoredWebhook]:
        with reading():
            found = await self._webhooks.find(which).sort("created_ms", ASCENDING).to_list()
        return [from_document(document, StoredWebhook) for document in found]

    async def _announce(self) -> None:
        """After the change itself: who sees the new token reads what it stands for."""
        with writing():
            await self._webhooks.update_one({"_id": CHANGED}, {"$set": {"token": secrets.token_hex(8)}}, upsert=True)


def owned(webhooks: Sequence[StoredWebhook]) -> dict[UserId, list[StoredWebhook]]:
    """Webhooks by their owner."""
    found: dict[UserId, list[StoredWebhook]] = {}
    for webhook in webhooks:
        found.setdefault(webhook.owner_id, []).append(webhook)
    return found
