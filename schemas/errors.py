"""The error table and the close table: one row a code, for the socket, REST, the SDKs and the docs alike.

`temporary` tells a client that the same request may succeed later, unchanged. Close codes 4000–4499 ask the client
to reconnect, 4500–4999 to stop (protocol §1).
"""

from typing import Final, NamedTuple

import msgspec


class ErrorRow(NamedTuple):
    """One error code: its default human sentence, whether a retry may help, and its HTTP status."""

    code: str
    message: str
    temporary: bool
    status: int


class CloseRow(NamedTuple):
    """One WebSocket close: its number, its name, and what it means."""

    code: int
    name: str
    meaning: str

    @property
    def reconnect(self) -> bool:
        """Whether a client should connect again."""
        return self.code < 4500


_ERRORS: Final = (
    ErrorRow("bad_request", "The request is not of the documented form.", False, 400),
    ErrorRow("authentication_failed", "The credentials are not valid; sign in again.", False, 401),
    ErrorRow("token_expired", "The access token has expired; refresh it.", False, 401),
    ErrorRow("token_reused", "This refresh token was used before; its session is closed. Sign in again.", False, 401),
    ErrorRow("session_revoked", "The session was ended; sign in again.", False, 401),
    ErrorRow("account_disabled", "The account is disabled.", False, 403),
    ErrorRow("registration_closed", "This server takes no new accounts by itself; ask its operator.", False, 403),
    ErrorRow("forbidden", "This is not allowed to you.", False, 403),
    ErrorRow("forbidden_origin", "This web origin is not allowed to use the server.", False, 403),
    ErrorRow("not_member", "You are not a member of this conversation, or it does not exist.", False, 403),
    ErrorRow("blocked", "This can not be delivered.", False, 403),
    ErrorRow("not_found", "There is no such thing, or it is not visible to you.", False, 404),
    ErrorRow("method_not_allowed", "The address does not take this method.", False, 405),
    ErrorRow("conflict", "It was changed meanwhile; read it again and decide anew.", False, 409),
    ErrorRow("too_late", "The time in which this could be changed is over.", False, 403),
    ErrorRow("last_owner", "An owner gives the conversation to somebody else before leaving it.", False, 409),
    ErrorRow("limit_reached", "There can not be more of these.", False, 422),
    ErrorRow("idempotency_conflict", "The same id was used before with another content; use a new id.", False, 409),
    ErrorRow("username_taken", "The username is taken; choose another.", False, 409),
    ErrorRow("payload_too_large", "The body is larger than the server takes.", False, 413),
    ErrorRow("member_limit", "The conversation would have more members than this server allows.", False, 422),
    ErrorRow("unknown_user", "One of the named users does not exist.", False, 422),
    ErrorRow("unknown_attachment", "One of the attachments does not exist, is not yours, or has expired.", False, 422),
    ErrorRow("attachment_used", "One of the attachments belongs to another message; upload it again.", False, 409),
    ErrorRow(
        "attachment_not_ready", "The file is not uploaded yet, or not scanned yet; ask again in a moment.", True, 409
    ),
    ErrorRow("attachment_gone", "The file can not be had: it was refused, withdrawn or deleted.", False, 410),
    ErrorRow(
        "quota_exceeded", "There is no room left for files of yours; delete some, or ask the operator.", False, 422
    ),
    ErrorRow("scanner_unavailable", "This server has no virus scanner, so it takes no files.", False, 503),
    ErrorRow("unsupported", "This server does not offer this yet.", False, 422),
    ErrorRow("rate_limited", "Too many requests; wait as told and try again.", True, 429),
    ErrorRow("internal_error", "The server failed on this request; it was noted.", False, 500),
    ErrorRow("overloaded", "The server is behind; wait as told and send the same again.", True, 503),
    ErrorRow("unavailable", "A part of the server is away; try again shortly.", True, 503),
    ErrorRow(
        "outcome_unknown", "The request may or may not have been taken; send the same again, unchanged.", True, 503
    ),
)

ERRORS: Final = {row.code: row for row in _ERRORS}

_CLOSES: Final = (
    CloseRow(4000, "internal_error", "the server failed; reconnect"),
    CloseRow(4001, "heartbeat_timeout", "nothing was heard for two ping intervals"),
    CloseRow(4002, "slow_consumer", "the client did not read; it resumes from its position"),
    CloseRow(4003, "connect_timeout", "no `connect` frame came in time"),
    CloseRow(4004, "token_expired", "refresh the access token, then resume"),
    CloseRow(4005, "draining", "this gateway is going away or has lost its footing; another one will serve"),
    CloseRow(4006, "rate_limited", "too many frames"),
    CloseRow(4007, "overloaded", "the server is behind; wait as told"),
    CloseRow(4500, "authentication_failed", "the token is not valid"),
    CloseRow(4501, "session_revoked", "the session was ended"),
    CloseRow(4502, "account_disabled", "the account is disabled"),
    CloseRow(4503, "unsupported_protocol", "the sub-protocol is not `headrace.v1`"),
    CloseRow(4504, "bad_request", "a frame was malformed, or `connect` came twice"),
    CloseRow(4505, "replaced", "the same device and instance connected again"),
    CloseRow(4506, "connection_limit", "too many connections"),
    CloseRow(4507, "forbidden_origin", "this web origin is not allowed"),
)

CLOSES: Final = {row.name: row for row in _CLOSES}

UNSUPPORTED_DATA: Final = CloseRow(1003, "unsupported_data", "a binary frame; only text is spoken (RFC 6455, 7.4.1)")


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as the wire has it, in replies, rejection events and problem documents."""

    code: str
    message: str
    temporary: bool = False
    retry_after_ms: int | None = None


def error(code: str, message: str | None = None, *, retry_after_ms: int | None = None) -> ErrorBody:
    """An error of the table, with its own sentence unless a more exact one is given.

    Raises:
        KeyError: the code is not in the table; a code that is not documented never leaves the process.
    """
    row = ERRORS[code]
    return ErrorBody(code, message or row.message, row.temporary, retry_after_ms)
