"""Arrow 2: what a gateway appends to an intent stream. Everything in it was checked and bounded before.

`intent_id` is made once, by the gateway, and stays the same through redelivery, replay and a doubled XADD: it tells
“this very intent” from a client's later resend (design §3, “Repeats first”).
"""

import hashlib

import msgspec

from schemas.ids import ClientMsgId, ConversationId, IntentId, UserId


class SendMessage(msgspec.Struct, frozen=True, omit_defaults=True, tag="message.send"):
    """Store a message, number it, tell everybody."""

    intent_id: IntentId
    conversation_id: ConversationId
    actor_id: UserId
    client_msg_id: ClientMsgId
    text: str
    at_ms: int
    """When the gateway took it, ms since 1970: for latency figures and `created_at`, never for order."""
    reply_to: str | None = None
    thread_root_id: str | None = None
    mentions: tuple[UserId, ...] = ()
    answer: str | None = None
    """The channel of a REST call that waits for the result (hole C2)."""


class CreateConversation(msgspec.Struct, frozen=True, omit_defaults=True, tag="conversation.create"):
    """Create a conversation with its members; `conversation_id` is derived from the request, so a repeat is the same."""

    intent_id: IntentId
    conversation_id: ConversationId
    actor_id: UserId
    kind: str
    """`direct` or `group`."""
    member_ids: tuple[UserId, ...]
    """Everybody, the creator included."""
    at_ms: int
    title: str | None = None
    answer: str | None = None


Intent = SendMessage | CreateConversation

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Intent)


def encode_intent(intent: Intent) -> bytes:
    """The bytes of a stream entry's intent field."""
    return _encoder.encode(intent)


def decode_intent(raw: bytes) -> Intent:
    """Read what `encode_intent` wrote.

    Raises:
        ValueError: it is not an intent of this version; such an entry is dead-lettered.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as failure:
        raise ValueError(f"not an intent: {failure}") from None


def body_hash(intent: Intent) -> str:
    """SHA-256 over what the client asked for: the same key with another hash is `idempotency_conflict` (hole C13)."""
    match intent:
        case SendMessage():
            body = [intent.text, intent.reply_to, intent.thread_root_id, intent.mentions]
        case CreateConversation():
            body = [intent.kind, sorted(intent.member_ids), intent.title]
    return hashlib.sha256(_encoder.encode(body)).hexdigest()
