"""Bots: users that a person makes, with tokens for programs instead of a password.

A bot's token is opaque (256 random bits; the database keeps its SHA-256) and good for some scopes. It is exchanged for a usual
access token of minutes that carries them, so that every other operation, and the socket, see one kind of token.
"""

import hashlib
import secrets
from typing import Annotated, Final

import msgspec
import uuid_utils
from starlette.responses import Response

from backplane.store.bots import StoredBotToken
from backplane.store.users import StoredUser, as_user
from gateway.problems import Problem
from gateway.rest.auth import Username
from gateway.rest.operations import A, Call, Nothing, SignedCall, anonymous, answer, signed_in
from gateway.rest.users import myself
from schemas.entities import User, rfc3339
from schemas.ids import SessionId, UserId
from schemas.scopes import SCOPES, Scope
from schemas.text import clean_name

PREFIX: Final = "hrb_"
MAX_TOKENS: Final = 20
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("messages:read", "messages:write", "conversations:read")

BotToken = Annotated[str, msgspec.Meta(pattern="^hrb_[A-Za-z0-9_-]{43}$(?!\n)")]
Scopes = Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1, max_length=len(SCOPES))]


class NewBot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new bot, and what its first token is good for."""

    username: Username
    display_name: str | None = None
    scopes: Scopes = DEFAULT_SCOPES


class NewBotToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the token is good for."""

    scopes: Scopes


class BotSignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bot's token."""

    token: BotToken


class BotTokenInfo(msgspec.Struct, frozen=True):
    """A token, without the token."""

    token_id: str
    scopes: list[Scope]
    created_at: str


class Bot(msgspec.Struct, frozen=True):
    """A bot, as its owner sees it; tokens that are revoked are left out."""

    user_id: UserId
    username: str
    display_name: str
    created_at: str
    disabled: bool
    tokens: list[BotTokenInfo]


class Bots(msgspec.Struct, frozen=True):
    """One's bots."""

    items: list[Bot]
    next_cursor: str | None = None


class MadeBotToken(msgspec.Struct, frozen=True):
    """A new token; this is the only time that it is shown."""

    token: str
    token_id: str
    scopes: list[Scope]


class MadeBot(msgspec.Struct, frozen=True):
    """A new bot and its first token, which is not shown again."""

    bot: Bot
    token: str


class BotSignedIn(msgspec.Struct, frozen=True):
    """An access token for a bot. There is no refresh token: exchange the bot's token again."""

    access_token: str
    expires_in: int
    user: User
    session_id: SessionId
    scopes: list[Scope]
    token_type: str = "Bearer"  # noqa: S105 - its kind (RFC 6749, 7.1), not a secret


async def create_bot(call: SignedCall[NewBot]) -> Response:
    """Make a bot; its token is shown this once."""
    api, asked = call.api, call.asked
    owner = await myself(call)
    try:
        display_name = clean_name(asked.display_name or asked.username)
    except ValueError as failure:
        raise Problem("bad_request", f"display_{failure}") from None
    if len(await api.store.users.bots_of(owner.user_id)) >= api.settings.bots_per_owner:
        raise Problem("forbidden", f"You have {api.settings.bots_per_owner} bots already; more are not allowed.")
    bot = StoredUser(
        user_id=UserId(str(uuid_utils.uuid7())),
        username=asked.username.lower(),
        display_name=display_name,
        password_hash="",
        created_ms=call.now_ms,
        bot=True,
        owner_id=owner.user_id,
    )
    if not await api.store.users.create(bot):
        raise Problem("username_taken")
    token, stored = await _make_token(call, bot.user_id, asked.scopes)
    return answer(MadeBot(_as_bot(bot, [stored]), token), 201)


async def list_bots(call: SignedCall[Nothing]) -> Response:
    """One's bots and their tokens."""
    bots = await call.api.store.users.bots_of(call.identity.user_id)
    return answer(Bots([_as_bot(bot, await call.api.store.bot_tokens.of_bot(bot.user_id)) for bot in bots]))


async def delete_bot(call: SignedCall[Nothing]) -> Response:
    """Disable a bot for good: its tokens end, its webhooks too; what it said stays."""
    bot, store = await _mine(call), call.api.store
    await store.users.disable(bot.user_id)
    await store.bot_tokens.revoke_all(bot.user_id, now_ms=call.now_ms)
    await call.api.revocations.disable(bot.user_id)
    for webhook in await store.webhooks.of_owner(bot.user_id):
        await store.webhooks.disable(webhook.webhook_id, "its bot is disabled")
    return Response(status_code=204)


async def create_bot_token(call: SignedCall[NewBotToken]) -> Response:
    """Another token for a bot, shown this once; the old ones go on."""
    bot = await _mine(call)
    if bot.disabled:
        raise Problem("account_disabled", "The bot is disabled.")
    if len(await call.api.store.bot_tokens.of_bot(bot.user_id)) >= MAX_TOKENS:
        raise Problem("forbidden", f"A bot has at most {MAX_TOKENS} tokens; revoke one first.")
    token, stored = await _make_token(call, bot.user_id, call.asked.scopes)
    return answer(MadeBotToken(token, stored.token_id, list(stored.scopes)), 201)


async def delete_bot_token(call: SignedCall[Nothing]) -> Response:
    """Revoke a token: it is exchanged no more, and what was made from it counts no more."""
    bot = await _mine(call)
    if not await call.api.store.bot_tokens.revoke(bot.user_id, call.path_id("token_id"), now_ms=call.now_ms):
        raise Problem("not_found")
    await call.api.revocations.end(bot.user_id, [SessionId(call.path_id("token_id"))])
    return Response(status_code=204)


async def sign_in_bot(call: Call[BotSignIn]) -> Response:
    """Exchange a bot's token for an access token with its scopes."""
    api = call.api
    token = await api.store.bot_tokens.by_hash(_digest(call.asked.token))
    if token is None or token.revoked_ms is not None:
        raise Problem("authentication_failed", "The bot's token is not valid.")
    bot = await api.store.users.get(token.bot_id)
    if bot is None or bot.disabled or bot.owner_id is None:
        raise Problem("account_disabled")
    owner = await api.store.users.get(bot.owner_id)
    if owner is None or owner.disabled:
        raise Problem("account_disabled", "The account of the bot's owner is disabled.")
    session_id = SessionId(token.token_id)
    access = api.tokens.issue(bot.user_id, session_id, now_ms=call.now_ms, scopes=token.scopes)
    return answer(BotSignedIn(access, api.settings.access_token_seconds, as_user(bot), session_id, list(token.scopes)))


async def _mine(call: SignedCall[A]) -> StoredUser:
    """The bot in the path.

    Raises:
        Problem: `not_found`, also if it is somebody else's.
    """
    owner, bot_id = await myself(call), UserId(call.path_id("bot_id"))
    bot = await call.api.store.users.get(bot_id)
    if bot is None or not bot.bot or bot.owner_id != owner.user_id:
        raise Problem("not_found")
    return bot


async def _make_token(call: SignedCall[A], bot_id: UserId, scopes: tuple[Scope, ...]) -> tuple[str, StoredBotToken]:
    token = PREFIX + secrets.token_urlsafe(32)
    stored = StoredBotToken(
        token_id=str(uuid_utils.uuid7()),
        bot_id=bot_id,
        token_hash=_digest(token),
        scopes=tuple(dict.fromkeys(scopes)),
        created_ms=call.now_ms,
    )
    await call.api.store.bot_tokens.create(stored)
    return token, stored


def _as_bot(bot: StoredUser, tokens: list[StoredBotToken]) -> Bot:
    return Bot(
        bot.user_id,
        bot.username,
        bot.display_name,
        rfc3339(bot.created_ms),
        bot.disabled,
        [BotTokenInfo(token.token_id, list(token.scopes), rfc3339(token.created_ms)) for token in tokens],
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


OPERATIONS = [
    anonymous("POST", "/api/auth/bot", sign_in_bot, asks=BotSignIn, answers={200: BotSignedIn}),
    signed_in("POST", "/api/bots", create_bot, asks=NewBot, answers={201: MadeBot}, cost=10),
    signed_in("GET", "/api/bots", list_bots, asks=Nothing, answers={200: Bots}),
    signed_in("DELETE", "/api/bots/{bot_id}", delete_bot, asks=Nothing, answers={204: None}),
    signed_in("POST", "/api/bots/{bot_id}/tokens", create_bot_token, asks=NewBotToken, answers={201: MadeBotToken}),
    signed_in("DELETE", "/api/bots/{bot_id}/tokens/{token_id}", delete_bot_token, asks=Nothing, answers={204: None}),
]
