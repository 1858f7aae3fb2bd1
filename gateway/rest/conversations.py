"""Conversations: one's own list, one of them, a new one.

Creation goes through an intent like every change. The conversation's id is derived from the request (the pair, or creator and
idempotency key), so a repeat names the same document in the same partition (hole B12).
"""

import uuid
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from gateway.intake import new_intent_id
from gateway.problems import Problem
from gateway.rest.mutations import Accepted, submit
from gateway.rest.operations import Limit, Nothing, SignedCall, answer, signed_in
from gateway.rest.receipts import thread_marks
from schemas.client_frames import UuidText
from schemas.entities import Conversation
from schemas.ids import ConversationId, UserId, direct_conversation_id, group_conversation_id
from schemas.intents import CreateConversation, body_hash
from schemas.text import clean_name

Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ListConversations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of one's conversations."""

    cursor: Cursor | None = None
    limit: Annotated[int, Limit] = 50


class NewConversation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to talk to; the creator need not be named."""

    kind: Literal["direct", "group"]
    member_ids: Annotated[tuple[UuidText, ...], msgspec.Meta(max_length=1000)]
    title: str | None = None


class Conversations(msgspec.Struct, frozen=True):
    """A page of conversations."""

    items: list[Conversation]
    next_cursor: str | None


async def list_conversations(call: SignedCall[ListConversations]) -> Response:
    """One's conversations with last message, unread count and members' marks."""
    try:
        items, cursor = await call.api.store.lists.of_user(
            call.identity.user_id, after=call.asked.cursor, limit=call.asked.limit
        )
    except ValueError:
        raise Problem("bad_request", "cursor is not one of an earlier page") from None
    return answer(Conversations(items, cursor))


async def get_conversation(call: SignedCall[Nothing]) -> Response:
    """One of one's conversations."""
    conversation_id = ConversationId(call.path_id("conversation_id"))
    conversation = await call.api.store.lists.one_of_user(conversation_id, call.identity.user_id)
    if conversation is None:
        raise Problem("not_found")
    return answer(msgspec.structs.replace(conversation, thread_marks=await thread_marks(call, conversation_id)))


async def create_conversation(call: SignedCall[NewConversation]) -> Response:
    """Open a direct or group conversation; the same request again returns the same one."""
    intent = await _intent(call)
    created = await submit(call.api, intent)
    conversation = await call.api.store.lists.one_of_user(intent.conversation_id, call.identity.user_id)
    if conversation is None:
        return answer(Accepted(intent.conversation_id), 202)
    if created is not None:
        repeated = msgspec.json.decode(created, type=Conversation).duplicate is True
    else:  # nobody told us; the document says whose intent made it
        stored = (await call.api.store.conversations.find([intent.conversation_id]))[intent.conversation_id]
        if intent.kind == "group" and stored.body_hash != body_hash(intent):
            raise Problem("idempotency_conflict")
        repeated = stored.intent_id != intent.intent_id
    return answer(conversation, 200 if repeated else 201)


async def _intent(call: SignedCall[NewConversation]) -> CreateConversation:
    """The request as an intent, with members who exist.

    Raises:
        Problem: `bad_request`, `member_limit` or `unknown_user`.
    """
    me, asked, key = call.identity.user_id, call.asked, call.idempotency_key()
    others = [UserId(one) for one in dict.fromkeys(asked.member_ids) if one != me]
    if asked.kind == "direct" and (len(others) != 1 or asked.title is not None):
        raise Problem("bad_request", "A direct conversation is with exactly one other person and has no title.")
    limit = call.api.settings.member_limit
    if len(others) + 1 > limit:
        raise Problem("member_limit", f"A conversation has at most {limit} members.")
    try:
        title = clean_name(asked.title) if asked.title is not None else None
    except ValueError as failure:
        raise Problem("bad_request", f"title: {failure}") from None
    known = await call.api.store.users.present([me, *others])
    if me not in known or known[me].disabled:
        raise Problem("account_disabled")
    if missing := [one for one in others if one not in known]:
        raise Problem("unknown_user", f"There is no user {missing[0]}.")
    if asked.kind == "direct":
        conversation_id = direct_conversation_id(me, others[0])
    else:
        conversation_id = group_conversation_id(me, key or str(uuid.uuid4()))
    return CreateConversation(
        intent_id=new_intent_id(),
        conversation_id=conversation_id,
        actor_id=me,
        kind=asked.kind,
        member_ids=(me, *others),
        at_ms=call.now_ms,
        title=title,
        answer=call.api.answers.channel,
    )


OPERATIONS = [
    signed_in(
        "GET",
        "/api/conversations",
        list_conversations,
        asks=ListConversations,
        answers={200: Conversations},
        needs="conversations:read",
    ),
    signed_in(
        "POST",
        "/api/conversations",
        create_conversation,
        asks=NewConversation,
        answers={201: Conversation, 200: Conversation, 202: Accepted},
        needs="conversations:write",
    ),
    signed_in(
        "GET",
        "/api/conversations/{conversation_id}",
        get_conversation,
        asks=Nothing,
        answers={200: Conversation},
        needs="conversations:read",
    ),
]
