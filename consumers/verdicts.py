"""What persist's outcomes look like as events: to everybody, or to one sender. Pure."""

from typing import Any

import msgspec

from backplane.store.conversations import as_conversation
from backplane.store.messages import StoredMessage, as_message
from consumers.decide import Created, Outcome, Rejected, Repeated, Stored
from consumers.ledger import State
from schemas.entities import rfc3339
from schemas.errors import error
from schemas.events import Event, EventHeader, Rejection, Voided, event_id_of, make_event
from schemas.ids import ConversationId, UserId
from schemas.intents import Intent, SendMessage


def event_of(outcome: Outcome, intent: Intent, state: State | None, now_ms: int) -> Event:
    """The event that an intent came to; `state` is its conversation's, None if it does not exist."""
    match outcome:
        case Stored(message):
            return message_created(message, intent.at_ms, now_ms)
        case Repeated(StoredMessage() as message):
            return message_created(message, intent.at_ms, now_ms, again_to=intent.actor_id)
        case Rejected(code):
            return rejection(intent, code, now_ms)
        case Created():
            return _conversation_created(intent, state, now_ms, fresh=not outcome.again)
        case Repeated():
            return _conversation_created(intent, state, now_ms, again_to=intent.actor_id)


def message_created(message: StoredMessage, at_ms: int, now_ms: int, *, again_to: UserId | None = None) -> Event:
    """A message for everybody in it, or for the one who sent it twice, as it is stored now."""
    header = EventHeader(
        event="message.created",
        event_id=event_id_of(message.conversation_id, message.rev),
        conversation_id=message.conversation_id,
        rev=message.rev,
        at_ms=at_ms,
        to=again_to,
    )
    data = as_message(message)
    if again_to is not None:
        data = msgspec.structs.replace(data, duplicate=True)
    return make_event(header, data, rfc3339(now_ms))


def message_voided(void: StoredMessage, now_ms: int) -> Event:
    """A number that holds no message (hole D2)."""
    header = EventHeader(
        event="message.voided",
        event_id=event_id_of(void.conversation_id, void.rev),
        conversation_id=void.conversation_id,
        rev=void.rev,
        at_ms=now_ms,
    )
    return make_event(header, Voided(void.conversation_id, void.seq, void.rev), rfc3339(now_ms))


def rejection(intent: Intent, code: str, now_ms: int) -> Event:
    """A refusal, for its sender alone."""
    key = intent.client_msg_id if isinstance(intent, SendMessage) else None
    return _refusal(
        intent.intent_id,
        intent.conversation_id,
        intent.actor_id,
        client_msg_id=key,
        code=code,
        at_ms=intent.at_ms,
        now_ms=now_ms,
    )


def salvaged_rejection(raw: bytes, now_ms: int) -> Event | None:
    """A refusal of what is no intent of ours, if it still shows whose it was: they would wait for an answer for ever (hole A10)."""
    try:
        salvaged = _salvager.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not (isinstance(salvaged.actor_id, str) and isinstance(salvaged.conversation_id, str)):
        return None
    intent_id = salvaged.intent_id if isinstance(salvaged.intent_id, str) else ""
    key = salvaged.client_msg_id if isinstance(salvaged.client_msg_id, str) else None
    conversation_id, actor_id = ConversationId(salvaged.conversation_id), UserId(salvaged.actor_id)
    return _refusal(
        intent_id,
        conversation_id,
        actor_id,
        client_msg_id=key,
        code="internal_error",
        at_ms=now_ms,
        now_ms=now_ms,
    )


def _refusal(
    intent_id: str,
    conversation_id: ConversationId,
    actor_id: UserId,
    *,
    client_msg_id: str | None,
    code: str,
    at_ms: int,
    now_ms: int,
) -> Event:
    header = EventHeader(
        event="operation.rejected" if client_msg_id is None else "message.rejected",
        event_id=intent_id,
        conversation_id=conversation_id,
        rev=0,
        at_ms=at_ms,
        to=actor_id,
    )
    return make_event(header, Rejection(conversation_id, error(code), client_msg_id=client_msg_id), rfc3339(now_ms))


def _conversation_created(
    intent: Intent, state: State | None, now_ms: int, *, fresh: bool = False, again_to: UserId | None = None
) -> Event:
    assert state is not None  # noqa: S101 - `decide` answers Created and Repeated only for a conversation with a state
    header = EventHeader(
        event="conversation.created",
        event_id=event_id_of(intent.conversation_id, 1),
        conversation_id=intent.conversation_id,
        rev=1,
        at_ms=intent.at_ms,
        to=again_to,
    )
    stored = state.conversation
    if not fresh:
        stored = msgspec.structs.replace(stored, rev=state.rev, last_seq=state.seq)
    data = as_conversation(stored, list(state.members.values()))
    if again_to is not None:
        data = msgspec.structs.replace(data, duplicate=True)
    return make_event(header, data, rfc3339(now_ms))


class _Salvaged(msgspec.Struct):
    intent_id: Any = None
    conversation_id: Any = None
    actor_id: Any = None
    client_msg_id: Any = None


_salvager = msgspec.json.Decoder(_Salvaged)
