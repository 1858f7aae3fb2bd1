"""What `headrace webhooks` asks and does."""

import time

from backplane.store.mongo import Store
from backplane.store.webhooks import StoredWebhook
from cli import output
from cli.asking import systems
from schemas.entities import rfc3339


async def ls(*, failing: bool) -> list[output.Row]:
    """All webhooks, or those that fail or are disabled."""
    async with systems.the_store() as store:
        found = await store.webhooks.every()
    return [_summary(one) for one in found if not failing or one.failures or not one.enabled]


async def one(webhook_id: str) -> output.Row | None:
    """One webhook; None if it is not there."""
    async with systems.the_store() as store:
        return await _whole(store, webhook_id)


async def enable(webhook_id: str) -> output.Row | None:
    """Switch it on; what it is then."""
    async with systems.the_store() as store:
        await store.webhooks.enable(webhook_id, now_ms=time.time_ns() // 1_000_000)
        return await _whole(store, webhook_id)


async def disable(webhook_id: str, reason: str) -> output.Row | None:
    """Switch it off; what it is then."""
    async with systems.the_store() as store:
        if await store.webhooks.disable(webhook_id, reason):
            await store.deliveries.clear(webhook_id)
        return await _whole(store, webhook_id)


async def _whole(store: Store, webhook_id: str) -> output.Row | None:
    webhook = await store.webhooks.get(webhook_id)
    if webhook is None:
        return None
    return {
        **_summary(webhook),
        "events": list(webhook.events),
        "created_at": rfc3339(webhook.created_ms),
        "waiting": await store.deliveries.waiting(webhook_id),
        "last_error": webhook.last_error,
        "disabled_reason": webhook.disabled_reason,
    }


def _summary(webhook: StoredWebhook) -> dict[str, object]:
    """The secret is nobody's business here."""
    return {
        "webhook_id": webhook.webhook_id,
        "owner": webhook.owner_id,
        "url": webhook.url,
        "conversation_id": webhook.conversation_id,
        "state": _state(webhook),
        "failures": webhook.failures,
        "failing_since": None if webhook.failing_since_ms is None else rfc3339(webhook.failing_since_ms),
        "dropped": webhook.dropped,
    }


def _state(webhook: StoredWebhook) -> str:
    if not webhook.enabled:
        return "disabled"
    return "failing" if webhook.failures else "enabled"
