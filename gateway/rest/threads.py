"""The threads of a conversation, the one with the newest reply first, with how far one has read each."""

import asyncio
from typing import Annotated

import msgspec
from starlette.responses import Response

from backplane.store.conversations import StoredConversation, hidden_seq
from backplane.store.marks import Key, StoredMark
from backplane.store.messages import StoredMessage, ThreadPlace, as_message
from gateway.problems import Problem
from gateway.rest.operations import SignedCall, answer, signed_in
from schemas.entities import Message
from schemas.ids import MAX_SAFE_INTEGER, ConversationId, UserId

UNREAD_CAP = 100


class PageThreads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of threads."""

    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=25)] = 25


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A thread as one member sees it."""

    root: Message
    read_seq: int
    """How far one has read it, in private too."""
    unread_count: int
    """Replies above that, without one's own and those that are deleted; at most 100."""


class Threads(msgspec.Struct, frozen=True):
    """A page of threads."""

    items: list[Thread]
    next_cursor: str | None


async def list_threads(call: SignedCall[PageThreads]) -> Response:
    """The threads of a conversation that one may see, the one with the newest reply first."""
    conversation_id, user_id = ConversationId(call.path_id("conversation_id")), call.identity.user_id
    store, asked = call.api.store, call.asked
    after = _parse_cursor(asked.cursor)
    conversation = (await store.conversations.find([conversation_id])).get(conversation_id)
    member = await store.conversations.member(conversation_id, user_id)
    if conversation is None or member is None or not member.current:
        raise Problem("not_member")
    roots = await store.messages.threads(conversation_id, after, asked.limit)
    cursor = _cursor(roots[-1]) if len(roots) == asked.limit else None
    seen = [root for root in roots if root.seq > hidden_seq(conversation, member) and root.reply_count]
    marks = await store.marks.threads([Key(conversation_id, user_id, root.message_id) for root in seen])
    by_root = {key.thread_root_id: mark for key, mark in marks.items()}
    items = await asyncio.gather(
        *(_thread(call, conversation, root, by_root.get(root.message_id), user_id) for root in seen)
    )
    return answer(Threads(items, cursor))


async def _thread(
    call: SignedCall[PageThreads],
    conversation: StoredConversation,
    root: StoredMessage,
    mark: StoredMark | None,
    user_id: UserId,
) -> Thread:
    read_seq = max(mark.read_seq, mark.private_read_seq) if mark else 0
    count, after = 0, read_seq
    while count < UNREAD_CAP:
        replies = await call.api.store.messages.thread(
            root, before_seq=None, after_seq=after, last_seq=conversation.last_seq, limit=UNREAD_CAP
        )
        count += sum(reply.sender_id != user_id and not reply.gone for reply in replies)
        if len(replies) < UNREAD_CAP:
            break
        after = replies[-1].seq
    return Thread(root=as_message(root), read_seq=read_seq, unread_count=min(count, UNREAD_CAP))


def _cursor(root: StoredMessage) -> str:
    return f"{root.last_reply_ms}-{root.seq}"


def _parse_cursor(text: str | None) -> ThreadPlace | None:
    if text is None:
        return None
    parts = text.split("-")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and len(part) <= 16 for part in parts):
        raise Problem("bad_request", "cursor is not one of an earlier page")
    place = ThreadPlace(*map(int, parts))
    if max(place) > MAX_SAFE_INTEGER:
        raise Problem("bad_request", "cursor is not one of an earlier page")
    return place


OPERATIONS = [
    signed_in(
        "GET",
        "/api/conversations/{conversation_id}/threads",
        list_threads,
        asks=PageThreads,
        answers={200: Threads},
        needs="messages:read",
    )
]
