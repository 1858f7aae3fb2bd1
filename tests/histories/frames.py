"""What a client reads from the wire, decoded here anew: the server's own types would hide a mistake in them."""

import msgspec

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
        )


class Error(msgspec.Struct):
    code: str
    temporary: bool = False
    retry_after_ms: int = 0


class RejectedSend(msgspec.Struct):
    conversation_id: str
    error: Error
    client_msg_id: str = ""


class Connected(msgspec.Struct, tag="connected"):
    position: str
    recovered: bool
    resync: str | None
    retry_after_ms: int = 0


class Reply(msgspec.Struct, tag="reply"):
    id: int
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Error | None = None


class DurableEvent(msgspec.Struct, tag="event"):
    position: str
    event: str
    event_id: str
    data: msgspec.Raw


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


class SyncedConversation(msgspec.Struct):
    conversation_id: str
    messages: list[Message]


class State(msgspec.Struct):
    """A page of `GET /api/sync`."""

    position: str
    conversations: list[SyncedConversation]
    next_cursor: str | None


class Page(msgspec.Struct):
    """A page of `GET /api/conversations/{id}/messages`."""

    items: list[Message]
    next_cursor: str | None


Frame = Connected | Reply | DurableEvent | Ping | TokenExpiring | ResyncRequired | Disconnect

frame_decoder = msgspec.json.Decoder(Frame)
