"""fanout: every event goes to the log of each recipient, and rings their doorbells.

One append at a time for each shard, shards side by side, each repeated until it is definite: the watermark in the shard makes a
repeat harmless (hole B2). Events are never passed: what cannot be delivered drops its recipients' logs, so that they resync (A10).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Final, Protocol

import structlog

from backplane import telemetry
from backplane.errors import Transient
from backplane.grants import Membership, Pair
from backplane.logs import Delivery
from backplane.store.conversations import StoredMember
from backplane.streams import Entry, Settled
from consumers.cache import Cache
from consumers.pace import Pace
from consumers.recipients import Audience, ByShard, by_shard, changes_members
from consumers.stages import Claim, Work
from schemas.events import Event, EventHeader, decode_header
from schemas.ids import ConversationId, StreamId, UserId
from schemas.names import BODY_FIELD, HEADER_FIELD, Names

_MEMBERS_KEPT = 200_000
_LANE = "all"
_TRY_AGAIN_SECONDS = 3.0
_ENDS_MEMBERSHIP: Final[frozenset[str]] = frozenset({"member.left"})
"""Events that close the grant of the member they are about (hole C19). Nothing has to open one: who may is asked of the store."""

log = structlog.get_logger(__name__)


class Logs(Protocol):
    """What fanout needs of `backplane.logs.Logs`."""

    async def append(self, partition: int, era: str, shard: int, deliveries: Sequence[Delivery]) -> int:
        """Append to the logs of one shard and ring; what is not newer does nothing."""
        ...

    async def drop(self, users: Sequence[UserId]) -> None:
        """Make users resync."""
        ...

    async def renew_eras(self, shards: Sequence[int]) -> None:
        """Make everybody in these shards resync."""
        ...

    async def skip_shards(self, partition: int, shards: Sequence[int]) -> None:
        """Note shards as set aside."""
        ...

    async def skipped_shards(self, partition: int) -> set[int]:
        """Those set aside."""
        ...

    async def unskip_shard(self, partition: int, shard: int) -> None:
        """Give a shard a new era and forget that it was set aside."""
        ...


class Grants(Protocol):
    """What fanout needs of `backplane.grants.Grants`."""

    async def change(self, memberships: Sequence[Membership]) -> None:
        """Note what events say of memberships."""
        ...


class Members(Protocol):
    """What fanout needs of `backplane.store.conversations.Conversations`."""

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        """All members, those who left too."""
        ...


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as fanout reads it; the body stays as it is."""

    header: EventHeader
    body: bytes


class Fanout:
    """The stage for one tenure of one partition.

    Args:
        names: of the deployment.
        partition: whose events.
        claim: the tenure.
        logs: users' logs.
        grants: who may watch where.
        conversations: whose members are the recipients.
        skip_seconds: a shard away this long is set aside until it is back (hole B11).
    """

    def __init__(
        self,
        names: Names,
        partition: int,
        claim: Claim,
        *,
        logs: Logs,
        grants: Grants,
        conversations: Members,
        skip_seconds: float,
    ) -> None:
        self._names, self._partition, self._claim = names, partition, claim
        self._logs, self._grants, self._conversations = logs, grants, conversations
        self._skip_seconds = skip_seconds
        self._audiences: Cache[ConversationId, Audience] = Cache(_MEMBERS_KEPT)
        self._passed: Cache[ConversationId, int] = Cache(_MEMBERS_KEPT)
        """The highest `rev` whose change is behind us: what a known audience is good for."""
        self._skipped: set[int] = set()
        self._knows_skipped = False
        self._try_again_at: dict[int, float] = {}
        self._taken_ms: dict[StreamId, int] = {}

    def decode(self, entry: Entry) -> Fact:
        """Read an event's header; raises `ValueError` if it is none, or has no body."""
        header = decode_header(entry.fields.get(HEADER_FIELD, b""))
        if not (body := entry.fields.get(BODY_FIELD, b"")):
            raise ValueError("an event without a body")
        return Fact(header, body)

    def lane(self, item: Fact) -> str:
        """All in one: an event that was passed would be older than the watermark, and never delivered (hole C16)."""
        del item
        return _LANE

    async def handle(self, era: str, works: Sequence[Work[Fact]]) -> list[Settled]:
        """Append a batch, shard by shard; returns once every shard has it or is set aside."""
        if not self._knows_skipped:
            self._skipped = await self._logs.skipped_shards(self._partition)
            self._knows_skipped = True
        audiences = await self._learn([work.item.header for work in works])
        deliveries: dict[int, list[Delivery]] = {}
        changes: dict[int, list[Membership]] = {}
        for work in works:
            for change in _changes(work.item.header):
                changes.setdefault(self._names.shard_of(change.pair.user), []).append(change)
            for shard, users in self._recipients(work.item.header, audiences).items():
                deliveries.setdefault(shard, []).append(Delivery(work.entry.id, work.item.body, users))
        results = await asyncio.gather(
            *(self._append(era, shard, batch, changes.get(shard, ())) for shard, batch in deliveries.items()),
            return_exceptions=True,
        )
        # Gathered whole: no call may still be in flight when the batch is tried again.
        for result in results:
            if isinstance(result, BaseException):
                raise result
        self._taken_ms = {work.entry.id: work.item.header.at_ms for work in works}
        return [Settled(work.entry.id) for work in works]

    async def give_up(self, entry: Entry, item: Fact | None) -> Sequence[Event]:
        """Make the recipients resync before the event is buried; everybody, if nobody knows whose it was (hole A10)."""
        del entry
        if item is None:
            await self._logs.renew_eras(range(self._names.shards))
            return ()
        await self._grants.change(_changes(item.header))
        audiences = await self._learn([item.header])
        for users in self._recipients(item.header, audiences).values():
            await self._logs.drop(users)
        return ()

    async def forsake(self, works: Sequence[Work[Fact]]) -> None:
        """Nothing: what an event tells was stored before it, and a stream that lost events renews every log (hole A6)."""

    async def after(self, done: Sequence[Settled]) -> None:
        """Observe how long the way was."""
        now_ms = int(time() * 1000)
        for settled in done:
            if taken_ms := self._taken_ms.pop(settled.id, None):
                telemetry.message_seconds.labels("delivered").observe(max(0, now_ms - taken_ms) / 1000)

    # Recipients

    async def _learn(self, headers: Sequence[EventHeader]) -> dict[ConversationId, Audience]:
        """The audiences of these events; loads what is not known, or what one of the events changes.

        Members are stored before the event that tells of them, and spans say who was there when: to know more than an event does
        no harm. What is returned is whole even if the cache forgets some of it meanwhile.
        """
        audiences: dict[ConversationId, Audience] = {}
        wanted: set[ConversationId] = set()
        for header in headers:
            passed = self._passed.get(header.conversation_id) or 0
            # A receipt comes by another way than the changes of its conversation, and may outrun one that it already knows of:
            # somebody who has just been removed would be told, somebody who was just added would not.
            if changes_members(header) or (header.event == "receipt.updated" and header.rev > passed):
                self._audiences.drop(header.conversation_id)
            if header.rev > passed:
                self._passed.put(header.conversation_id, header.rev)
        for header in headers:
            if header.to:
                continue
            if (known := self._audiences.get(header.conversation_id)) is None:
                wanted.add(header.conversation_id)
            else:
                audiences[header.conversation_id] = known
        if wanted:
            found = await self._conversations.members(sorted(wanted))
            for key in wanted:
                audiences[key] = audience = Audience.of(found.get(key, []), self._names)
                self._audiences.put(key, audience, weight=1 + len(audience.members))
        return audiences

    def _recipients(self, header: EventHeader, audiences: dict[ConversationId, Audience]) -> ByShard:
        if header.to:
            return by_shard(header.to, self._names)
        return audiences[header.conversation_id].of_event(header, self._names)

    # Shards

    async def _append(
        self, era: str, shard: int, deliveries: Sequence[Delivery], changes: Sequence[Membership]
    ) -> None:
        """Append to one shard until that is definite, or pass it over once it has been away for too long.

        The grants first: who hears of a removal finds it closed. A shard that was passed over gets a new era, which voids them.
        """
        if not await self._is_back(shard):
            return
        pace = Pace(1)
        away_since: float | None = None
        while True:
            try:
                if changes:
                    await self._grants.change(changes)
                await self._logs.append(self._partition, era, shard, deliveries)
            except Transient as failure:
                away_since = away_since or monotonic()
                if not self._claim.alive:
                    raise
                if monotonic() - away_since >= self._skip_seconds:
                    await self._set_aside(shard, failure)
                    return
            else:
                return
            await self._claim.pause(pace.slower())

    async def _set_aside(self, shard: int, failure: Transient) -> None:
        # Noted before anything is passed over: whoever owns the partition when the shard is back must know.
        await self._logs.skip_shards(self._partition, [shard])
        self._skipped.add(shard)
        self._try_again_at[shard] = monotonic() + _TRY_AGAIN_SECONDS
        log.error("a user shard is away: its users will resync", shard=shard, error=str(failure))

    async def _is_back(self, shard: int) -> bool:
        """Whether to append to a shard; one that was set aside first gets a new era, so that its users resync (hole B11)."""
        if shard not in self._skipped:
            return True
        if monotonic() < self._try_again_at.get(shard, 0.0):
            return False
        try:
            await self._logs.unskip_shard(self._partition, shard)
        except Transient:
            self._try_again_at[shard] = monotonic() + _TRY_AGAIN_SECONDS
            return False
        self._skipped.discard(shard)
        return True


def _changes(header: EventHeader) -> tuple[Membership, ...]:
    """The grants that an event closes."""
    if header.about is None or header.event not in _ENDS_MEMBERSHIP:
        return ()
    return (Membership(Pair(header.about, header.conversation_id), header.rev, allowed=False),)
