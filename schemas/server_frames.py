"""Arrow 4: what a gateway says on a socket (protocol §1, “Server frames”)."""

from typing import Any, Literal

import msgspec

from schemas.errors import CloseRow, ErrorBody
from schemas.ids import ConversationId, Position, SessionId, UserId


class Rate(msgspec.Struct, frozen=True):
    """So many at once, and all of them again after so many seconds."""

    burst: int
    seconds: int


class Limits(msgspec.Struct, frozen=True):
    """The bounds that a client should know."""

    frame_bytes: int
    text_length: int
    log_entries: int
    resume_entries: int
    watched_conversations: int
    presence_subscriptions: int
    rates: dict[str, Rate]
    """Rate limits, by name (schemas/limits.py)."""


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """The answer to `connect`. `resync` is null after a whole recovery, else why the client must load its state."""

    connection_id: str
    session_id: str
    user_id: str
    position: str
    recovered: bool
    resync: str | None
    heartbeat_interval_ms: int
    token_expires_at: str
    server_time: str
    limits: Limits
    retry_after_ms: int = 0
    """With `resync`: wait a random time up to this before loading the state."""
    id: int | None = None


class Reply(msgspec.Struct, frozen=True, omit_defaults=True, tag="reply"):
    """The answer to the request `id` of this connection: `result` if `ok`, else `error`."""

    ok: bool
    id: int | None = None
    result: Any = None
    error: ErrorBody | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Are you there? `position` is the log's head: a client behind it asks `sync`."""

    position: str


class TokenExpiring(msgspec.Struct, frozen=True, tag="token_expiring"):
    """The access token ends soon: send `refresh`."""

    expires_at: str


class ResyncRequired(msgspec.Struct, frozen=True, tag="resync_required"):
    """A gap that can not be mended from the log: load the state, go on from `position`."""

    reason: str
    position: str
    retry_after_ms: int = 0


class Disconnect(msgspec.Struct, frozen=True, omit_defaults=True, tag="disconnect"):
    """Said before a close, because some clients and proxies lose the close code."""

    code: int
    reason: str
    reconnect: bool
    retry_after_ms: int | None = None


class TypingState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of `typing`: who does it where; it holds for `expires_in_ms` unless it is said again."""

    conversation_id: ConversationId
    user_id: UserId
    state: Literal["start", "stop"]
    expires_in_ms: int
    thread_root_id: str | None = None


class PresenceState(msgspec.Struct, frozen=True):
    """The data of `presence`: how somebody is seen; `last_active_at` is RFC 3339, null if that is not known."""

    user_id: UserId
    status: Literal["online", "away", "busy", "offline"]
    last_active_at: str | None


class SessionRevoked(msgspec.Struct, frozen=True):
    """The data of `session.revoked`, told to one's other sessions."""

    session_id: SessionId


class Ephemeral(msgspec.Struct, frozen=True, tag="ephemeral"):
    """What is never stored and may be dropped."""

    event: Literal["typing", "presence", "session.revoked"]
    data: TypingState | PresenceState | SessionRevoked


ServerFrame = Connected | Reply | Ephemeral | Ping | TokenExpiring | ResyncRequired | Disconnect

_encoder = msgspec.json.Encoder()


def encode_frame(frame: ServerFrame) -> bytes:
    """One frame's bytes."""
    return _encoder.encode(frame)


def event_frame(position: Position, body: bytes) -> bytes:
    """A durable event's frame: a tiny prefix with the position, and the shared body bytes. Nothing is encoded twice."""
    return b'{"type":"event","position":"%d-%d",' % position + body


def disconnect(row: CloseRow, reason: str | None = None, retry_after_ms: int | None = None) -> Disconnect:
    """The goodbye of a row of the close table."""
    return Disconnect(row.code, reason or row.meaning, row.reconnect, retry_after_ms)
