"""Messages: repeats are found by id, writes are ordered, pages are bounded."""

from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo.errors import BulkWriteError

from backplane.errors import Permanent, Transient, Unknown
from backplane.store.documents import Database, Document, chunks, find_in, find_range, from_document, to_document
from backplane.store.failures import refused_indexes, writing
from backplane.store.together import Together
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
    edited_ms: int | None = None
    deleted_ms: int | None = None
    void: bool = False


def as_message(stored: StoredMessage) -> Message:
    """What clients see of it."""
    gone = stored.void or stored.deleted_ms is not None or stored.text is None
    return Message(
        message_id=stored.message_id,
        conversation_id=stored.conversation_id,
        seq=stored.seq,
        rev=stored.rev,
        sender_id=stored.sender_id,
        client_msg_id=stored.client_msg_id,
        content=None if gone else MessageContent(stored.text or ""),
        reply_to=stored.reply_to,
        thread_root_id=stored.thread_root_id,
        mentions=list(stored.mentions),
        created_at=rfc3339(stored.created_ms),
        edited_at=None if stored.edited_ms is None else rfc3339(stored.edited_ms),
        deleted_at=None if stored.deleted_ms is None else rfc3339(stored.deleted_ms),
    )


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
                await self._messages.insert_many([to_document(document) for document in documents], ordered=True)
            except BulkWriteError as failure:
                return refused_indexes(failure)[0]
        return len(documents)

    async def tail(self, conversation_id: ConversationId, after_seq: int) -> list[StoredMessage]:
        """All messages above `after_seq`, ascending: what a crash left above the conversation's own counter."""
        return await self._range(conversation_id, "seq", after_seq, MAX_SAFE_INTEGER)

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
        """A page of at most `limit`, ascending by seq, or by rev for `since_rev`.

        It is the newest below `before_seq` (default: the newest), or the oldest above `after_seq`, or the oldest changes above
        `since_rev`. It ends at `last_seq` and `rev`, the conversation's own, also if more is stored already (hole C7).

        Numbers are gapless, so a page by seq is a range known beforehand; fewer than `limit` means the end was reached.
        """
        if since_rev is not None:
            return await self._changed(conversation_id, since_rev, rev, limit)
        if after_seq is not None:
            return await self._range(conversation_id, "seq", after_seq, min(after_seq + limit, last_seq))
        newest = last_seq if before_seq is None else min(before_seq - 1, last_seq)
        return await self._range(conversation_id, "seq", max(0, newest - limit), newest)

    async def _changed(
        self, conversation_id: ConversationId, since_rev: int, rev: int, limit: int
    ) -> list[StoredMessage]:
        """Revisions are shared with members and titles, so messages have holes in them: the window grows until the page is full."""
        found: list[StoredMessage] = []
        low, width = since_rev, limit
        while low < rev and len(found) < limit:
            high = min(low + width, rev)
            found += await self._range(conversation_id, "rev", low, high, limit - len(found))
            low, width = high, width * 4
        return found

    async def _range(
        self, conversation_id: ConversationId, field: str, low: int, high: int, limit: int = 0
    ) -> list[StoredMessage]:
        if low >= high:
            return []
        equal: Document = {"conversation_id": conversation_id}
        found = await find_range(self._messages, equal, field, low=low, high=high, limit=limit)
        return [from_document(document, StoredMessage) for document in found]
