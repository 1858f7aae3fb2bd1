"""What waits to be sent to a webhook: parked here before its event is settled, so that whoever owns the partition next finds it.

The key is `<webhook>:<event>`: parking the same event twice is parking it once. `at` is the event's stream id, padded so that it sorts as
text: a webhook's deliveries of one partition go out in that order.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from backplane.store.documents import Database, Document, chunks, from_document, to_document
from backplane.store.failures import reading, refused_indexes, writing
from schemas.ids import StreamId
from schemas.names import DELIVERIES

_INSERTS: Final = 200
"""Documents of one command: a few megabytes at the very most."""
_AFTER_ALL: Final = "~"


class StoredDelivery(msgspec.Struct, frozen=True, kw_only=True, rename={"delivery_id": "_id"}):
    """One document of `webhook_deliveries`; `body` is the JSON to send."""

    delivery_id: str
    webhook_id: str
    partition: int
    at: str
    event_id: str
    body: str
    parked_ms: int


def delivery_id_of(webhook_id: str, event_id: str) -> str:
    """The key of a delivery."""
    return f"{webhook_id}:{event_id}"


def sortable(entry_id: StreamId) -> str:
    """A stream id as text that sorts as the id does."""
    return f"{entry_id.ms:015d}-{entry_id.seq:010d}"


class Deliveries:
    """Operations on `webhook_deliveries`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database[DELIVERIES]

    async def park(self, deliveries: Sequence[StoredDelivery]) -> None:
        """Store deliveries; those that wait already stay as they are."""
        for chunk in chunks(deliveries, _INSERTS):
            with writing():
                try:
                    await self._deliveries.insert_many([to_document(one) for one in chunk], ordered=False)
                except BulkWriteError as failure:
                    refused_indexes(failure)

    async def next(self, webhook_id: str, partition: int, *, limit: int) -> list[StoredDelivery]:
        """The oldest that wait for a webhook in a partition, in order."""
        with reading():
            found = (
                await self._deliveries.find(_line(webhook_id, partition)).sort("at", ASCENDING).limit(limit).to_list()
            )
        return [from_document(document, StoredDelivery) for document in found]

    async def waiting(self, webhook_id: str, partition: int | None = None) -> int:
        """How many wait for a webhook, in one partition or in all."""
        with reading():
            return await self._deliveries.count_documents(_those(webhook_id, partition))

    async def webhooks(self, partition: int) -> list[str]:
        """The webhooks for which something waits in a partition."""
        with reading():
            return await self._deliveries.distinct("webhook_id", {"partition": partition})

    async def remove(self, delivery_id: str) -> None:
        """Take one out: it was delivered, or given up."""
        with writing():
            await self._deliveries.delete_one({"_id": delivery_id})

    async def clear(self, webhook_id: str, partition: int | None = None) -> int:
        """Take out all of a webhook, in one partition or in all; returns how many."""
        with writing():
            return (await self._deliveries.delete_many(_those(webhook_id, partition))).deleted_count


def _those(webhook_id: str, partition: int | None) -> Document:
    return {"webhook_id": webhook_id} if partition is None else _line(webhook_id, partition)


def _line(webhook_id: str, partition: int) -> Document:
    return {"webhook_id": webhook_id, "partition": partition, "at": {"$gt": "", "$lt": _AFTER_ALL}}
