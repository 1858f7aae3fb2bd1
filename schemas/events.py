"""Arrow 3: facts on an event stream, and their bytes in user logs.

An event is a small header, for fanout, and a body that is encoded once, by persist, and written unchanged to every
log, doorbell and socket. The body is the tail of a server frame: a gateway puts `{"type":"event","position":"…",` before it.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from schemas.entities import Blocking, Conversation, MemberChanged, Message
from schemas.errors import ErrorBody
from schemas.ids import ClientOpId, ConversationId, UserId

EventName = Literal[
    "message.created",
    "message.edited",
    "message.deleted",
    "message.pinned",
    "message.unpinned",
    "message.rejected",
    "message.voided",
    "reaction.added",
    "reaction.removed",
    "thread.updated",
    "attachment.updated",
    "conversation.created",
    "conversation.updated",
    "member.joined",
    "member.left",
    "member.role_changed",
    "operation.rejected",
    "block.updated",
    "receipt.updated",
]


class EventHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who gets an event: a function of the event alone, whoever computes it and when (hole B9).

    With `to`, those users alone. Else the members whose span holds `rev` and who may see the message `seq`, if it is of one; and
    `about`, the member it is about.
    """

    event: EventName
    event_id: str
    conversation_id: ConversationId
    rev: int
    at_ms: int
    """When its intent was taken, for the delivery histogram."""
    to: tuple[UserId, ...] = ()
    about: UserId | None = None
    seq: int | None = None


class Event(msgspec.Struct, frozen=True):
    """An event as it travels: header for routing, body for clients."""

    header: EventHeader
    body: bytes


class Rejection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of `message.rejected` and `operation.rejected`: which request, and why."""

    conversation_id: ConversationId
    error: ErrorBody
    client_msg_id: str | None = None
    client_op_id: str | None = None


class Voided(msgspec.Struct, frozen=True):
    """The data of `message.voided`: this number holds no message (hole D2)."""

    conversation_id: ConversationId
    seq: int
    rev: int


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of `receipt.updated`: how far somebody has received and read, in absolute numbers: later ones only rise (hole C11).

    `private_read_seq` is in what their own devices alone are told.
    """

    conversation_id: ConversationId
    user_id: UserId
    delivered_seq: int
    read_seq: int
    thread_root_id: str | msgspec.UnsetType = msgspec.UNSET
    private_read_seq: int | msgspec.UnsetType = msgspec.UNSET


EventData = Message | Conversation | MemberChanged | Blocking | Rejection | Voided | Receipt

_encoder = msgspec.json.Encoder()
_header_decoder = msgspec.json.Decoder(EventHeader)


class _Body(msgspec.Struct, frozen=True):
    event: EventName
    event_id: str
    ts: str
    data: EventData
    actor_id: UserId | UnsetType = UNSET
    client_op_id: ClientOpId | UnsetType = UNSET


def make_event(
    header: EventHeader,
    data: EventData,
    ts: str,
    *,
    actor_id: UserId | UnsetType = UNSET,
    client_op_id: ClientOpId | UnsetType = UNSET,
) -> Event:
    """Encode an event's body; `ts` is RFC 3339. Of a change: whose it was, and the id that they gave it."""
    body = _Body(header.event, header.event_id, ts, data, actor_id, client_op_id)
    return Event(header, _encoder.encode(body)[1:])


def encode_header(header: EventHeader) -> bytes:
    """The bytes of a stream entry's header field."""
    return _encoder.encode(header)


def decode_header(raw: bytes) -> EventHeader:
    """Read what `encode_header` wrote.

    Raises:
        ValueError: it is not an event header of this version; such an entry is dead-lettered.
    """
    try:
        return _header_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as failure:
        raise ValueError(f"not an event: {failure}") from None


def event_id_of(conversation_id: ConversationId, rev: int) -> str:
    """The id of a change's event: emitted again after a crash it is the same, so clients drop it."""
    return f"{conversation_id}.{rev}"


class Answered(msgspec.Struct, frozen=True):
    """What a waiting REST call hears: the event that its intent made."""

    intent_id: str
    event: EventName
    data: msgspec.Raw


class _AnswerBody(msgspec.Struct, frozen=True):
    event: EventName
    data: msgspec.Raw


_answer_decoder = msgspec.json.Decoder(_AnswerBody)


def make_answer(intent_id: str, event: Event) -> bytes:
    """The payload on a gateway's channel, at most once, after `settle`: `<intent id> <event body>` (hole C2)."""
    return b"%s %s" % (intent_id.encode(), event.body)


def parse_answer(payload: bytes) -> Answered:
    """Read what `make_answer` wrote.

    Raises:
        ValueError: it is not an answer.
    """
    intent_id, _, body = payload.partition(b" ")
    try:
        answer = _answer_decoder.decode(b"{" + body)
    except (msgspec.DecodeError, UnicodeError) as failure:
        raise ValueError(f"not an answer: {failure}") from None
    return Answered(intent_id.decode(), answer.event, answer.data)
