"""Conversations and members: states for persist, recipients for fanout, lists for REST."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.entities import Conversation
from schemas.ids import ConversationId, MessageId, UserId


class StoredMember(msgspec.Struct, frozen=True, kw_only=True):
    """One document of `members`. A span is (joined_rev, left_rev or None); members keep theirs after leaving (hole B9)."""

    conversation_id: ConversationId
    user_id: UserId
    role: str
    rev: int
    spans: tuple[tuple[int, int | None], ...]
    delivered_seq: int = 0
    read_seq: int = 0

    @property
    def current(self) -> bool:
        """Whether this is a member now."""
        return bool(self.spans) and self.spans[-1][1] is None

    def holds(self, rev: int) -> bool:
        """Whether an event with this `rev` is theirs: `joined_rev <= rev < left_rev` in one of the spans."""
        return any(joined <= rev and (left is None or rev < left) for joined, left in self.spans)


class StoredConversation(msgspec.Struct, frozen=True, kw_only=True):
    """One document of `conversations`."""

    conversation_id: ConversationId
    kind: str
    title: str | None
    created_by: UserId
    created_ms: int
    intent_id: str
    body_hash: str
    rev: int
    last_seq: int
    last_message_id: MessageId | None = None


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch raised a conversation to."""

    conversation_id: ConversationId
    rev: int
    last_seq: int
    last_message_id: MessageId | None


def as_conversation(stored: StoredConversation, members: Sequence[StoredMember]) -> Conversation:
    """What clients see of it: members who are in it now, without the viewer's own fields."""
    raise NotImplementedError


class Conversations:
    """Operations on `conversations` and `members`. All raise `Transient`; writes `Unknown` when the outcome is open."""

    def __init__(self, database: Any) -> None:
        raise NotImplementedError

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, StoredConversation]:
        """Those that exist, majority-committed, in chunks of 50 ids."""
        raise NotImplementedError

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        """All members of these conversations, those who left too."""
        raise NotImplementedError

    async def member(self, conversation_id: ConversationId, user_id: UserId) -> StoredMember | None:
        """One membership, also of somebody who left."""
        raise NotImplementedError

    async def create(self, conversation: StoredConversation, members: Sequence[StoredMember]) -> StoredConversation:
        """Write the members, then the conversation: the document that carries the dedup key is last (hole B12). Safe to repeat.
        Returns what is stored: another `intent_id` than ours means that somebody was first.
        """
        raise NotImplementedError

    async def raise_counters(self, counters: Sequence[Counters]) -> None:
        """Raise `rev`, `last_seq` and `last_message_id` of conversations whose `rev` is lower: the last write of a batch (hole C7)."""
        raise NotImplementedError

    async def of_user(self, user_id: UserId, *, after: str | None, limit: int) -> tuple[list[Conversation], str | None]:
        """A page of a person's conversations with `last_message`, `unread_count`, `read_seq` and members, and the next cursor.

        Newest creation first, stable under new messages; under five queries however many there are. `after` is an opaque cursor of
        an earlier page; raises `ValueError` if it is not.
        """
        raise NotImplementedError

    async def one_of_user(self, conversation_id: ConversationId, user_id: UserId) -> Conversation | None:
        """One conversation as this member sees it, None if they are not in it now."""
        raise NotImplementedError
