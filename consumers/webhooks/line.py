"""One webhook's deliveries of one partition: the oldest is sent until it is through or given up, then the next.

Its waits are its own, so that a receiver that is slow or dead holds up nobody else. Everything that must not be forgotten is in
MongoDB: after a kill the next owner goes on with the same delivery, which its receiver may then see twice.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from time import time
from typing import Protocol

import structlog

from backplane import telemetry
from backplane.addresses import BadTarget, Target, parse_target
from backplane.errors import Transient
from backplane.outgoing import Unreached
from backplane.store.deliveries import StoredDelivery
from backplane.store.webhooks import StoredWebhook
from consumers.pace import Pace
from consumers.stages import Claim
from consumers.webhooks.policy import Limits, Record, Verdict, fault_of, judge, wait_seconds
from schemas.webhooks import EVENT_ID_HEADER, SIGNATURE_HEADER, USER_AGENT, sign

PAGE = 20

Post = Callable[[Target, bytes, Mapping[str, str]], Awaitable[int]]
"""`backplane.outgoing.Outgoing.post`."""

log = structlog.get_logger(__name__)


class Hooks(Protocol):
    """What a line needs of `backplane.store.webhooks.Webhooks`."""

    async def get(self, webhook_id: str) -> StoredWebhook | None: ...  # noqa: D102 - as there
    async def failed(self, webhook_id: str, error: str, *, now_ms: int) -> None: ...  # noqa: D102
    async def succeeded(self, webhook_id: str) -> None: ...  # noqa: D102
    async def disable(self, webhook_id: str, reason: str, *, unless_since: StoredWebhook | None = None) -> bool: ...  # noqa: D102
    async def lost(self, webhook_id: str, count: int) -> None: ...  # noqa: D102


class Parked(Protocol):
    """What a line needs of `backplane.store.deliveries.Deliveries`."""

    async def next(self, webhook_id: str, partition: int, *, limit: int) -> list[StoredDelivery]: ...  # noqa: D102
    async def remove(self, delivery_id: str) -> None: ...  # noqa: D102
    async def clear(self, webhook_id: str, partition: int | None = None) -> int: ...  # noqa: D102


class Line:
    """The deliveries that wait for one webhook in one partition, under one tenure."""

    def __init__(
        self, webhook_id: str, partition: int, claim: Claim, *, hooks: Hooks, parked: Parked, post: Post, limits: Limits
    ) -> None:
        self.webhook_id, self._partition, self._claim = webhook_id, partition, claim
        self._hooks, self._parked, self._post, self._limits = hooks, parked, post, limits
        self._failed_in_row = 0
        self.depth = 0
        """How many wait, as far as this process knows; at least as many as do."""
        self.more = False
        """Whether something was parked since the line last looked."""

    async def run(self) -> None:
        """Send until nothing waits any more, or the tenure is over."""
        pace = Pace(1)
        while self._claim.alive:
            try:
                if not await self._page():
                    return
                pace.recovered()
            except Transient as failure:
                log.warning("webhooks wait for MongoDB", webhook=self.webhook_id, error=str(failure))
                await self._claim.pause(pace.slower())

    async def _page(self) -> bool:
        """Go through some of what waits; False if there is nothing, and nothing came meanwhile."""
        self.more = False
        page = await self._parked.next(self.webhook_id, self._partition, limit=PAGE)
        if not page and not self.more:
            self.depth = 0
            return False
        for delivery in page:
            if not await self._deliver(delivery):
                break
        return True

    async def _deliver(self, delivery: StoredDelivery) -> bool:
        """Send one until it is through or given up; False if the page is not to be gone on with."""
        while self._claim.alive:
            # Each time as it is now: another secret, another address, or none at all.
            hook = await self._hooks.get(self.webhook_id)
            if hook is None or not hook.enabled:
                await self._abandon(hook)
                return False
            status, fault = await self._attempt(hook, delivery)
            if fault is None:
                await self._through(hook, delivery)
                return True
            self._failed_in_row += 1
            verdict = await self._fault(hook, delivery, status, fault)
            if not verdict.disable:
                await self._claim.pause(wait_seconds(self._failed_in_row, self._limits.retry_seconds, random.random()))
            if verdict.give_up:
                return True
        return False

    async def _attempt(self, hook: StoredWebhook, delivery: StoredDelivery) -> tuple[int | None, str | None]:
        """One POST: the status, and what is wrong; (…, None) if nothing is."""
        body = delivery.body.encode()
        headers = {
            SIGNATURE_HEADER: sign(hook.secret, body, int(time())),
            EVENT_ID_HEADER: delivery.event_id,
            "User-Agent": USER_AGENT,
        }
        try:
            # Of what scheme it may be was decided when it was made.
            status = await self._post(parse_target(hook.url, https_only=False), body, headers)
        except (Unreached, BadTarget) as failure:
            return None, str(failure)
        return status, fault_of(status)

    async def _through(self, hook: StoredWebhook, delivery: StoredDelivery) -> None:
        telemetry.webhook_deliveries.labels("delivered").inc()
        self._failed_in_row = 0
        await self._take_out(delivery)
        if hook.failures or hook.failing_since_ms is not None:
            await self._hooks.succeeded(self.webhook_id)

    async def _fault(self, hook: StoredWebhook, delivery: StoredDelivery, status: int | None, fault: str) -> Verdict:
        """Note a failed attempt and do what follows from it."""
        now_ms = int(time() * 1000)
        record = Record(hook.failures, hook.failing_since_ms)
        verdict = judge(status, record, parked_ms=delivery.parked_ms, now_ms=now_ms, limits=self._limits)
        telemetry.webhook_deliveries.labels("failed" if verdict.give_up else "retried").inc()
        log.info("a webhook delivery failed", webhook=self.webhook_id, event_id=delivery.event_id, error=fault)
        await self._hooks.failed(self.webhook_id, fault, now_ms=now_ms)
        if verdict.give_up:
            await self._take_out(delivery)
            await self._hooks.lost(self.webhook_id, 1)
        if verdict.disable and await self._hooks.disable(self.webhook_id, verdict.disable, unless_since=hook):
            telemetry.webhooks_disabled.labels("gone" if status == 410 else "failing").inc()
            log.warning("a webhook is disabled", webhook=self.webhook_id, reason=verdict.disable)
        return verdict

    async def _take_out(self, delivery: StoredDelivery) -> None:
        await self._parked.remove(delivery.delivery_id)
        self.depth = max(0, self.depth - 1)

    async def _abandon(self, hook: StoredWebhook | None) -> None:
        """Nobody wants what waits: the webhook is disabled or gone."""
        count = await self._parked.clear(self.webhook_id, self._partition)
        self.depth = 0
        if count:
            telemetry.webhook_deliveries.labels("dropped").inc(count)
            if hook is not None:
                await self._hooks.lost(self.webhook_id, count)
