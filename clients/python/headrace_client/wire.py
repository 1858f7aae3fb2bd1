"""The frames of protocol v1, as this client reads and writes them (docs/protocol.md).

The server may send types and fields that this version does not know: both are ignored.
"""

import re
from typing import Any, NamedTuple, Self

import msgspec

from headrace_client.entities import (
    Blocking,
    Conversation,
    ErrorBody,
    MemberChanged,
    Message,
    Presence,
    Receipt,
    Rejection,
    SessionRevoked,
    Typing,
    Unknown,
    Voided,
)
from headrace_client.events import Data

SUBPROTOCOL = "headrace.v1"
MAX_FRAME_BYTES = 64 * 1024

_POSITION = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")


class Position(NamedTuple):
    """A place in this user's log: `offset` is dense within `epoch`; positions of different epochs have no order."""

    epoch: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<epoch>-<offset>`.

        Raises:
            ValueError: it is something else.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValueError(f"not a position: {text[:64]!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """The answer to `connect`."""

    user_id: str
    position: str
    recovered: bool = False
    resync: str | None = None
    heartbeat_interval_ms: int = 25_000
    retry_after_ms: int = 0
    connection_id: str = ""


class Reply(msgspec.Struct, frozen=True, tag="reply"):
    """The answer to our request `id`."""

    ok: bool
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorBody | None = None


class Logged(msgspec.Struct, frozen=True, tag="event"):
    """One entry of the log, live or replayed."""

    position: str
    event: str
    event_id: str = ""
    ts: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    actor_id: str | None = None
    client_op_id: str | None = None


class Fleeting(msgspec.Struct, frozen=True, tag="ephemeral"):
    """Typing, presence, sessions of one's own that ended."""

    event: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Are you there? `position` is the log's head."""

    position: str | None = None


class TokenExpiring(msgspec.Struct, frozen=True, tag="token_expiring"):
    """The access token ends soon."""


class ResyncRequired(msgspec.Struct, frozen=True, tag="resync_required"):
    """There is a gap that the log can not mend."""

    reason: str = ""
    position: str | None = None
    retry_after_ms: int = 0


class Disconnect(msgspec.Struct, frozen=True, tag="disconnect"):
    """Said before a close, because the close code may get lost."""

    code: int
    reason: str = ""
    reconnect: bool = True
    retry_after_ms: int | None = None


ServerFrame = Connected | Reply | Logged | Fleeting | Ping | TokenExpiring | ResyncRequired | Disconnect

_decoder = msgspec.json.Decoder(ServerFrame)
_encoder = msgspec.json.Encoder()


def decode_frame(raw: bytes | str) -> ServerFrame | None:
    """Read a frame; None if this version does not know it."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        return None


def decode_ephemeral(name: str, raw: bytes) -> Typing | Presence | SessionRevoked | Unknown:
    """The data of an ephemeral event, by its name."""
    try:
        match name:
            case "typing":
                return msgspec.json.decode(raw, type=Typing)
            case "presence":
                return msgspec.json.decode(raw, type=Presence)
            case "session.revoked":
                return msgspec.json.decode(raw, type=SessionRevoked)
            case _:
                return Unknown(bytes(raw))
    except (msgspec.DecodeError, UnicodeError):
        return Unknown(bytes(raw))


class _States(msgspec.Struct, frozen=True):
    states: tuple[Presence, ...] = ()


def decode_states(raw: bytes) -> tuple[Presence, ...]:
    """The result of `presence.subscribe`; none if this version can not read it."""
    try:
        return msgspec.json.decode(raw, type=_States).states
    except (msgspec.DecodeError, UnicodeError):
        return ()


class _PageEvent(msgspec.Struct, frozen=True):
    position: str
    event: str
    event_id: str = ""
    ts: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    actor_id: str | None = None
    client_op_id: str | None = None


class Page(msgspec.Struct, frozen=True):
    """The result of `sync`: a stretch of the log."""

    events: tuple[_PageEvent, ...] = ()
    more: bool = False

    def entries(self) -> list[Logged]:
        """Its entries, as if they had come live."""
        return [Logged(e.position, e.event, e.event_id, e.ts, e.data, e.actor_id, e.client_op_id) for e in self.events]


_page_decoder = msgspec.json.Decoder(Page)


def decode_page(result: msgspec.Raw) -> Page | None:
    """Read the result of `sync`; None if it is none."""
    try:
        return _page_decoder.decode(result)
    except msgspec.DecodeError:
        return None


_DATA: dict[str, msgspec.json.Decoder[Any]] = {
    **dict.fromkeys(
        (
            "message.created", "message.edited", "message.deleted", "reaction.added", "reaction.removed",
            "message.pinned", "message.unpinned", "thread.updated", "attachment.updated",
        ),
        msgspec.json.Decoder(Message),
    ),
    **dict.fromkeys(("conversation.created", "conversation.updated"), msgspec.json.Decoder(Conversation)),
    **dict.fromkeys(("message.rejected", "operation.rejected"), msgspec.json.Decoder(Rejection)),
    **dict.fromkeys(("member.joined", "member.left", "member.role_changed"), msgspec.json.Decoder(MemberChanged)),
    "block.updated": msgspec.json.Decoder(Blocking),
    "message.voided": msgspec.json.Decoder(Voided),
    "receipt.updated": msgspec.json.Decoder(Receipt),
}  # fmt: skip


def decode_data(name: str, raw: msgspec.Raw) -> Data:
    """Read an event's data by the event's name; a shape that this version does not know comes through as `Unknown`."""
    decoder = _DATA.get(name)
    if decoder is not None:
        try:
            return decoder.decode(raw)
        except msgspec.DecodeError:
            pass
    return Unknown(bytes(raw))


def encode(frame: dict[str, object]) -> bytes:
    """One client frame; fields that are None are left out."""
    return _encoder.encode({key: value for key, value in frame.items() if value is not None})


def with_id(body: bytes, request_id: int) -> bytes:
    """Number an encoded frame for this connection; everything else of it stays byte for byte the same on a resend."""
    return b'{"id":%d,' % request_id + body[1:]
