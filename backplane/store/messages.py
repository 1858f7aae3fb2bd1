"""Messages: repeats are found by id, writes are ordered, pages are bounded."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from pymongo import DESCENDING
from pymongo.errors import BulkWriteError

from backplane.errors import Permanent, Transient, Unknown
from backplane.store.documents import Database, Document, chunks, find_in, find_range, from_document, to_document
from backplane.store.failures import reading, refused_indexes, writing
from backplane.store.keys import found_by
from backplane.store.operations import Applied
from backplane.store.swaps import Swap, fields_of, swap
from backplane.store.together import Together
from schemas.attachments import Carried
from schemas.entities import Message, MessageContent, rfc3339
from schemas.ids import MAX_SAFE_INTEGER, ClientMsgId, ConversationId, MessageId, UserId
from schemas.names import MESSAGES

_ONE_COMMAND: Final = 500
"""Documents of one insert: with the longest texts still one message to the server (48 MB), so that nothing is half sent."""


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"message_id": "_id"}):
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
    attachments: tuple[Carried, ...] = ()
    edited_ms: int | None = None
    deleted_ms: int | None = None
    pinned_ms: int | None = None
    pinned_by: UserId | None = None
    reactions: dict[str, tuple[UserId, ...]] = {}
    reply_count: int = 0
    last_reply_ms: int | None = None
    ops: tuple[Applied, ...] = ()
    void: bool = False

    @property
    def gone(self) -> bool:
        """Whether there is nothing to show: a void, or a tombstone."""
        return self.void or self.deleted_ms is not None

    @property
    def wiped(self) -> bool:
        """Whether nothing of what it said is left, not even its hash: it has expired, or its author was erased."""
        return not self.body_hash

    def repeats(self, body_hash: str) -> bool:
        """Whether this message is what a request with that hash under its key asks for (hole C13); of a wiped one nobody can tell."""
        return self.wiped or self.body_hash == body_hash


class Thread(NamedTuple):
    """The replies to a message: how many are not deleted, and when the newest one was made."""

    replies: int
    last_ms: int | None


class ThreadPlace(NamedTuple):
    """Where a list of threads goes on: after the root `seq`, whose newest reply was made at `last_ms`."""

    last_ms: int
    seq: int


def as_message(stored: StoredMessage) -> Message:
    """What clients see of it."""
    return Message(
        message_id=stored.message_id,
        conversation_id=stored.conversation_id,
        seq=stored.seq,
        rev=stored.rev,
        sender_id=stored.sender_id,
        client_msg_id=stored.client_msg_id,
        content=None if stored.gone or stored.text is None else MessageContent(stored.text),
        reply_to=stored.reply_to,
        thread_root_id=stored.thread_root_id,
        mentions=list(stored.mentions),
        attachments=[one.attachment for one in stored.attachments],
        reactions={emoji: list(users) for emoji, users in stored.reactions.items()},
        created_at=rfc3339(stored.created_ms),
        edited_at=None if stored.edited_ms is None else rfc3339(stored.edited_ms),
        deleted_at=None if stored.deleted_ms is None else rfc3339(stored.deleted_ms),
        pinned_at=None if stored.pinned_ms is None else rfc3339(stored.pinned_ms),
        pinned_by=stored.pinned_by,
        reply_count=stored.reply_count,
        last_reply_at=None if stored.last_reply_ms is None else rfc3339(stored.last_reply_ms),
    )


def _with_keys(message: StoredMessage) -> Document:
    return {
        **to_document(message),
        "found_by": found_by(message.conversation_id, message.seq, message.mentions),
    }


class Messages:
    """Operations on `messages`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._messages = database[MESSAGES]
        self._inserts: Together[StoredMessage, int] = Together(self._insert_together, limit=_ONE_COMMAND)

    async def find(self, ids: Sequence[MessageId]) -> dict[MessageId, StoredMessage]:
        """Those of the messages that exist, majority-committed, voids included."""
        return {message.message_id: message for message in await find_in(self._messages, "_id", ids, StoredMessage)}

    async def insert(self, documents: Sequence[StoredMessage]) -> int:
        """Insert in the order given, stopping at the first refusal; returns how many went in.

        Fewer than given means that `documents[n]` hit a unique index (E11000), and nothing after it was tried (holes A9, C4).

        Raises:
            Unknown: some may be stored; write the identical documents again (C6).
            Transient: nothing was stored.
            Permanent: MongoDB refuses one of them for what it is; those before it are stored.
        """
        inserted = 0
        for chunk in chunks(documents, _ONE_COMMAND):
            try:
                went_in = await self._inserts.call(chunk)
            except Unknown:
                raise
            except Transient as failure:
                raise (Unknown(str(failure)) if inserted else failure) from failure
            inserted += went_in
            if went_in < len(chunk):
                break
        return inserted

    async def _insert_together(self, calls: list[Sequence[StoredMessage]]) -> list[int | Exception]:
        """Insert several callers' documents in one command; a refusal costs only the caller whose document it is."""
        answers: list[int | Exception] = []
        while len(answers) < len(calls):
            rest = calls[len(answers) :]
            try:
                inserted = await self._insert_chunk([document for call in rest for document in call])
            except Permanent as failure:
                if len(rest) == 1:
                    return [*answers, failure]
                # One of them is refused for what it is; alone, each learns whether it was theirs. What went in before it is
                # refused now as stored already, which every caller must be ready for (hole C4).
                return answers + [(await self._insert_together([call]))[0] for call in rest]
            except Transient as failure:
                return answers + [failure] * len(rest)
            for call in rest:
                answers.append(min(inserted, len(call)))
                if inserted < len(call):
                    break
                inserted -= len(call)
        return answers

    async def _insert_chunk(self, documents: Sequence[StoredMessage]) -> int:
        with writing():
            try:
                await self._messages.insert_many([_with_keys(document) for document in documents], ordered=True)
            except BulkWriteError as failure:
                return refused_indexes(failure)[0]
        return len(documents)

    async def change(self, changes: Sequence[tuple[StoredMessage, StoredMessage]]) -> bool:
        """Compare and set, from → to; False if somebody else was in between. Safe to repeat."""
        return await swap(self._messages, [_swap(before, after) for before, after in changes])

    async def pinned(self, conversation_id: ConversationId) -> list[StoredMessage]:
        """What is pinned, ascending by seq."""
        found = await find_range(
            self._messages, {"conversation_id": conversation_id}, "pinned_ms", low=0, high=MAX_SAFE_INTEGER
        )
        return sorted((from_document(document, StoredMessage) for document in found), key=lambda one: one.seq)

    async def unraised(self, conversation_id: ConversationId, after_rev: int) -> list[StoredMessage]:
        """All messages changed after `after_rev`, ascending by rev: what a crash left above the conversation's own counter."""
        return await self._range(conversation_id, "rev", after_rev, MAX_SAFE_INTEGER)

    async def between(
        self, conversation_id: ConversationId, after_seq: int, up_to_seq: int
    ) -> dict[MessageId, StoredMessage]:
        """The messages above `after_seq`, up to `up_to_seq`."""
        found = await self._range(conversation_id, "seq", after_seq, up_to_seq)
        return {message.message_id: message for message in found}

    async def count_replies(self, roots: Sequence[StoredMessage]) -> dict[MessageId, Thread]:
        """The threads of these roots, as their replies are stored now."""
        return {root.message_id: await self._thread(root) for root in roots}

    async def _thread(self, root: StoredMessage) -> Thread:
        equal: Document = {"conversation_id": root.conversation_id, "thread_root_id": root.message_id}
        found = await find_range(self._messages, equal, "seq", low=root.seq, high=MAX_SAFE_INTEGER)
        replies = [from_document(document, StoredMessage) for document in found]
        last_ms = max((reply.created_ms for reply in replies), default=None)
        return Thread(sum(not reply.gone for reply in replies), last_ms)

    async def page(
        self,
        conversation_id: ConversationId,
        *,
        before_seq: int | None = None,
        after_seq: int | None = None,
        since_rev: int | None = None,
        first_seq: int = 0,
        last_seq: int,
        rev: int,
        limit: int,
    ) -> list[StoredMessage]:
        """A page of at most `limit`, ascending by seq, or by rev for `since_rev`.

        It is the newest below `before_seq` (default: the newest), or the oldest above `after_seq`, or the oldest changes above
        `since_rev`. It ends at `last_seq` and `rev`, the conversation's own, also if more is stored already (hole C7).

        Nothing of it is at or below `first_seq`, which the viewer may not see. Numbers are gapless, so a page by seq is a range known
        beforehand; fewer than `limit` means the end was reached.
        """
        if since_rev is not None:
            return await self._changed(conversation_id, since_rev, rev, limit, first_seq)
        if after_seq is not None:
            after_seq = max(after_seq, first_seq)
            return await self._range(conversation_id, "seq", after_seq, min(after_seq + limit, last_seq))
        newest = last_seq if before_seq is None else min(before_seq - 1, last_seq)
        return await self._range(conversation_id, "seq", max(first_seq, newest - limit), newest)

    async def threads(
        self, conversation_id: ConversationId, after: ThreadPlace | None, limit: int
    ) -> list[StoredMessage]:
        """Roots of threads, the one with the newest reply first; of replies of the same millisecond, the newest root."""
        room: Document = {"conversation_id": conversation_id}
        found: list[Document] = []
        if after is not None:
            same = room | {"last_reply_ms": after.last_ms}
            found = await find_range(
                self._messages, same, "seq", low=0, high=after.seq - 1, limit=limit, descending=True
            )
        if len(found) < limit:
            high = MAX_SAFE_INTEGER if after is None else after.last_ms - 1
            older = room | {"last_reply_ms": {"$gt": 0, "$lte": high}}
            with reading():
                newest_first = [("last_reply_ms", DESCENDING), ("seq", DESCENDING)]
                found += await self._messages.find(older).sort(newest_first).limit(limit - len(found)).to_list()
        return [from_document(document, StoredMessage) for document in found]

    async def thread(
        self, root: StoredMessage, *, before_seq: int | None, after_seq: int | None, last_seq: int, limit: int
    ) -> list[StoredMessage]:
        """A page of a thread's replies, ascending: the oldest above `after_seq`, else the newest below `before_seq`."""
        low = max(root.seq, after_seq or 0)
        high = last_seq if before_seq is None else min(before_seq - 1, last_seq)
        equal: Document = {"conversation_id": root.conversation_id, "thread_root_id": root.message_id}
        newest_first = after_seq is None
        found = await find_range(self._messages, equal, "seq", low=low, high=high, limit=limit, descending=newest_first)
        page = [from_document(document, StoredMessage) for document in found]
        return page[::-1] if newest_first else page

    async def _changed(
        self, conversation_id: ConversationId, since_rev: int, rev: int, limit: int, first_seq: int
    ) -> list[StoredMessage]:
        """Revisions are shared with members and titles, so messages have holes in them: the window grows until the page is full."""
        found: list[StoredMessage] = []
        low, width = since_rev, limit
        while low < rev and len(found) < limit:
            high = min(low + width, rev)
            found += await self._range(conversation_id, "rev", low, high, limit - len(found), first_seq=first_seq)
            low, width = high, width * 4
        return found

    async def _range(
        self, conversation_id: ConversationId, field: str, low: int, high: int, limit: int = 0, *, first_seq: int = 0
    ) -> list[StoredMessage]:
        if low >= high:
            return []
        equal: Document = {"conversation_id": conversation_id}
        if first_seq:
            equal["seq"] = {"$gt": first_seq}
        found = await find_range(self._messages, equal, field, low=low, high=high, limit=limit)
        return [from_document(document, StoredMessage) for document in found]


_CHANGEABLE: Final = (
    "rev", "body_hash", "text", "mentions", "attachments", "edited_ms", "deleted_ms", "pinned_ms", "pinned_by", "reactions", "reply_count", "last_reply_ms", "ops",
)  # fmt: skip


def _swap(before: StoredMessage, after: StoredMessage) -> Swap:
    fields, absent = fields_of(after, _CHANGEABLE)
    if after.mentions != before.mentions:
        fields["found_by"] = found_by(after.conversation_id, after.seq, after.mentions)
    return Swap(after.message_id, {"conversation_id": after.conversation_id}, "rev", before.rev, fields, absent)
