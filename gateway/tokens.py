"""Access tokens: Ed25519-signed JWTs of ten minutes (RFC 9068's `at+jwt`, checked as RFC 8725 asks)."""

from typing import NamedTuple

from backplane.settings import Settings
from schemas.ids import SessionId, UserId


class Identity(NamedTuple):
    """Who a valid token speaks for, and until when (ms since 1970). Only verification makes one."""

    user_id: UserId
    session_id: SessionId
    expires_ms: int


class BadToken(Exception):
    """The token is not valid; `code` is a row of the error table: `authentication_failed` or `token_expired`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Tokens:
    """Issues and verifies access tokens with the key of the settings (development: a key made from the namespace is refused
    in production by the settings themselves)."""

    def __init__(self, settings: Settings) -> None:
        raise NotImplementedError

    def issue(self, user_id: UserId, session_id: SessionId, *, now_ms: int) -> str:
        """A token for one session."""
        raise NotImplementedError

    def verify(self, token: str) -> Identity:
        """Who the token speaks for.

        Raises:
            BadToken: it is not ours, not for us, expired, or not yet valid.
        """
        raise NotImplementedError
