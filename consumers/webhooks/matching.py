"""Which webhooks get an event: those whose owner is one of its recipients, and that asked for it. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from backplane.store.deliveries import StoredDelivery, delivery_id_of, sortable
from backplane.store.webhooks import StoredWebhook
from consumers.recipients import Audience
from schemas.events import EventHeader
from schemas.ids import StreamId, UserId
from schemas.names import Names
from schemas.webhooks import payload, wants

ByOwner = Mapping[UserId, Sequence[StoredWebhook]]

SKEW_MS: Final = 60_000
"""Events this much older than a webhook are not for it: it was made while the stage was behind. Less may be clocks that differ."""


def recipients(header: EventHeader, audience: Audience | None, names: Names) -> Collection[UserId]:
    """Who gets an event, by the rule of the user logs (hole B9): a webhook never gets what its owner would not."""
    if header.to:
        return header.to
    if audience is None:
        return ()
    return {user for users in audience.of_event(header, names).values() for user in users}


def interested(header: EventHeader, at: StreamId, users: Collection[UserId], webhooks: ByOwner) -> list[StoredWebhook]:
    """The webhooks of these users that want this event."""
    return [
        webhook
        for owner in users
        for webhook in webhooks.get(owner, ())
        if webhook.conversation_id in {None, header.conversation_id}
        and wants(webhook.events, header.event)
        and at.ms >= webhook.active_ms - SKEW_MS
    ]


def delivery(
    webhook: StoredWebhook, header: EventHeader, body: bytes, at: StreamId, *, partition: int, now_ms: int
) -> StoredDelivery:
    """What is parked for one webhook."""
    return StoredDelivery(
        delivery_id=delivery_id_of(webhook.webhook_id, header.event_id),
        webhook_id=webhook.webhook_id,
        partition=partition,
        at=sortable(at),
        event_id=header.event_id,
        body=payload(webhook.webhook_id, body).decode(),
        parked_ms=now_ms,
    )
