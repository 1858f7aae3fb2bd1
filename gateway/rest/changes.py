"""Changes of messages: edit, delete, react, pin."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from backplane.store.messages import as_message
from gateway.intake import Refused, change_fields, intent_of
from gateway.problems import Problem
from gateway.rest.messages import visible_message
from gateway.rest.mutations import Accepted, submit
from gateway.rest.operations import A, Nothing, SignedCall, answer, signed_in
from schemas import client_frames
from schemas.client_frames import Content, ShortText
from schemas.entities import Message
from schemas.ids import MAX_SAFE_INTEGER, ConversationId, MessageId
from schemas.intents import Intent, PinMessage


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The new text; with `expected_rev` only if nobody has changed the message meanwhile."""

    content: Content
    expected_rev: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)] | None = None


class Reaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One emoji, or a `:name:`."""

    emoji: ShortText


async def edit_message(call: SignedCall[Edit]) -> Response:
    """Give one's own message another text."""
    stored = await visible_message(call)
    return await _frame(
        call,
        client_frames.EditMessage(
            conversation_id=stored.conversation_id,
            message_id=stored.message_id,
            client_op_id=call.operation_id(),
            content=call.asked.content,
            expected_rev=call.asked.expected_rev,
        ),
    )


async def delete_message(call: SignedCall[Nothing]) -> Response:
    """Leave a tombstone where a message was."""
    stored = await visible_message(call)
    frame = client_frames.DeleteMessage(stored.conversation_id, stored.message_id, call.operation_id())
    return await _frame(call, frame)


async def add_reaction(call: SignedCall[Reaction]) -> Response:
    """React to a message."""
    stored = await visible_message(call)
    frame = client_frames.AddReaction(stored.conversation_id, stored.message_id, call.operation_id(), call.asked.emoji)
    return await _frame(call, frame)


async def remove_reaction(call: SignedCall[Nothing]) -> Response:
    """Take a reaction of one's own back."""
    stored = await visible_message(call)
    try:
        emoji = msgspec.convert(call.request.path_params["emoji"], ShortText)
    except msgspec.ValidationError as failure:
        raise Problem("bad_request", f"emoji: {failure}") from None
    frame = client_frames.RemoveReaction(stored.conversation_id, stored.message_id, call.operation_id(), emoji)
    return await _frame(call, frame)


async def pin_message(call: SignedCall[Nothing]) -> Response:
    """Pin a message for everybody."""
    return await _pin(call, pinned=True)


async def unpin_message(call: SignedCall[Nothing]) -> Response:
    """Take a pin out."""
    return await _pin(call, pinned=False)


async def _pin(call: SignedCall[Nothing], *, pinned: bool) -> Response:
    stored = await visible_message(call)
    common = change_fields(call.identity.user_id, stored.conversation_id, call.operation_id(), call.api.answers.channel)
    return await _change(call, PinMessage(**common, message_id=stored.message_id, pinned=pinned), stored.message_id)


async def _frame(call: SignedCall[A], frame: client_frames.ChangeFrame) -> Response:
    try:
        intent = intent_of(call.identity.user_id, frame, answer=call.api.answers.channel)
    except Refused as refused:
        raise Problem.of(refused.error) from None
    return await _change(call, intent, MessageId(frame.message_id))


async def _change(call: SignedCall[A], intent: Intent, message_id: MessageId) -> Response:
    """Have it made, and answer with the message as it is then; 202 if that is not known in time."""
    data = await submit(call.api, intent)
    if data is None:
        return answer(Accepted(ConversationId(intent.conversation_id), message_id), 202)
    stored = (await call.api.store.messages.find([message_id])).get(message_id)
    return answer(as_message(stored) if stored else msgspec.json.decode(data, type=Message))


_ANSWERS = {200: Message, 202: Accepted}

OPERATIONS = [
    signed_in("PUT", "/api/messages/{message_id}", edit_message, asks=Edit, answers=_ANSWERS, needs="messages:write"),
    signed_in(
        "DELETE", "/api/messages/{message_id}", delete_message, asks=Nothing, answers=_ANSWERS, needs="messages:write"
    ),
    signed_in(
        "POST",
        "/api/messages/{message_id}/reactions",
        add_reaction,
        asks=Reaction,
        answers=_ANSWERS,
        needs="messages:write",
    ),
    signed_in(
        "DELETE", "/api/messages/{message_id}/reactions/{emoji}", remove_reaction, asks=Nothing, answers=_ANSWERS
    ),
    signed_in(
        "PUT", "/api/messages/{message_id}/pin", pin_message, asks=Nothing, answers=_ANSWERS, needs="messages:write"
    ),
    signed_in(
        "DELETE",
        "/api/messages/{message_id}/pin",
        unpin_message,
        asks=Nothing,
        answers=_ANSWERS,
        needs="messages:write",
    ),
]
