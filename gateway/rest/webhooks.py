"""Webhooks: where a bot, or the owner or an admin of a conversation, has events sent to (docs/webhooks.md)."""

import asyncio
import secrets
from typing import Annotated

import msgspec
import uuid_utils
from starlette.responses import Response

from backplane.addresses import MAX_URL, BadTarget, parse_target
from backplane.outgoing import judged
from backplane.store.webhooks import StoredWebhook
from gateway.problems import Problem
from gateway.rest.operations import A, Nothing, SignedCall, answer, signed_in
from gateway.rest.users import myself
from schemas.client_frames import UuidText
from schemas.entities import rfc3339
from schemas.events import EventName
from schemas.ids import ConversationId
from schemas.webhooks import SECRET_PREFIX

RESOLVE_SECONDS = 5.0
_MAY = {"owner", "admin"}


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send what. A person names a conversation; a bot may leave it out. Without `events`: all."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL)]
    conversation_id: UuidText | None = None
    events: Annotated[tuple[EventName, ...], msgspec.Meta(max_length=32)] = ()


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook and how it fares; `secret` only in the answer that makes it."""

    webhook_id: str
    url: str
    conversation_id: ConversationId | None
    events: list[EventName]
    enabled: bool
    created_at: str
    failing_since: str | None
    failures: int
    dropped: int
    last_error: str | None
    disabled_reason: str | None
    secret: str | msgspec.UnsetType = msgspec.UNSET


class WebhookList(msgspec.Struct, frozen=True):
    """One's webhooks."""

    items: list[Webhook]
    next_cursor: str | None = None


async def create_webhook(call: SignedCall[NewWebhook]) -> Response:
    """Have events sent to a URL; the secret that signs them is shown this once."""
    api, asked = call.api, call.asked
    owner = await myself(call)
    conversation_id = ConversationId(asked.conversation_id) if asked.conversation_id else None
    await _check_right(call, conversation_id)
    await _check_url(call, asked.url)
    limit = api.settings.webhooks_per_owner
    if len(await api.store.webhooks.of_owner(owner.user_id)) >= limit:
        raise Problem("forbidden", f"You have {limit} webhooks already; more are not allowed.")
    webhook = StoredWebhook(
        webhook_id=str(uuid_utils.uuid7()),
        owner_id=owner.user_id,
        url=asked.url,
        secret=SECRET_PREFIX + secrets.token_urlsafe(32),
        created_ms=call.now_ms,
        active_ms=call.now_ms,
        conversation_id=conversation_id,
        events=tuple(dict.fromkeys(asked.events)),
        enabled=True,
    )
    await api.store.webhooks.create(webhook)
    return answer(_as_webhook(webhook, webhook.secret), 201)


async def list_webhooks(call: SignedCall[Nothing]) -> Response:
    """One's webhooks and how they fare."""
    webhooks = await call.api.store.webhooks.of_owner(call.identity.user_id)
    return answer(WebhookList([_as_webhook(webhook) for webhook in webhooks]))


async def delete_webhook(call: SignedCall[Nothing]) -> Response:
    """Send nothing more; what was waiting is dropped."""
    webhook = await _mine(call)
    await call.api.store.webhooks.delete(webhook.webhook_id)
    await call.api.store.deliveries.clear(webhook.webhook_id)
    return Response(status_code=204)


async def enable_webhook(call: SignedCall[Nothing]) -> Response:
    """Begin again with the events from now on, after it was disabled."""
    await myself(call)
    webhook = await _mine(call)
    await _check_right(call, webhook.conversation_id)
    await call.api.store.webhooks.enable(webhook.webhook_id, now_ms=call.now_ms)
    return answer(_as_webhook(await _mine(call)))


async def _check_right(call: SignedCall[A], conversation_id: ConversationId | None) -> None:
    """A person must be owner or admin of the conversation, a bot only in it.

    Raises:
        Problem: they are not; `bad_request` if a person names none.
    """
    person = call.identity.scopes is None
    if conversation_id is None:
        if person:
            raise Problem(
                "bad_request", "Name a conversation of which you are owner or admin; only bots may leave it out."
            )
        return
    member = await call.api.store.conversations.member(conversation_id, call.identity.user_id)
    if member is None or not member.current:
        raise Problem("not_member")
    if person and member.role not in _MAY:
        raise Problem("forbidden", "Only the owner and admins of a conversation may have its events sent elsewhere.")


async def _check_url(call: SignedCall[A], url: str) -> None:
    """Refuse at once what every delivery would be refused for.

    Raises:
        Problem: `bad_request`, with the reason.
    """
    settings = call.api.settings
    try:
        target = parse_target(url, https_only=not settings.development)
        async with asyncio.timeout(RESOLVE_SECONDS):
            await judged(target.host, target.port, allow_private=settings.webhooks_allow_private)
    except BadTarget as failure:
        raise Problem("bad_request", f"The webhook can not lead there: {failure}.") from None
    except TimeoutError:
        raise Problem("bad_request", "The webhook can not lead there: its host is not resolved in time.") from None


async def _mine(call: SignedCall[A]) -> StoredWebhook:
    webhook = await call.api.store.webhooks.get(call.path_id("webhook_id"))
    if webhook is None or webhook.owner_id != call.identity.user_id:
        raise Problem("not_found")
    return webhook


def _as_webhook(stored: StoredWebhook, secret: str | None = None) -> Webhook:
    return Webhook(
        webhook_id=stored.webhook_id,
        url=stored.url,
        conversation_id=stored.conversation_id,
        events=list(stored.events),
        enabled=stored.enabled,
        created_at=rfc3339(stored.created_ms),
        failing_since=None if stored.failing_since_ms is None else rfc3339(stored.failing_since_ms),
        failures=stored.failures,
        dropped=stored.dropped,
        last_error=stored.last_error,
        disabled_reason=stored.disabled_reason,
        secret=msgspec.UNSET if secret is None else secret,
    )


_NEEDS = "webhooks"

OPERATIONS = [
    signed_in("POST", "/api/webhooks", create_webhook, asks=NewWebhook, answers={201: Webhook}, needs=_NEEDS, cost=10),
    signed_in("GET", "/api/webhooks", list_webhooks, asks=Nothing, answers={200: WebhookList}, needs=_NEEDS),
    signed_in("DELETE", "/api/webhooks/{webhook_id}", delete_webhook, asks=Nothing, answers={204: None}, needs=_NEEDS),
    signed_in(
        "POST",
        "/api/webhooks/{webhook_id}/enable",
        enable_webhook,
        asks=Nothing,
        answers={200: Webhook},
        needs=_NEEDS,
    ),
]
