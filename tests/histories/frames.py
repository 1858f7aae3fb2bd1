"""What a client reads from the wire, decoded here anew: the server's own types would hide a mistake in them."""

import msgspec

from tests.histories import records
from tests.histories.records import Text


class Content(msgspec.Struct):
    text: str


class Message(msgspec.Struct):
    """A message in an event or a REST answer."""

    message_id: str
    conversation_id: str
    seq: int
    rev: int
    sender_id: str | None
    client_msg_id: str
    content: Content | None
    reactions: dict[str, list[str]] = {}
    deleted_at: str | None = None
    pinned_at: str | None = None
    duplicate: bool = False

    def as_text(self) -> Text:
        """What the history keeps of it."""
        return Text(
            message_id=self.message_id,
            conversation_id=self.conversation_id,
            seq=self.seq,
            rev=self.rev,
            sender_id=self.sender_id,
            client_msg_id=self.client_msg_id,
            text=self.content.text if self.content else None,
            deleted=self.deleted_at is not None,
            pinned=self.pinned_at is not None,
            reactions=self.reactions,
        )


class Member(msgspec.Struct):
    user_id: str
    role: str
    rev: int
    delivered_seq: int = 0
    read_seq: int = 0

    def as_record(self) -> records.Member:
        """What the history keeps of it."""
        return records.Member(
            user=self.user_id,
            role=self.role,
            rev=self.rev,
            delivered_seq=self.delivered_seq,
            read_seq=self.read_seq,
        )


class Room(msgspec.Struct):
    """A conversation in an event or a REST answer; of `member.*`, those concerned."""

    conversation_id: str
    rev: int
    members: list[Member]
    messages: list[Message] = []
    duplicate: bool = False


class Receipt(msgspec.Struct):
    conversation_id: str
    user_id: str
    delivered_seq: int
    read_seq: int
    thread_root_id: str | None = None


class Error(msgspec.Struct):
    code: str
    temporary: bool = False
    retry_after_ms: int = 0


class Rejection(msgspec.Struct):
    conversation_id: str
    error: Error
    client_msg_id: str = ""
    client_op_id: str = ""


class Problem(msgspec.Struct):
    """A REST answer that is none."""

    code: str


class Connected(msgspec.Struct, tag="connected"):
    position: str
    recovered: bool
    resync: str | None
    retry_after_ms: int = 0


class Reply(msgspec.Struct, tag="reply"):
    ok: bool
    id: int | None = None
    """None: of a receipt that was refused, which had no number."""
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Error | None = None


class DurableEvent(msgspec.Struct, tag="event"):
    position: str
    event: str
    event_id: str
    data: msgspec.Raw
    actor_id: str = ""
    client_op_id: str = ""


class Ping(msgspec.Struct, tag="ping"):
    position: str


class TokenExpiring(msgspec.Struct, tag="token_expiring"):
    pass


class ResyncRequired(msgspec.Struct, tag="resync_required"):
    reason: str
    position: str
    retry_after_ms: int = 0


class Disconnect(msgspec.Struct, tag="disconnect"):
    code: int
    reason: str
    retry_after_ms: int | None = None


class SyncPage(msgspec.Struct):
    """The result of a `sync` frame."""

    events: list[DurableEvent]
    position: str
    more: bool


class State(msgspec.Struct):
    """A page of `GET /api/sync`."""

    position: str
    conversations: list[Room]
    next_cursor: str | None


class Page(msgspec.Struct):
    """A page of `GET /api/conversations/{id}/messages`."""

    items: list[Message]
    next_cursor: str | None


Frame = Connected | Reply | DurableEvent | Ping | TokenExpiring | ResyncRequired | Disconnect

frame_decoder = msgspec.json.Decoder(Frame)
