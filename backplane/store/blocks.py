"""Blocks: who does not want to hear from whom in their direct conversation."""

from collections.abc import Iterable, Sequence

import msgspec
from pymongo import ASCENDING

from backplane.store.documents import Database, find_in, from_document
from backplane.store.failures import reading, writing
from backplane.store.swaps import Swap, fields_of, swap
from schemas.ids import ConversationId, UserId
from schemas.names import BLOCKS

_FIELDS = ("blocker_id", "blocked_id", "blocked", "version")
_LISTED = 1000


class StoredBlock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document of `blocks`; `conversation_id` is that of the two people's direct conversation, whether it exists or not."""

    conversation_id: ConversationId
    blocker_id: UserId
    blocked_id: UserId
    blocked: bool
    version: int


def is_blocked(blocks: Iterable[StoredBlock], user_id: UserId) -> bool:
    """Whether, of the blocks in a direct conversation, one is against this person."""
    return any(block.blocked and block.blocked_id == user_id for block in blocks)


class Blocks:
    """Operations on `blocks`. All raise `Transient`; writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._blocks = database[BLOCKS]

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredBlock]]:
        """The blocks in these direct conversations, lifted ones included; every id asked for has a list, maybe empty."""
        found: dict[ConversationId, list[StoredBlock]] = {conversation_id: [] for conversation_id in ids}
        for block in await find_in(self._blocks, "conversation_id", ids, StoredBlock):
            found[block.conversation_id].append(block)
        return found

    async def of_user(self, user_id: UserId, *, limit: int = _LISTED) -> list[UserId]:
        """Whom a person blocks, at most so many; 0: all."""
        with reading():
            documents = (
                await self._blocks.find({"blocker_id": user_id, "blocked": True})
                .sort("_id", ASCENDING)
                .limit(limit)
                .to_list()
            )
        return sorted(from_document(document, StoredBlock).blocked_id for document in documents)

    async def delete_of(self, user_id: UserId) -> None:
        """Forget whom a person blocks, who is there no more."""
        with writing():
            await self._blocks.delete_many({"blocker_id": user_id})

    async def change(self, changes: Sequence[tuple[StoredBlock | None, StoredBlock]]) -> bool:
        """Compare and set, from → to; False if somebody else was in between. Safe to repeat."""
        return await swap(self._blocks, [_swap(before, after) for before, after in changes])


def _swap(before: StoredBlock | None, after: StoredBlock) -> Swap:
    fields, absent = fields_of(after, _FIELDS)
    shard = {"conversation_id": after.conversation_id}
    key = f"{after.blocker_id}:{after.blocked_id}"
    return Swap(key, shard, "version", before.version if before else None, fields, absent)
