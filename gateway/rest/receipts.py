"""Receipts: say how far one has read, and ask who has received and read a message.

What everybody is told in small conversations (`receipt.updated`) is asked for here in large ones.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

import msgspec
from starlette.responses import Response

from backplane.store.conversations import StoredMember, hidden_seq
from backplane.store.marks import Levels, StoredMark
from backplane.store.messages import StoredMessage
from gateway.intake import Refused, receipt_mark
from gateway.problems import Problem
from gateway.rest.mutations import Accepted, submit_mark
from gateway.rest.operations import Limit, Nothing, SignedCall, answer, signed_in
from schemas import client_frames
from schemas.client_frames import UuidText
from schemas.entities import ThreadMark
from schemas.events import Receipt
from schemas.ids import MAX_SAFE_INTEGER, ConversationId, MessageId, UserId


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the socket's `receipt`."""

    read_seq: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)]
    thread_root_id: UuidText | None = None
    private: bool = False


class PageReceipts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of the people who have received a message."""

    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    limit: Annotated[int, Limit] = 50


class Reader(msgspec.Struct, frozen=True):
    """Somebody who has received a message, and perhaps read it."""

    user_id: UserId
    read: bool


class MessageReceipts(msgspec.Struct, frozen=True):
    """How many of the others in the conversation have received and read a message, and a page of who they are."""

    message_id: MessageId
    delivered_count: int
    read_count: int
    items: list[Reader]
    next_cursor: str | None


async def read_conversation(call: SignedCall[Read]) -> Response:
    """Say how far one has read: 200 with the levels once they are stored, 202 if that takes longer than 5 s."""
    conversation_id = call.path_id("conversation_id")
    asked = call.asked
    frame = client_frames.Receipt(
        conversation_id=conversation_id,
        read_seq=asked.read_seq,
        thread_root_id=asked.thread_root_id,
        private=asked.private,
    )
    try:
        mark = receipt_mark(call.identity.user_id, frame, answer=call.api.answers.channel)
    except Refused as refused:
        raise Problem.of(refused.error) from None
    data = await submit_mark(call.api, mark)
    if data is None:
        return answer(Accepted(mark.conversation_id), 202)
    return answer(msgspec.json.decode(data, type=Receipt))


async def message_receipts(call: SignedCall[PageReceipts]) -> Response:
    """Who has received and read a message of a conversation one is in."""
    message_id = MessageId(call.path_id("message_id"))
    store = call.api.store
    message = (await store.messages.find([message_id])).get(message_id)
    if message is None:
        raise Problem("not_found")
    members = [
        one
        for one in (await store.conversations.members([message.conversation_id]))[message.conversation_id]
        if one.current
    ]
    reader = next((one for one in members if one.user_id == call.identity.user_id), None)
    conversation = (await store.conversations.find([message.conversation_id])).get(message.conversation_id)
    if conversation is None or reader is None or message.seq <= hidden_seq(conversation, reader):
        raise Problem("not_found")
    threads = (
        await store.marks.of_thread(message.conversation_id, message.thread_root_id) if message.thread_root_id else []
    )
    readers = readers_of(message, members, threads)
    after = _parse_cursor(call.asked.cursor)
    page = [one for one in readers if after is None or one.user_id > after]
    items = page[: call.asked.limit]
    return answer(
        MessageReceipts(
            message_id,
            delivered_count=len(readers),
            read_count=sum(one.read for one in readers),
            items=items,
            next_cursor=_cursor(items[-1].user_id) if len(page) > len(items) else None,
        )
    )


def readers_of(message: StoredMessage, members: Sequence[StoredMember], threads: Sequence[StoredMark]) -> list[Reader]:
    """Who of the members besides the sender has received a message, by user id; what is read in its thread counts too."""
    in_thread = {mark.user_id: Levels(mark.delivered_seq, mark.read_seq) for mark in threads}
    readers: list[Reader] = []
    for member in sorted(members, key=lambda one: one.user_id):
        levels = Levels(member.delivered_seq, member.read_seq).with_(in_thread.get(member.user_id, Levels()))
        if member.user_id != message.sender_id and levels.delivered_seq >= message.seq:
            readers.append(Reader(member.user_id, levels.read_seq >= message.seq))
    return readers


async def thread_marks(call: SignedCall[Nothing], conversation_id: ConversationId) -> list[ThreadMark]:
    """One's own levels in the threads of a conversation."""
    marks = await call.api.store.marks.threads_of(conversation_id, call.identity.user_id)
    return [
        ThreadMark(
            thread_root_id=mark.thread_root_id,
            delivered_seq=mark.delivered_seq,
            read_seq=mark.read_seq,
            private_read_seq=mark.private_read_seq,
        )
        for mark in sorted(marks, key=lambda mark: mark.thread_root_id)
    ]


def _cursor(user_id: UserId) -> str:
    return base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def _parse_cursor(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return msgspec.convert(text, UuidText)
    except (binascii.Error, UnicodeError, ValueError):
        raise Problem("bad_request", "cursor is not one of an earlier page") from None


OPERATIONS = [
    signed_in(
        "POST",
        "/api/conversations/{conversation_id}/read",
        read_conversation,
        asks=Read,
        answers={200: Receipt, 202: Accepted},
        needs="messages:write",
        keyed=False,  # it only rises: a repeat is the same without a key
    ),
    signed_in(
        "GET",
        "/api/messages/{message_id}/receipts",
        message_receipts,
        asks=PageReceipts,
        answers={200: MessageReceipts},
        needs="messages:read",
    ),
]
