"""Messages: send one, read one, page through a conversation."""

import asyncio
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from backplane.store.conversations import StoredConversation, StoredMember, hidden_seq
from backplane.store.messages import StoredMessage, as_message
from gateway.intake import Refused, message_intent
from gateway.problems import Problem
from gateway.rest.mutations import Accepted, submit
from gateway.rest.operations import A, Limit, Nothing, SignedCall, answer, signed_in, uuid_of
from schemas import client_frames
from schemas.client_frames import MAX_ATTACHMENTS, MAX_MENTIONS, Content, Mention, UuidText
from schemas.entities import Message
from schemas.ids import MAX_SAFE_INTEGER, ConversationId, MessageId, message_id_of
from schemas.intents import SendMessage, body_hash

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
Edge = Literal["before_seq", "after_seq", "since_rev"]


class NewMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the socket's `message.send`; an `Idempotency-Key` header may stand for `client_msg_id`."""

    conversation_id: UuidText
    content: Content
    client_msg_id: UuidText | None = None
    attachments: Annotated[tuple[UuidText, ...], msgspec.Meta(max_length=MAX_ATTACHMENTS)] = ()
    reply_to: UuidText | None = None
    thread_root_id: UuidText | None = None
    mentions: Annotated[tuple[Mention, ...], msgspec.Meta(max_length=MAX_MENTIONS)] = ()


class PageMessages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page begins: at most one of the first four; without any, the newest messages. `cursor` is an earlier page's."""

    before_seq: Number | None = None
    after_seq: Number | None = None
    since_rev: Number | None = None
    cursor: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    thread_root_id: UuidText | None = None
    limit: Annotated[int, Limit] = 50


class Messages(msgspec.Struct, frozen=True):
    """A page of messages, ascending."""

    items: list[Message]
    next_cursor: str | None


async def send_message(call: SignedCall[NewMessage]) -> Response:
    """Send a message: 201 once it is stored, 200 for a repeat, 202 if it is taken and not stored within 5 s."""
    intent = _intent(call)
    message_id = message_id_of(intent.conversation_id, intent.actor_id, intent.client_msg_id)
    data = await submit(call.api, intent)
    if data is not None:
        message = msgspec.json.decode(data, type=Message)
        return answer(message, 200 if message.duplicate is True else 201)
    stored = (await call.api.store.messages.find([message_id])).get(message_id)
    if stored is None:
        return answer(Accepted(intent.conversation_id, message_id, intent.client_msg_id), 202)
    if not stored.repeats(body_hash(intent)):
        raise Problem("idempotency_conflict")
    return answer(as_message(stored), 201 if stored.intent_id == intent.intent_id else 200)


async def get_message(call: SignedCall[Nothing]) -> Response:
    """One message that one may see."""
    return answer(as_message(await visible_message(call)))


async def visible_message(call: SignedCall[A]) -> StoredMessage:
    """The message in the path.

    Raises:
        Problem: `not_found`, also if there is one that is not for this person to see.
    """
    message_id = MessageId(call.path_id("message_id"))
    stored = (await call.api.store.messages.find([message_id])).get(message_id)
    hidden = await _hidden_seq(call, stored.conversation_id) if stored else None
    if stored is None or hidden is None or stored.seq <= hidden:
        raise Problem("not_found")
    return stored


async def page_messages(call: SignedCall[PageMessages]) -> Response:
    """A page of a conversation's messages: older, newer, or changed since a revision."""
    conversation_id = ConversationId(call.path_id("conversation_id"))
    edge, number = _edge(call.asked)
    # The counters before the messages: what is numbered above them is still being written, and an event will bring it (hole C7).
    conversation = (await call.api.store.conversations.find([conversation_id])).get(conversation_id)
    member = await _member(call, conversation_id)
    if conversation is None or member is None:
        raise Problem("not_member")
    if call.asked.thread_root_id is not None:
        return await _page_thread(call, conversation, member, edge, number)
    page = await call.api.store.messages.page(
        conversation_id,
        first_seq=hidden_seq(conversation, member),
        before_seq=number if edge == "before_seq" else None,
        after_seq=number if edge == "after_seq" else None,
        since_rev=number if edge == "since_rev" else None,
        last_seq=conversation.last_seq,
        rev=conversation.rev,
        limit=call.asked.limit,
    )
    return answer(Messages([as_message(one) for one in page], _next(edge, page, call.asked.limit)))


async def _page_thread(
    call: SignedCall[PageMessages],
    conversation: StoredConversation,
    member: StoredMember,
    edge: Edge | None,
    number: int,
) -> Response:
    if edge == "since_rev":
        raise Problem("bad_request", "A thread is paged by before_seq or after_seq.")
    root_id = MessageId(call.asked.thread_root_id or "")
    root = (await call.api.store.messages.find([root_id])).get(root_id)
    if (
        root is None
        or root.conversation_id != conversation.conversation_id
        or root.seq <= hidden_seq(conversation, member)
    ):
        raise Problem("not_found")
    page = await call.api.store.messages.thread(
        root,
        before_seq=number if edge == "before_seq" else None,
        after_seq=number if edge == "after_seq" else None,
        last_seq=conversation.last_seq,
        limit=call.asked.limit,
    )
    return answer(Messages([as_message(one) for one in page], _next(edge, page, call.asked.limit)))


async def pinned_messages(call: SignedCall[Nothing]) -> Response:
    """What is pinned in a conversation, by number."""
    conversation_id = ConversationId(call.path_id("conversation_id"))
    hidden = await _hidden_seq(call, conversation_id)
    if hidden is None:
        raise Problem("not_member")
    pinned = await call.api.store.messages.pinned(conversation_id)
    return answer(Messages([as_message(one) for one in pinned if one.seq > hidden], None))


def _intent(call: SignedCall[NewMessage]) -> SendMessage:
    """The request as an intent, by the socket's own rules.

    Raises:
        Problem: `bad_request` or `unsupported`.
    """
    asked = call.asked
    frame = client_frames.SendMessage(
        conversation_id=asked.conversation_id,
        client_msg_id=_client_msg_id(call),
        content=asked.content,
        attachments=asked.attachments,
        reply_to=asked.reply_to,
        thread_root_id=asked.thread_root_id,
        mentions=asked.mentions,
    )
    try:
        return message_intent(call.identity.user_id, frame, answer=call.api.answers.channel)
    except Refused as refused:
        raise Problem.of(refused.error) from None


def _client_msg_id(call: SignedCall[NewMessage]) -> str:
    """The key of the message: without one, a repeat after a time-out would be a second message."""
    given, key = call.asked.client_msg_id, call.idempotency_key()
    if key is not None:
        key = uuid_of(key, call.identity.user_id)
    if given is None and key is None:
        raise Problem(
            "bad_request", "Give `client_msg_id` (a UUID) or an Idempotency-Key, and the same again when you repeat."
        )
    if given is not None and key is not None and given != key:
        raise Problem("bad_request", "`client_msg_id` and Idempotency-Key differ; give one of them.")
    return given or key or ""


def _edge(asked: PageMessages) -> tuple[Edge | None, int]:
    """Where the page begins; (None, 0) for the newest.

    Raises:
        Problem: `bad_request`.
    """
    given: list[tuple[Edge, int]] = []
    if asked.before_seq is not None:
        given.append(("before_seq", asked.before_seq))
    if asked.after_seq is not None:
        given.append(("after_seq", asked.after_seq))
    if asked.since_rev is not None:
        given.append(("since_rev", asked.since_rev))
    if asked.cursor is not None:
        given.append(_parse_cursor(asked.cursor))
    if len(given) > 1:
        raise Problem("bad_request", "Give one of before_seq, after_seq, since_rev, cursor.")
    return given[0] if given else (None, 0)


def _parse_cursor(cursor: str) -> tuple[Edge, int]:
    name, _, digits = cursor.partition("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 16):
        raise Problem("bad_request", "cursor is not one of an earlier page")
    try:
        return msgspec.convert((name, int(digits)), tuple[Edge, Number])
    except msgspec.ValidationError:
        raise Problem("bad_request", "cursor is not one of an earlier page") from None


def _next(edge: Edge | None, page: list[StoredMessage], limit: int) -> str | None:
    if len(page) < limit:
        return None
    match edge:
        case "after_seq":
            return f"after_seq-{page[-1].seq}"
        case "since_rev":
            return f"since_rev-{page[-1].rev}"
        case _:
            return f"before_seq-{page[0].seq}" if page[0].seq > 1 else None


async def _hidden_seq(call: SignedCall[A], conversation_id: ConversationId) -> int | None:
    """Up to here nothing is the caller's to see; None, if they are no member."""
    found, member = await asyncio.gather(
        call.api.store.conversations.find([conversation_id]), _member(call, conversation_id)
    )
    conversation = found.get(conversation_id)
    return hidden_seq(conversation, member) if conversation and member else None


async def _member(call: SignedCall[A], conversation_id: ConversationId) -> StoredMember | None:
    member = await call.api.store.conversations.member(conversation_id, call.identity.user_id)
    return member if member is not None and member.current else None


OPERATIONS = [
    signed_in(
        "POST",
        "/api/messages",
        send_message,
        asks=NewMessage,
        answers={201: Message, 200: Message, 202: Accepted},
        needs="messages:write",
    ),
    signed_in(
        "GET", "/api/messages/{message_id}", get_message, asks=Nothing, answers={200: Message}, needs="messages:read"
    ),
    signed_in(
        "GET",
        "/api/conversations/{conversation_id}/messages",
        page_messages,
        asks=PageMessages,
        answers={200: Messages},
        needs="messages:read",
    ),
    signed_in(
        "GET",
        "/api/conversations/{conversation_id}/pins",
        pinned_messages,
        asks=Nothing,
        answers={200: Messages},
        needs="messages:read",
    ),
]
