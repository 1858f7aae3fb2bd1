"""What a client sees of each thing, the same in events and in REST answers.

A client applies an entity only if its `rev` is newer than what it holds (design §3, “Numbers”).
"""

from datetime import UTC, datetime

import msgspec

from schemas.attachments import Attachment
from schemas.ids import ClientMsgId, ConversationId, MessageId, UserId
from schemas.intents import History
from schemas.roles import Role


class MessageContent(msgspec.Struct, frozen=True):
    """What a message says."""

    text: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message; timestamps are RFC 3339 in UTC with milliseconds. A void or deleted one has no content."""

    message_id: MessageId
    conversation_id: ConversationId
    seq: int
    rev: int
    sender_id: UserId | None
    client_msg_id: ClientMsgId
    content: MessageContent | None
    attachments: list[Attachment] = []
    reply_to: str | None = None
    thread_root_id: str | None = None
    mentions: list[UserId] = []
    reactions: dict[str, list[UserId]] = {}
    created_at: str
    edited_at: str | None = None
    deleted_at: str | None = None
    pinned_at: str | None = None
    pinned_by: UserId | None = None
    reply_count: int = 0
    """Of a thread's root: replies that are not deleted."""
    last_reply_at: str | None = None
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a conversation; `rev` is that of their newest coming, going or change of role."""

    user_id: UserId
    role: Role
    rev: int
    joined_rev: int
    delivered_seq: int = 0
    read_seq: int = 0


class ThreadMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far somebody has received and read one thread of a conversation."""

    thread_root_id: str
    delivered_seq: int = 0
    read_seq: int = 0
    private_read_seq: int = 0


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as one of its members sees it.

    `rev` is the newest change of anything in it. What may be unset is that member's own, in REST answers and in events for them alone.
    """

    conversation_id: ConversationId
    kind: str
    title: str | None
    history: History = "all"
    retention_days: int | None = None
    """How long messages are kept in it; None: as long as in every other."""
    rev: int
    last_seq: int
    expired_seq: int = 0
    """Up to here messages were older than they are kept, and are gone; it only rises."""
    created_by: UserId
    created_at: str
    members: list[Member]
    last_message: Message | None | msgspec.UnsetType = msgspec.UNSET
    unread_count: int | msgspec.UnsetType = msgspec.UNSET
    mention_count: int | msgspec.UnsetType = msgspec.UNSET
    """Unread messages that mention this member or everybody; at most 100."""
    read_seq: int | msgspec.UnsetType = msgspec.UNSET
    muted_until: str | None | msgspec.UnsetType = msgspec.UNSET
    archived: bool | msgspec.UnsetType = msgspec.UNSET
    first_seq: int | msgspec.UnsetType = msgspec.UNSET
    """The number of the oldest message that this member may see."""
    private_read_seq: int | msgspec.UnsetType = msgspec.UNSET
    thread_marks: list[ThreadMark] | msgspec.UnsetType = msgspec.UNSET
    """Only when one conversation is asked for."""
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class MemberChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `member.joined`, `member.left` and `member.role_changed`: those concerned, as they are (or were) now."""

    conversation_id: ConversationId
    rev: int
    actor_id: UserId
    members: list[Member]
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class Blocking(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `block.updated`, to one's own devices: whether one hears from somebody in a direct conversation."""

    user_id: UserId
    blocked: bool


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, as others see them."""

    user_id: UserId
    username: str
    display_name: str
    bot: bool | msgspec.UnsetType = msgspec.UNSET
    """True for a bot; absent for a person."""


def rfc3339(ms: int) -> str:
    """Milliseconds since 1970 as `2026-11-22T13:00:00.123Z`."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"
