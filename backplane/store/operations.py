"""Operations: every change that was made, by its own id, so that none is ever made twice (docs/adr/0003)."""

from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo.errors import BulkWriteError

from backplane.store.documents import Database, chunks, find_in, to_document
from backplane.store.failures import refused_indexes, writing
from schemas.ids import ClientOpId, ConversationId, OperationId, UserId
from schemas.names import OPERATIONS

RING: Final = 32
"""Operations that an entity remembers itself: those of a batch whose record was cut off by a crash are among them."""


class Applied(msgspec.Struct, frozen=True):
    """An operation as the entity that it changed remembers it."""

    operation_id: OperationId
    intent_id: str
    rev: int
    at_ms: int = 0
    """When it was asked for."""


def remember(ops: tuple[Applied, ...], newest: Applied) -> tuple[Applied, ...]:
    """The ring with one more operation in it."""
    return (*ops, newest)[-RING:]


def rejection_id(key: str) -> OperationId:
    """Under what the refusal of a message or an operation is recorded."""
    return OperationId(f"rejected:{key}")


class StoredOperation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"operation_id": "_id"}):
    """One document of `operations`: who asked for what; written after the change itself.

    With a `code` it is a refusal: when the intent is replayed, under other circumstances perhaps, it is refused again.
    """

    operation_id: OperationId
    conversation_id: ConversationId
    actor_id: UserId
    client_op_id: ClientOpId = ClientOpId("")
    intent_id: str
    body_hash: str
    kind: str
    at_ms: int
    code: str = ""


class Operations:
    """Operations on `operations`. All raise `Transient`; writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._operations = database[OPERATIONS]

    async def find(self, ids: Sequence[OperationId]) -> dict[OperationId, StoredOperation]:
        """Those that are recorded, majority-committed."""
        found = await find_in(self._operations, "_id", ids, StoredOperation)
        return {operation.operation_id: operation for operation in found}

    async def record(self, operations: Sequence[StoredOperation]) -> None:
        """Record what was done; what is recorded already stays as it is. Safe to repeat."""
        for chunk in chunks(operations, 500):
            with writing():
                try:
                    await self._operations.insert_many([to_document(one) for one in chunk], ordered=False)
                except BulkWriteError as failure:
                    refused_indexes(failure)
