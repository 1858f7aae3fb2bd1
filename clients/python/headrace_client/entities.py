"""What the server tells about: messages, conversations, people. The same shapes in events and in REST answers.

Unknown fields are ignored, missing ones have defaults: the wire grows by addition.
"""

from collections.abc import Iterator

import msgspec


class Content(msgspec.Struct, frozen=True):
    """What a message says."""

    text: str


class Thumbnail(msgspec.Struct, frozen=True):
    """A small picture of an image; in pixels."""

    width: int = 0
    height: int = 0


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file; it can be loaded once `status` is `clean`. Before that it is `uploading` or `pending`; all else refuses it.

    `size` is in bytes; `reason` says in a code why a file was refused; `width` and `height`, in pixels, are of images.
    """

    attachment_id: str
    name: str = ""
    content_type: str = ""
    size: int = 0
    status: str = "pending"
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    thumbnail: Thumbnail | None = None

    @property
    def judged(self) -> bool:
        """Whether it is known what may be done with it."""
        return self.status not in {"uploading", "pending"}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `seq` is its place in the conversation, `rev` tells which of two copies is newer. No content: deleted."""

    message_id: str
    conversation_id: str
    seq: int
    rev: int
    sender_id: str | None
    client_msg_id: str | None = None
    content: Content | None = None
    attachments: tuple[Attachment, ...] = ()
    reply_to: str | None = None
    thread_root_id: str | None = None
    mentions: tuple[str, ...] = ()
    reactions: dict[str, tuple[str, ...]] = {}
    created_at: str = ""
    edited_at: str | None = None
    deleted_at: str | None = None
    pinned_at: str | None = None
    pinned_by: str | None = None
    reply_count: int = 0
    last_reply_at: str | None = None
    duplicate: bool = False

    @property
    def text(self) -> str:
        """Its text; empty if it was deleted."""
        return self.content.text if self.content else ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a conversation, and how far they have received and read."""

    user_id: str
    role: str = "member"
    rev: int = 0
    joined_rev: int = 0
    delivered_seq: int = 0
    read_seq: int = 0


class ThreadMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far we have received and read one thread."""

    thread_root_id: str
    delivered_seq: int = 0
    read_seq: int = 0
    private_read_seq: int = 0


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """How far somebody has received and read a conversation, or one thread of it. Numbers only rise: keep the higher of two.

    `private_read_seq` is told to our own devices alone.
    """

    conversation_id: str
    user_id: str
    delivered_seq: int = 0
    read_seq: int = 0
    thread_root_id: str | None = None
    private_read_seq: int = 0


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as one of its members sees it; `messages` (the newest, oldest first) only in a `State`."""

    conversation_id: str
    kind: str
    title: str | None = None
    history: str = "all"
    retention_days: int | None = None
    rev: int = 0
    last_seq: int = 0
    expired_seq: int = 0
    created_by: str | None = None
    created_at: str = ""
    members: tuple[Member, ...] = ()
    last_message: Message | None = None
    unread_count: int = 0
    mention_count: int = 0
    read_seq: int = 0
    muted_until: str | None | msgspec.UnsetType = msgspec.UNSET
    archived: bool | msgspec.UnsetType = msgspec.UNSET
    first_seq: int | msgspec.UnsetType = msgspec.UNSET
    private_read_seq: int = 0
    thread_marks: tuple[ThreadMark, ...] = ()
    messages: tuple[Message, ...] = ()


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A thread: its root, with `reply_count`, how far we have read it, and how many replies of others are above that (at most 100)."""

    root: Message
    read_seq: int = 0
    unread_count: int = 0


class MemberChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Who came, left or got another role, as they are (or were) now; `actor_id`: by whom."""

    conversation_id: str
    rev: int
    actor_id: str | None = None
    members: tuple[Member, ...] = ()


class Blocking(msgspec.Struct, frozen=True, kw_only=True):
    """Whether we hear from somebody in our direct conversation."""

    user_id: str
    blocked: bool


class Typing(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody begins or ends typing; without another word it has ended after `expires_in_ms`."""

    conversation_id: str
    user_id: str
    state: str
    expires_in_ms: int = 0
    thread_root_id: str | None = None


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody is seen: `online`, `away`, `busy` or `offline`, and when they were there last."""

    user_id: str
    status: str
    last_active_at: str | None = None


class SessionRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """Another session of one's own has ended: a device was signed out."""

    session_id: str


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A session of one's own that is open: where, and when it was seen last. `current`: the one that asks."""

    session_id: str
    device: str | None = None
    created_at: str = ""
    seen_at: str = ""
    address: str | None = None
    current: bool = False


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person."""

    user_id: str
    username: str
    display_name: str = ""
    bot: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a client needs to begin: taken at `position`, from where events go on."""

    position: str
    user: User
    blocked_user_ids: tuple[str, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    next_cursor: str | None = None


def newest_messages(state: State) -> Iterator[Message]:
    """The messages that a state brings along."""
    for conversation in state.conversations:
        yield from conversation.messages or filter(None, (conversation.last_message,))


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as the wire has it."""

    code: str
    message: str = ""
    temporary: bool = False
    retry_after_ms: int | None = None


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A request of ours that was refused after it had been accepted."""

    conversation_id: str
    error: ErrorBody
    client_msg_id: str | None = None
    client_op_id: str | None = None


class Voided(msgspec.Struct, frozen=True):
    """This number of the conversation holds no message, and never will."""

    conversation_id: str
    seq: int
    rev: int


class Unknown(msgspec.Struct, frozen=True):
    """The data of an event that this version does not know: its JSON."""

    json: bytes
