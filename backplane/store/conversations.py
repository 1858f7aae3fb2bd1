"""Conversations and members: states for persist, recipients for fanout."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from backplane.errors import Transient
from backplane.store.documents import Database, Document, chunks, find_in, from_document, to_document
from backplane.store.failures import reading, refused_indexes, writing
from backplane.store.operations import Applied
from backplane.store.swaps import Swap, fields_of, swap
from backplane.store.together import Together
from schemas.entities import Conversation, Member, rfc3339
from schemas.ids import ConversationId, MessageId, UserId
from schemas.intents import History
from schemas.names import CONVERSATIONS, MEMBERS
from schemas.roles import Role

_SETTINGS: Final = ("title", "history", "retention_days", "expired_seq", "version", "ops")
_MEMBERSHIP: Final = ("role", "rev", "spans", "from_seq", "muted_until_ms", "archived", "version", "ops")
"""What persist owns of a membership; marks are the receipts stage's, but for those that a member begins with."""
_AFTER_ALL: Final = "~"
"""Sorts behind every `listed`."""


class StoredMember(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document of `members`. A span is (joined_rev, left_rev or None); members keep theirs after leaving (hole B9)."""

    conversation_id: ConversationId
    user_id: UserId
    role: Role
    rev: int
    """Of the newest coming, going or change of role."""
    spans: tuple[tuple[int, int | None], ...]
    delivered_seq: int = 0
    read_seq: int = 0
    from_seq: int = 0
    """Up to here nothing is this member's to see: they joined later, or have deleted it for themselves."""
    muted_until_ms: int | None = None
    archived: bool = False
    version: int = 0
    """Counts persist's changes of this document, the member's own settings included; what it is compared by."""
    ops: tuple[Applied, ...] = ()
    private_read_seq: int = 0
    """What they have read without anybody's knowing."""
    marked_by: str = ""
    privately_by: str = ""
    """The stream entries that raised these levels last: what others see, and what they do not (`backplane.store.marks`)."""

    @property
    def current(self) -> bool:
        """Whether this is a member now."""
        return bool(self.spans) and self.spans[-1][1] is None

    def holds(self, rev: int) -> bool:
        """Whether an event with this `rev` is theirs: `joined_rev <= rev < left_rev` in one of the spans."""
        return any(joined <= rev and (left is None or rev < left) for joined, left in self.spans)


class StoredConversation(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"conversation_id": "_id"}
):
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
    history: History = "all"
    retention_days: int = 0
    """How long messages are kept here; 0: for as long as the deployment keeps them."""
    expired_seq: int = 0
    """Up to here messages are gone for their age."""
    oldest_ms: int = 0
    """When the first message after those was made, or earlier; 0: there is none. Raised with the counters."""
    version: int = 0
    """Counts the changes of title and settings; what they are compared by."""
    ops: tuple[Applied, ...] = ()


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch raised a conversation to."""

    conversation_id: ConversationId
    rev: int
    last_seq: int
    last_message_id: MessageId | None
    oldest_ms: int = 0


def as_conversation(stored: StoredConversation, members: Sequence[StoredMember]) -> Conversation:
    """What clients see of it: members who are in it now, without the viewer's own fields."""
    return Conversation(
        conversation_id=stored.conversation_id,
        kind=stored.kind,
        title=stored.title,
        history=stored.history,
        retention_days=stored.retention_days or None,
        rev=stored.rev,
        last_seq=stored.last_seq,
        expired_seq=stored.expired_seq,
        created_by=stored.created_by,
        created_at=rfc3339(stored.created_ms),
        members=[
            as_member(member)
            for member in sorted(
                (member for member in members if member.current),
                key=lambda member: (member.spans[-1][0], member.user_id),
            )
        ],
    )


def as_member(member: StoredMember) -> Member:
    """What clients see of a membership, also of one that has ended."""
    return Member(
        user_id=member.user_id,
        role=member.role,
        rev=member.rev,
        joined_rev=member.spans[-1][0],
        delivered_seq=member.delivered_seq,
        read_seq=member.read_seq,
    )


def as_own(conversation: Conversation, member: StoredMember) -> Conversation:
    """A conversation with what a member has set in it for themselves."""
    return replace(
        conversation,
        muted_until=None if member.muted_until_ms is None else rfc3339(member.muted_until_ms),
        archived=member.archived,
        first_seq=max(member.from_seq, conversation.expired_seq) + 1,
    )


def hidden_seq(stored: StoredConversation, member: StoredMember) -> int:
    """Up to here nothing is this member's to see: said before they came, deleted for themselves, or gone for its age."""
    return max(member.from_seq, stored.expired_seq)


class Conversations:
    """Operations on `conversations` and `members`. All raise `Transient`; writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._conversations = database[CONVERSATIONS]
        self._members = database[MEMBERS]
        self._raises: Together[Counters, None] = Together(self._raise_together)

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, StoredConversation]:
        """Those that exist, majority-committed, in chunks of 50 ids."""
        found = await find_in(self._conversations, "_id", ids, StoredConversation)
        return {conversation.conversation_id: conversation for conversation in found}

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        """All members of these conversations, those who left too; every id asked for has a list, maybe empty."""
        members: dict[ConversationId, list[StoredMember]] = {conversation_id: [] for conversation_id in ids}
        for member in await find_in(self._members, "conversation_id", ids, StoredMember):
            members[member.conversation_id].append(member)
        return members

    async def member(self, conversation_id: ConversationId, user_id: UserId) -> StoredMember | None:
        """One membership, also of somebody who left."""
        with reading():
            document = await self._members.find_one({"conversation_id": conversation_id, "user_id": user_id})
        return from_document(document, StoredMember) if document else None

    async def memberships(self, user_id: UserId) -> list[StoredMember]:
        """All of a person's memberships, those that have ended too."""
        found: list[StoredMember] = []
        listed = ""
        while True:
            page: Document = {"user_id": user_id, "listed": {"$gt": listed, "$lt": _AFTER_ALL}}
            with reading():
                documents = await self._members.find(page).sort("listed", ASCENDING).limit(500).to_list()
            if not documents:
                return found
            found += [from_document(document, StoredMember) for document in documents]
            listed = documents[-1]["listed"]

    async def create(self, conversation: StoredConversation, members: Sequence[StoredMember]) -> StoredConversation:
        """Write the members, then the conversation: the document that carries the dedup key is last (hole B12). Safe to repeat.

        Returns what is stored: another `intent_id` than ours means that somebody was first.
        """
        await self._insert_members(conversation, members)
        with writing():
            try:
                await self._conversations.insert_one(to_document(conversation))
            except DuplicateKeyError:
                stored = await self.find([conversation.conversation_id])
                if conversation.conversation_id not in stored:
                    raise Transient("somebody's conversation is written, but not yet by a majority") from None
                return stored[conversation.conversation_id]
        return conversation

    async def change(self, changes: Sequence[tuple[StoredConversation, StoredConversation]]) -> bool:
        """Compare and set title and settings, from → to; False if somebody else was in between. Safe to repeat."""
        swaps: list[Swap] = []
        for before, after in changes:
            fields, absent = fields_of(after, _SETTINGS)
            swaps.append(Swap(after.conversation_id, {}, "version", before.version, fields, absent))
        return await swap(self._conversations, swaps)

    async def change_members(
        self, changes: Sequence[tuple[StoredMember | None, StoredMember]], listed_ms: Mapping[ConversationId, int]
    ) -> bool:
        """As `change`, for memberships; None → a new one, listed under its conversation's creation."""
        swaps: list[Swap] = []
        for before, after in changes:
            fields, absent = fields_of(after, _MEMBERSHIP)
            if before is None or len(after.spans) > len(before.spans):
                # Who comes begins with everything read; from then on marks are the receipts stage's.
                fields |= {"read_seq": after.read_seq, "delivered_seq": after.delivered_seq}
            if before is None:
                fields["user_id"] = after.user_id
                fields["listed"] = _listed(after.conversation_id, listed_ms[after.conversation_id])
            shard = {"conversation_id": after.conversation_id}
            swaps.append(Swap(_member_key(after), shard, "version", before and before.version, fields, absent))
        return await swap(self._members, swaps)

    async def raise_counters(self, counters: Sequence[Counters]) -> None:
        """Raise `rev`, `last_seq` and `last_message_id` of conversations whose `rev` is lower: the last write of a batch (hole C7)."""
        if counters:
            await self._raises.call(counters)

    async def _raise_together(self, calls: list[Sequence[Counters]]) -> list[None]:
        raises = [
            UpdateOne({"_id": raised.conversation_id, "rev": {"$lt": raised.rev}}, {"$set": _raised(raised)})
            for call in calls
            for raised in call
        ]
        with writing():
            await self._conversations.bulk_write(raises, ordered=False)
        return [None] * len(calls)

    async def _insert_members(self, conversation: StoredConversation, members: Sequence[StoredMember]) -> None:
        listed = _listed(conversation.conversation_id, conversation.created_ms)
        documents = [{"_id": _member_key(member), "listed": listed, **to_document(member)} for member in members]
        for chunk in chunks(documents, 500):
            with writing():
                try:
                    await self._members.insert_many(chunk, ordered=False)
                except BulkWriteError as failure:
                    refused_indexes(failure)  # those are there already: this creation is being repeated


def _raised(counters: Counters) -> Document:
    raised: Document = {"rev": counters.rev, "last_seq": counters.last_seq, "oldest_ms": counters.oldest_ms}
    if counters.last_message_id is not None:
        raised["last_message_id"] = counters.last_message_id
    return raised


def _member_key(member: StoredMember) -> str:
    return f"{member.conversation_id}:{member.user_id}"


def _listed(conversation_id: ConversationId, created_ms: int) -> str:
    """A member's `listed`: sorts a person's conversations by creation, so that a page is one range of one index."""
    return f"{created_ms:015d}:{conversation_id}"
