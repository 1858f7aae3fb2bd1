"""Signing in: an access token of minutes, and a refresh token that works once (RFC 9700, 4.14).

A refresh token is 256 random bits; the database keeps its SHA-256. Each use swaps it for a successor; a token that comes a
second time was stolen by somebody, so its whole session ends. But for ten seconds: then an answer was lost, or two windows asked.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Annotated, Any, Protocol

import msgspec
import structlog
import uuid_utils
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from backplane.store.sessions import StoredSession
from backplane.store.users import StoredUser, as_user
from gateway.addresses import address_of, network_of
from gateway.problems import Problem
from gateway.rest.api import Api
from gateway.rest.operations import A, Call, SignedCall, anonymous, answer, check_limit, signed_in
from schemas.entities import User
from schemas.ids import SessionId, UserId
from schemas.text import clean_name

COOKIE = "__Host-headrace-refresh"
"""The prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis, 4.1.3)."""
CUSTOM_HEADER = "x-headrace-client"
"""Any value: a page of another origin can not set it without asking first (OWASP, Cross-Site Request Forgery)."""
_NOBODY = "00000000-0000-0000-0000-000000000000"

Password = Annotated[str, msgspec.Meta(max_length=1024)]
RefreshToken = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Login = Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
Username = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{1,31}$(?!\n)")]
Email = Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$(?!\n)")]
Device = Annotated[str, msgspec.Meta(max_length=80)]

_log = structlog.get_logger(__name__)


class _HasUser(Protocol):
    """Whatever belongs to a person."""

    @property
    def user_id(self) -> UserId: ...


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new account."""

    username: Username
    password: Password
    display_name: str | None = None
    email: Email | None = None
    device: Device | None = None
    cookie: bool = False


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`username` or `email`, and the password. With `cookie` the refresh token is set as a cookie instead."""

    password: Password
    username: Login | None = None
    email: Login | None = None
    device: Device | None = None
    cookie: bool = False


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The refresh token, unless it is in the cookie."""

    refresh_token: RefreshToken | None = None


class SignOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This session, or all of them."""

    everywhere: bool = False


class SignedIn(msgspec.Struct, frozen=True):
    """A pair of tokens. `refresh_token` is absent if it went into the cookie."""

    access_token: str
    expires_in: int
    user: User
    session_id: SessionId
    token_type: str = "Bearer"  # noqa: S105 - its kind (RFC 6749, 7.1), not a secret
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


async def register(call: Call[Register]) -> Response:
    """Make an account and sign in."""
    api, asked = call.api, call.asked
    if not api.settings.registration_open:
        raise Problem("registration_closed")
    try:
        display_name, device = clean_name(asked.display_name or asked.username), _clean(asked.device)
        password_hash = await api.passwords.hash(asked.password, names=(asked.username, asked.email))
    except ValueError as failure:
        raise Problem("bad_request", str(failure)) from None
    user = StoredUser(
        user_id=UserId(str(uuid_utils.uuid7())),
        username=asked.username.lower(),
        display_name=display_name,
        password_hash=password_hash,
        created_ms=call.now_ms,
        email=asked.email.lower() if asked.email else None,
    )
    if not await api.store.users.create(user):
        raise Problem("username_taken")
    return await _open_session(call, user, device, cookie=asked.cookie, status=201)


async def login(call: Call[SignIn]) -> Response:
    """Sign in with a password. Unknown users and wrong passwords get the same answer in the same time."""
    api, asked = call.api, call.asked
    if (asked.username is None) == (asked.email is None):
        raise Problem("bad_request", "Give either `username` or `email`.")
    device = _clean(asked.device)
    name = (asked.username or asked.email or "").lower()
    user = await api.store.users.by_name(name)
    await _limit_guesses(call, name, user)
    # A bot has no password; it gets the answer of an unknown user, in the same time.
    matches = await api.passwords.matches(user.password_hash if user and not user.bot else None, asked.password)
    if user is None or not matches:
        await _audit(call, "login.refused", user, why="the name or the password is wrong")
        raise Problem("authentication_failed", "The name or the password is wrong.")
    if user.disabled:
        await _audit(call, "login.refused", user, why="the account is disabled")
        raise Problem("account_disabled")
    if api.passwords.outdated(user.password_hash):
        new_hash = await api.passwords.rehash(asked.password)
        await api.store.users.rehash(user.user_id, user.password_hash, new_hash)
        user = replace(user, password_hash=new_hash)
    return await _open_session(call, user, device, cookie=asked.cookie)


async def _limit_guesses(call: Call[SignIn], name: str, user: StoredUser | None) -> None:
    """Bound how often a password is guessed: for one account from one address, and for one account at all.

    The second bound would let anybody lock the owner out, so it does not hold where the account was used from lately.
    """
    limiter, account, address = call.api.limiter, _digest(name)[:32], address_of(call.request)
    spent = await limiter.account("login", account, address)
    if spent is None or not spent.wait_ms:
        used_from = await call.api.store.sessions.addresses(user.user_id if user else UserId(_NOBODY))
        if network_of(address) in {network_of(one) for one in used_from}:
            return
        spent = await limiter.account("login_account", account)
    check_limit(spent)


async def refresh(call: Call[Refresh]) -> Response:
    """Swap a refresh token for a new pair, once; within 10 s the same again gets the same, later it ends the session."""
    api, token = call.api, call.asked.refresh_token
    cookie = token is None
    if token is None:
        token = call.request.cookies.get(COOKIE)
        if token:
            check_cookie_request(api, call.request)
    if not token:
        raise Problem("authentication_failed", "Send a refresh token in the body or in the cookie.")
    salt = secrets.token_hex(16)
    outcome, session = await api.store.sessions.rotate(
        _digest(token),
        _digest(_successor(token, salt)),
        salt=salt,
        now_ms=call.now_ms,
        idle_expires_ms=call.now_ms + api.settings.refresh_idle_seconds * 1000,
        address=address_of(call.request),
    )
    if outcome == "reused" and session is not None:
        _log.warning("a refresh token came twice; its session is closed", session_id=session.session_id)
        await _audit(call, "session.reused", session, session_id=session.session_id)
        await api.revocations.end(session.user_id, [session.session_id])
    if outcome not in {"rotated", "repeated"} or session is None or session.salt is None:
        raise Problem({"reused": "token_reused", "revoked": "session_revoked"}.get(outcome, "authentication_failed"))
    user = await api.store.users.get(session.user_id)
    if user is None or user.disabled:
        raise Problem("account_disabled")
    return _signed_in(api, user, session, _successor(token, session.salt), call.now_ms, cookie=cookie)


async def logout(call: SignedCall[SignOut]) -> Response:
    """End this session, or with `everywhere` all sessions; their sockets close."""
    api, who = call.api, call.identity
    if call.asked.everywhere:
        ended = await api.store.sessions.revoke_all(who.user_id, now_ms=call.now_ms)
    else:
        await api.store.sessions.revoke(who.session_id, now_ms=call.now_ms)
        ended = [who.session_id]
    await _audit(call, "session.ended", who, sessions=len(ended))
    await api.revocations.end(who.user_id, ended)
    response = Response(status_code=204)
    if COOKIE in call.request.cookies:
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


def check_cookie_request(api: Api, request: Request) -> None:
    """Refuse a cookie that a foreign page may have sent: the browser names the page, and only a page of ours can set the header.

    Raises:
        Problem: `forbidden_origin`.
    """
    origin = request.headers.get("origin")
    if origin is None or CUSTOM_HEADER not in request.headers:
        raise Problem("forbidden_origin", f"With the cookie, send `Origin` and a `{CUSTOM_HEADER}` header.")
    if origin in api.settings.allowed_origins:
        return
    # The scheme is not compared with ours: TLS usually ends before us.
    if origin.partition("://")[2].lower() != request.headers.get("host", "").lower():
        raise Problem("forbidden_origin")


async def _open_session(
    call: Call[A], user: StoredUser, device: str | None, *, cookie: bool, status: int = 200
) -> Response:
    api, now_ms = call.api, call.now_ms
    token = secrets.token_urlsafe(32)
    session = StoredSession(
        session_id=SessionId(str(uuid_utils.uuid7())),
        user_id=user.user_id,
        token_hash=_digest(token),
        created_ms=now_ms,
        expires_ms=now_ms + api.settings.refresh_absolute_seconds * 1000,
        idle_expires_ms=now_ms + api.settings.refresh_idle_seconds * 1000,
        rotated_ms=now_ms,
        device=device,
        address=address_of(call.request),
    )
    await api.store.sessions.forget_old(user.user_id, now_ms=now_ms)
    await api.store.sessions.create(session)
    # Whoever changed the password or disabled the account meanwhile has not seen this session, or we see what they did.
    after = await api.store.users.get(user.user_id)
    if after is None or after.disabled or after.password_hash != user.password_hash:
        await api.store.sessions.revoke(session.session_id, now_ms=now_ms)
        raise Problem("authentication_failed", "The account was changed meanwhile; sign in again.")
    await _audit(call, "session.opened", user, session_id=session.session_id)
    return _signed_in(api, user, session, token, now_ms, cookie=cookie, status=status)


def _signed_in(
    api: Api, user: StoredUser, session: StoredSession, token: str, now_ms: int, *, cookie: bool, status: int = 200
) -> Response:
    body = SignedIn(
        access_token=api.tokens.issue(user.user_id, session.session_id, now_ms=now_ms),
        expires_in=api.settings.access_token_seconds,
        user=as_user(user),
        session_id=session.session_id,
        refresh_token=msgspec.UNSET if cookie else token,
    )
    response = answer(body, status)
    if cookie:
        age = max(0, min(session.expires_ms, session.idle_expires_ms) - now_ms) // 1000
        response.set_cookie(COOKIE, token, max_age=age, path="/", secure=True, httponly=True, samesite="strict")
    return response


async def _audit(call: Call[A], event: str, subject: _HasUser | None, **detail: Any) -> None:
    """Note it; by the person whom it is about, who for a refusal is nobody that we know."""
    user_id = None if subject is None else subject.user_id
    actor = "anonymous" if user_id is None or event == "login.refused" else user_id
    where = address_of(call.request)
    await call.api.store.audit.append(
        event, actor=actor, at_ms=call.now_ms, subject_id=user_id, address=where, **detail
    )


def _clean(device: str | None) -> str | None:
    """What a device calls itself, fit to be shown.

    Raises:
        Problem: `bad_request`.
    """
    try:
        return clean_name(device) if device else None
    except ValueError as failure:
        raise Problem("bad_request", f"device: {failure}") from None


def _successor(token: str, salt: str) -> str:
    """The token after this one, the same for everybody who has both; the database has neither this token nor that."""
    made = hmac.digest(token.encode(), salt.encode(), "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


OPERATIONS = [
    anonymous("POST", "/api/auth/register", register, asks=Register, answers={201: SignedIn}, limit="register"),
    anonymous("POST", "/api/auth/login", login, asks=SignIn, answers={200: SignedIn}, limit="login_address"),
    anonymous("POST", "/api/auth/refresh", refresh, asks=Refresh, answers={200: SignedIn}),
    signed_in("POST", "/api/auth/logout", logout, asks=SignOut, answers={204: None}),
]
