"""The stage: events that a webhook wants are parked in MongoDB; from then on they are the sender's, and settled."""

from collections import Counter
from collections.abc import Sequence
from time import time

import structlog

from backplane import telemetry
from backplane.errors import Transient, Unknown
from backplane.store.deliveries import Deliveries, StoredDelivery
from backplane.store.webhooks import Webhooks
from backplane.streams import Entry, Settled
from consumers.cache import Cache
from consumers.fanout import Fact, Members
from consumers.recipients import Audience, changes_members
from consumers.stages import Work
from consumers.webhooks.directory import Directory
from consumers.webhooks.matching import ByOwner, delivery, interested, recipients
from consumers.webhooks.sender import Sender
from schemas.events import Event, EventHeader, decode_header
from schemas.ids import ConversationId
from schemas.names import BODY_FIELD, HEADER_FIELD, Names

_MEMBERS_KEPT = 100_000
_LANE = "all"

log = structlog.get_logger(__name__)


class WebhookStage:
    """The stage for one tenure of one partition.

    Args:
        names: of the deployment.
        partition: whose events.
        directory: all enabled webhooks.
        webhooks: where their losses are counted.
        deliveries: where events are parked.
        conversations: whose members are the recipients.
        sender: of the same tenure.
        queue_entries: deliveries that may wait for one webhook here; more are dropped.
    """

    def __init__(
        self,
        names: Names,
        partition: int,
        *,
        directory: Directory,
        webhooks: Webhooks,
        deliveries: Deliveries,
        conversations: Members,
        sender: Sender,
        queue_entries: int,
    ) -> None:
        self._names, self._partition = names, partition
        self._directory, self._webhooks, self._deliveries = directory, webhooks, deliveries
        self._conversations, self._sender, self._queue_entries = conversations, sender, queue_entries
        self._audiences: Cache[ConversationId, Audience] = Cache(_MEMBERS_KEPT)

    def decode(self, entry: Entry) -> Fact:
        """Read an event's header; raises `ValueError` if it is none, or has no body."""
        header = decode_header(entry.fields.get(HEADER_FIELD, b""))
        if not (body := entry.fields.get(BODY_FIELD, b"")):
            raise ValueError("an event without a body")
        return Fact(header, body)

    def lane(self, item: Fact) -> str:
        """All in one: what is parked is in the order of the stream."""
        del item
        return _LANE

    async def handle(self, era: str, works: Sequence[Work[Fact]]) -> list[Settled]:
        """Park what webhooks want of a batch."""
        del era
        webhooks = await self._directory.current()
        headers = [work.item.header for work in works]
        for header in headers:
            if changes_members(header):
                self._audiences.drop(header.conversation_id)
        if webhooks:
            await self._park(await self._wanted(works, webhooks))
        return [Settled(work.entry.id) for work in works]

    async def give_up(self, entry: Entry, item: Fact | None) -> Sequence[Event]:
        """Nobody is told: the dead letter is where it is seen, and can be retried from."""
        del entry, item
        return ()

    async def forsake(self, works: Sequence[Work[Fact]]) -> None:
        """Nothing: an emptied Redis has lost events, and what was not parked yet is not sent (docs/webhooks.md)."""

    async def after(self, done: Sequence[Settled]) -> None:
        """Nothing follows."""
        del done

    async def _wanted(self, works: Sequence[Work[Fact]], webhooks: ByOwner) -> list[StoredDelivery]:
        audiences = await self._learn([work.item.header for work in works])
        now_ms = int(time() * 1000)
        found: list[StoredDelivery] = []
        for work in works:
            header, at = work.item.header, work.entry.id
            users = recipients(header, audiences.get(header.conversation_id), self._names)
            found += [
                delivery(webhook, header, work.item.body, at, partition=self._partition, now_ms=now_ms)
                for webhook in interested(header, at, users, webhooks)
            ]
        return found

    async def _learn(self, headers: Sequence[EventHeader]) -> dict[ConversationId, Audience]:
        """The audiences of these events; loads what is not known. To know of later comings and goings does no harm (hole B9)."""
        wanted = {header.conversation_id for header in headers if not header.to}
        known = {key: audience for key in wanted if (audience := self._audiences.get(key)) is not None}
        if missing := sorted(wanted - known.keys()):
            found = await self._conversations.members(missing)
            for key in missing:
                known[key] = audience = Audience.of(found.get(key, []), self._names)
                self._audiences.put(key, audience, weight=1 + len(audience.members))
        return known

    async def _park(self, wanted: Sequence[StoredDelivery]) -> None:
        """Store deliveries and wake their lines; what a full line has no room for is dropped, and counted."""
        waiting = {key: await self._sender.depth(key) for key in dict.fromkeys(one.webhook_id for one in wanted)}
        kept: list[StoredDelivery] = []
        counts: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        for one in wanted:
            key = one.webhook_id
            if waiting[key] + counts[key] < self._queue_entries:
                counts[key] += 1
                kept.append(one)
            else:
                dropped[key] += 1
        try:
            await self._deliveries.park(kept)
        except Unknown as failure:
            raise Transient(str(failure)) from failure  # parking again is parking once
        telemetry.webhook_deliveries.labels("parked").inc(len(kept))
        for key, count in counts.items():
            self._sender.added(key, count, waiting=waiting[key])
        await self._overflowed(dropped)

    async def _overflowed(self, dropped: Counter[str]) -> None:
        for webhook_id, count in dropped.items():
            telemetry.webhook_deliveries.labels("dropped").inc(count)
            log.warning("a webhook has too many deliveries waiting: some are dropped", webhook=webhook_id, count=count)
            try:
                await self._webhooks.lost(webhook_id, count)
            except Transient as failure:
                # It is a figure for people; the batch is done and must not be done again for it.
                log.warning("dropped deliveries are not counted", webhook=webhook_id, error=str(failure))
