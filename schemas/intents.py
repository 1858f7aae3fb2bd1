"""Arrow 2: what a gateway appends to an intent stream. Everything in it was checked and bounded before.

`intent_id` is made once, by the gateway, and stays the same through redelivery, replay and a doubled XADD: it tells
“this very intent” from a client's later resend (design §3, “Repeats first”).
"""

import hashlib
from typing import Literal

import msgspec

from schemas.attachments import Carried
from schemas.ids import AttachmentId, ClientMsgId, ClientOpId, ConversationId, IntentId, MessageId, UserId
from schemas.roles import Role

History = Literal["all", "joined"]
"""What a new member sees: everything, or what is said from their joining on."""


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
    attachments: tuple[AttachmentId, ...] = ()
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


class _Change(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Change something that is there; `client_op_id` makes every repeat of it the same change (hole B7)."""

    intent_id: IntentId
    conversation_id: ConversationId
    actor_id: UserId
    client_op_id: ClientOpId
    at_ms: int
    answer: str | None = None


class EditMessage(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="message.edit"):
    """Give one's own message another text."""

    message_id: MessageId
    text: str
    expected_rev: int | None = None


class DeleteMessage(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="message.delete"):
    """Leave a tombstone where a message was."""

    message_id: MessageId


class AddReaction(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="reaction.add"):
    """React to a message."""

    message_id: MessageId
    emoji: str


class RemoveReaction(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="reaction.remove"):
    """Take a reaction of one's own back; the system takes anybody's: `user_id`."""

    message_id: MessageId
    emoji: str
    user_id: UserId | None = None


class PinMessage(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="message.pin"):
    """Pin a message for everybody, or take the pin out."""

    message_id: MessageId
    pinned: bool


class SetAttachment(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="attachment.set"):
    """Show in a message what is known of an attachment by now. The system's alone (hole C12)."""

    message_id: MessageId
    carried: Carried


class UpdateConversation(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="conversation.update"):
    """Change title or settings; what is not given stays."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    history: History | msgspec.UnsetType = msgspec.UNSET
    retention_days: int | msgspec.UnsetType = msgspec.UNSET
    """0: for as long as the deployment keeps messages."""


class AddMembers(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="member.add"):
    """Bring people into a group."""

    user_ids: tuple[UserId, ...]


class RemoveMember(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="member.remove"):
    """Put somebody out of a group, or leave it oneself."""

    user_id: UserId


class ChangeRole(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="member.role"):
    """Give somebody another role; to give `owner` away is to become an admin oneself."""

    user_id: UserId
    role: Role


class ChangeMine(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="member.mine"):
    """Change what a conversation is to oneself alone; what is not given stays."""

    muted_until_ms: int | msgspec.UnsetType = msgspec.UNSET
    archived: bool | msgspec.UnsetType = msgspec.UNSET
    cleared: bool = False
    """Delete what was said so far, for oneself."""


class SetBlock(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="user.block"):
    """Block the other person of a direct conversation, or no longer. The conversation need not exist."""

    user_id: UserId
    blocked: bool


class ExpireMessages(_Change, frozen=True, omit_defaults=True, kw_only=True, tag="message.expire"):
    """Take what is older than a conversation keeps out of it: of the messages above `after_seq`, up to `up_to_seq`. The system's alone."""

    after_seq: int
    up_to_seq: int


MessageChange = EditMessage | DeleteMessage | AddReaction | RemoveReaction | PinMessage | SetAttachment
MemberChange = AddMembers | RemoveMember | ChangeRole | ChangeMine
Change = MessageChange | MemberChange | UpdateConversation | SetBlock | ExpireMessages
Intent = SendMessage | CreateConversation | Change

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
            files = [intent.attachments] if intent.attachments else []  # the hash of what has none stays as it was
            body = [intent.text, intent.reply_to, intent.thread_root_id, intent.mentions, *files]
        case CreateConversation():
            body = [intent.kind, sorted(intent.member_ids), intent.title]
        case _:
            body = msgspec.structs.replace(intent, intent_id=IntentId(""), at_ms=0, answer=None)
    return hashlib.sha256(_encoder.encode(body)).hexdigest()
