"""Access tokens: Ed25519-signed JWTs of ten minutes (RFC 9068's `at+jwt`, checked as RFC 8725 asks).

One key, one algorithm: what a token's header says about keys is compared, never followed. `exp` has no leeway; `nbf` and
`iat` have `LEEWAY_SECONDS`, because gateways' clocks differ.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backplane.keys import ALGORITHM, KeyRing, configured, single
from backplane.settings import Settings
from schemas.ids import SessionId, UserId
from schemas.scopes import SCOPES, Needs, Scope, missing

LEEWAY_SECONDS = 30
MAX_TOKEN = 4096
_TYPE = "at+jwt"
_REMEMBERED = 10_000
_REQUIRED = ("iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti")

_log = structlog.get_logger(__name__)


class Identity(NamedTuple):
    """Who a valid token speaks for, and until when (ms since 1970). Only verification makes one.

    `scopes` is None for a person, who may do everything that a person may; a bot may do what its token is good for.
    """

    user_id: UserId
    session_id: SessionId
    expires_ms: int
    scopes: frozenset[Scope] | None = None

    def lacks(self, needs: Needs) -> str | None:
        """The sentence that refuses an operation with these needs; None if the token will do."""
        return missing(self.scopes, needs)


class BadToken(Exception):
    """The token is not valid; `code` is a row of the error table: `authentication_failed` or `token_expired`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Jwk(msgspec.Struct, frozen=True):
    """One public key as RFC 8037 writes it."""

    x: str
    kid: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = ALGORITHM
    use: str = "sig"


class Jwks(msgspec.Struct, frozen=True):
    """The keys that verify our tokens (RFC 7517, section 5)."""

    keys: list[Jwk]


class _Claims(msgspec.Struct, frozen=True):
    sub: UserId
    sid: SessionId
    exp: int
    scope: str | None = None


class Tokens:
    """Issues and verifies access tokens with the keys of the settings.

    Without any (development only) a random key is made: its tokens die with the process and mean nothing to another gateway.

    Raises:
        SettingsError: the keys are not of the form, or there are none outside development.
    """

    def __init__(self, settings: Settings) -> None:
        self._issuer, self._audience = settings.token_issuer, settings.token_audience
        self._life_seconds = settings.access_token_seconds
        ring = _ring(settings)
        self._kid, self._private = ring.current.kid, ring.current.private
        self._public = {key.kid: key.public for key in ring.keys}
        self.jwks = Jwks([Jwk(key.x, key.kid) for key in ring.keys])
        self._verified: OrderedDict[str, Identity] = OrderedDict()

    @property
    def issues(self) -> bool:
        """Whether this gateway has the private half of the key that signs; else it only checks."""
        return self._private is not None

    def issue(
        self, user_id: UserId, session_id: SessionId, *, now_ms: int, scopes: Collection[Scope] | None = None
    ) -> str:
        """A token for one session; for a bot's with its scopes, joined by spaces (RFC 9068, 2.2.3). Only if this gateway `issues`."""
        assert self._private is not None  # noqa: S101 - who asks has looked
        now = now_ms // 1000
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user_id,
            "sid": session_id,
            "iat": now,
            "nbf": now,
            "exp": now + self._life_seconds,
            "jti": secrets.token_urlsafe(12),
            **({} if scopes is None else {"scope": " ".join(sorted(scopes))}),
        }
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers={"typ": _TYPE, "kid": self._kid})

    def verify(self, token: str) -> Identity:
        """Who the token speaks for. A token that was verified before only has its end looked at.

        Raises:
            BadToken: it is not ours, not for us, expired, or not yet valid.
        """
        identity = self._verified.get(token)
        if identity is None:
            identity = self._verify(token)
            self._verified[token] = identity
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if identity.expires_ms <= time.time() * 1000:
            self._verified.pop(token, None)
            raise BadToken("token_expired")
        return identity

    def _verify(self, token: str) -> Identity:
        if len(token) > MAX_TOKEN:
            raise BadToken("authentication_failed")
        try:
            header = jwt.get_unverified_header(token)
            # One algorithm, whatever the header says; a key of ours, wherever else it points (RFC 8725, 3.1 and 3.10).
            key = self._public.get(str(header.get("kid")))
            if key is None or (header.get("alg"), header.get("typ")) != (ALGORITHM, _TYPE):
                raise BadToken("authentication_failed")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,  # for nbf and iat; exp is compared by `verify`, exactly
                options={"require": list(_REQUIRED), "strict_aud": True, "verify_exp": False},
            )
            valid = msgspec.convert(claims, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, RecursionError):
            raise BadToken("authentication_failed") from None
        # A scope that this version does not know is good for nothing here; no scopes at all are not a person's.
        return Identity(valid.sub, valid.sid, valid.exp * 1000, None if valid.scope is None else _granted(valid.scope))


def _granted(scope: str) -> frozenset[Scope]:
    named = scope.split()
    found: list[Scope] = [one for one in SCOPES if one in named]
    return frozenset(found)


def _ring(settings: Settings) -> KeyRing:
    if ring := configured(settings):
        return ring
    _log.warning("no signing key: tokens end with this process; other gateways will not take them")
    return single(Ed25519PrivateKey.generate())
