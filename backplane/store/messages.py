"""Messages: repeats are found by id, writes are ordered, pages are bounded."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.entities import Message
from schemas.ids import ClientMsgId, ConversationId, MessageId, UserId


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One document of `messages`, as persist decides on it; times in ms. A void one has no sender and `client_msg_id` `void:<seq>` (A8)."""

    message_id: MessageId
    conversation_id: ConversationId
    seq: int
    rev: int
    sender_id: UserId | None
    client_msg_id: ClientMsgId
    intent_id: str
    body_hash: str
    text: str | None
    created_ms: int
    reply_to: str | None = None
    thread_root_id: str | None = None
    mentions: tuple[UserId, ...] = ()
    edited_ms: int | None = None
    deleted_ms: int | None = None
    void: bool = False


def as_message(stored: StoredMessage) -> Message:
    """What clients see of it."""
    raise NotImplementedError


class Messages:
    """Operations on `messages`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Any) -> None:
        raise NotImplementedError

    async def find(self, ids: Sequence[MessageId]) -> dict[MessageId, StoredMessage]:
        """Those of the messages that exist, majority-committed, voids included."""
        raise NotImplementedError

    async def insert(self, documents: Sequence[StoredMessage]) -> int:
        """Insert in the order given, stopping at the first refusal; returns how many went in: fewer than given means that
        `documents[n]` hit a unique index (E11000), and nothing after it was tried (holes A9, C4).

        Raises:
            Unknown: some may be stored; write the identical documents again (C6).
        """
        raise NotImplementedError

    async def tail(self, conversation_id: ConversationId, after_seq: int) -> list[StoredMessage]:
        """All messages above `after_seq`, ascending: what a crash left above the conversation's own counter."""
        raise NotImplementedError

    async def page(
        self,
        conversation_id: ConversationId,
        *,
        before_seq: int | None = None,
        after_seq: int | None = None,
        since_rev: int | None = None,
        last_seq: int,
        rev: int,
        limit: int,
    ) -> list[StoredMessage]:
        """A page: the newest below `before_seq` (default: the newest), or the oldest above `after_seq`, or by `rev` above
        `since_rev` and at most `rev`, the conversation's own (hole C7). Ascending by seq, or by rev for `since_rev`.
        """
        raise NotImplementedError
