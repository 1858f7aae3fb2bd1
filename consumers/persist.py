"""persist: intents become messages and conversations in MongoDB, and events. The shell around `decide`.

Each batch writes in one order, and a crash after any step leaves something that the next owner continues from::

    states, targets ─▶ decide ─▶ step by step: creations, changes, messages, audit, operations ─▶ counters ─▶ (the runner settles)
       ▲                                         │
       └──── look repeats up, decide again ◀─────┘ refused by a unique index, or changed by somebody else

The numbers in `conversations` are raised after the messages they count: everything up to `last_seq` is stored without a gap,
and whoever reads changes up to `conversations.rev` misses none (hole C7).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from time import time
from typing import NamedTuple, TypeVar

import msgspec

from backplane import telemetry
from backplane.errors import Transient, Unknown
from backplane.store.conversations import Counters
from backplane.store.messages import StoredMessage
from backplane.streams import Entry, Settled
from consumers.batch import Found
from consumers.changes import Rules
from consumers.decide import attachment_ids, decide, message_ids, operation_ids, refusal_ids, target_ids
from consumers.ledger import Ledger, State, first_touch
from consumers.pace import Pace
from consumers.plan import Outcome, Plan, Rejected, Repeated, Step
from consumers.stages import Claim, Work
from consumers.stores import Stores
from consumers.verdicts import events_of, message_event, message_voided, rejection, salvaged_rejection, thread_updated
from schemas.events import Event, make_answer
from schemas.ids import ConversationId, IntentId, MessageId, StreamId, UserId
from schemas.intents import CreateConversation, ExpireMessages, Intent, SendMessage, SetBlock, decode_intent
from schemas.names import AGAIN_FIELD, INTENT_FIELD, Names

R = TypeVar("R")

_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: what `rfc3339` can say."""
_ROUNDS = 10
_SKEW_MS = 5_000
"""How far a gateway's clock may be ahead of ours."""
_LOADS_AT_ONCE = 20


class Persist:
    """The stage for one tenure of one partition.

    Args:
        names: of the deployment.
        partition: the intents of other partitions' conversations are refused: they would have two owners.
        claim: the tenure.
        stores: what it reads and writes.
        ring: tells a REST call that waits, by its channel; at most once.
        drop: makes people load their state.
        late_seconds: within which a write that was given up lands, or never does.
        rules: the bounds that are settings.
    """

    def __init__(
        self,
        names: Names,
        partition: int,
        claim: Claim,
        *,
        stores: Stores,
        ring: Callable[[str, bytes], Awaitable[object]],
        drop: Callable[[Sequence[UserId]], Awaitable[None]],
        late_seconds: float,
        rules: Rules,
    ) -> None:
        self._names, self._partition, self._claim = names, partition, claim
        self._messages, self._conversations, self._operations, self._blocks, self._audit, self._attachments = stores
        self._ring, self._drop, self._rules = ring, drop, rules
        self._late_seconds, self._left_open = late_seconds, False
        self._era, self._doubtful_ms = "", 0
        self._ledger = Ledger()
        self._announcements: dict[StreamId, tuple[Intent, Event]] = {}
        self._raise_later: dict[ConversationId, State] = {}

    def decode(self, entry: Entry) -> Intent:
        """Read an intent. Raises `ValueError` also for one that can never be handled here."""
        intent = decode_intent(entry.fields.get(INTENT_FIELD, b""))
        if self._names.partition_of(intent.conversation_id) != self._partition:
            raise ValueError(f"conversation {intent.conversation_id} belongs to another partition")
        if not 0 <= intent.at_ms <= _LATEST_MS:
            raise ValueError(f"at_ms is no time: {intent.at_ms}")
        return intent

    def lane(self, item: Intent) -> ConversationId:
        """Intents of one conversation keep their order (hole C16)."""
        return item.conversation_id

    async def handle(self, era: str, works: Sequence[Work[Intent]]) -> list[Settled]:
        """Store what is new, and say what everybody, or the sender alone, is to hear of each intent."""
        if era != self._era:
            # A Redis that came back may have forgotten what it had given out, and give it out as new.
            self._era, self._doubtful_ms = era, _now_ms() + _SKEW_MS
        intents = [work.item for work in works]
        again = frozenset(work.item.intent_id for work in works if AGAIN_FIELD in work.entry.fields)
        seen = again | {work.item.intent_id for work in works if work.seen or work.item.at_ms <= self._doubtful_ms}
        touched = {intent.conversation_id for intent in intents}
        try:
            plan = await self._store(intents, touched, _Before(seen, again))
        except BaseException:
            # What was written is not known here: the numbers are read again before the next one is given.
            self._ledger.forget(touched)
            raise
        return self._render(works, plan)

    async def give_up(self, entry: Entry, item: Intent | None) -> Sequence[Event]:
        """Refuse with `internal_error`; but what is stored after all is announced, because a refused message is never stored."""
        now_ms = _now_ms()
        if item is None:
            event = salvaged_rejection(entry.fields.get(INTENT_FIELD, b""), now_ms)
            return [] if event is None else [event]
        event = None
        if isinstance(item, SendMessage):
            found = await self._messages.find(message_ids([item]))
            if message := next(iter(found.values()), None):
                to = None if message.intent_id == item.intent_id else item.actor_id
                event = message_event("message.created", message, item, now_ms, again_to=to)
        event = event or rejection(item, "internal_error", now_ms)
        self._announcements[entry.id] = (item, event)
        return [event]

    async def forsake(self, works: Sequence[Work[Intent]]) -> None:
        """Make the members of these conversations, and who asked, load their state: some of it may be stored already."""
        if self._left_open:
            await asyncio.sleep(self._late_seconds)
        rooms = sorted({work.item.conversation_id for work in works})
        members = await self._conversations.members(rooms)
        concerned = {member.user_id for room in members.values() for member in room if member.current}
        await self._drop(sorted(concerned | {work.item.actor_id for work in works}))

    async def after(self, done: Sequence[Settled]) -> None:
        """Answer REST calls that wait (hole C2), and raise the counters that had to come after the settle."""
        now_ms = _now_ms()
        answers: list[Awaitable[object]] = []
        for settled in done:
            announcement = self._announcements.pop(settled.id, None)
            if announcement is None:
                continue
            intent, event = announcement
            if event.header.event == "message.created":
                telemetry.message_seconds.labels("stored").observe(max(0, now_ms - intent.at_ms) / 1000)
            if intent.answer is not None:
                answers.append(self._ring(intent.answer, make_answer(intent.intent_id, event)))
        if answers:
            await asyncio.gather(*answers, return_exceptions=True)
        if self._raise_later:
            later, self._raise_later = self._raise_later, {}
            await self._raise(later)

    # Storing

    async def _store(self, intents: Sequence[Intent], touched: Iterable[ConversationId], before: "_Before") -> Plan:
        repeats_known = bool(before.seen)
        found = await self._find(intents, before, repeats=repeats_known)
        for _ in range(_ROUNDS):
            states = await self._states(touched)
            plan = decide(intents, states, found, rules=self._rules, now_ms=_now_ms())
            # Resent messages are rare, so none is looked up in advance: a new message that is none hits the unique index, and then,
            # or before anything is refused (hole A3), the whole batch is looked up and decided again (docs/adr/0002).
            if not repeats_known and any(isinstance(outcome, Rejected) for outcome in plan.outcomes):
                found, repeats_known = await self._find(intents, before, repeats=True), True
                continue
            if plan.uncounted:
                found = replace(found, threads=await self._messages.count_replies(plan.uncounted))
                continue
            if await self._write(plan):
                return plan
            # A number or an id was taken by somebody else: a predecessor's late write, or we are the late one. What of this plan
            # was stored is definite, so deciding again finds it as a repeat and goes on with the rest (holes C4, C6).
            self._ledger.forget(touched)
            await self._claim.confirm()
            before = before._replace(seen=frozenset(intent.intent_id for intent in intents))
            found, repeats_known = await self._find(intents, before, repeats=True), True
        raise Transient("the numbers are taken by somebody else, again and again")

    async def _find(self, intents: Sequence[Intent], before: "_Before", *, repeats: bool) -> Found:
        ids = list({*target_ids(intents), *(message_ids(intents) if repeats else ())})
        operations = operation_ids(intents) + refusal_ids([one for one in intents if one.intent_id in before.seen])
        rooms = {one.conversation_id for one in intents if isinstance(one, SetBlock | CreateConversation)}
        messages = await self._messages.find(ids) if ids else {}
        # A reply that goes counts no more, so its root changes too.
        roots = {MessageId(one.thread_root_id) for one in messages.values() if one.thread_root_id} - messages.keys()
        if roots:
            messages |= await self._messages.find(list(roots))
        for one in intents:
            if isinstance(one, ExpireMessages):
                messages |= await self._messages.between(one.conversation_id, one.after_seq, one.up_to_seq + 1)
        attachments = attachment_ids(intents, messages.values())
        return Found(
            messages=messages,
            attachments=await self._attachments.find(attachments) if attachments else {},
            operations=await self._operations.find(operations) if operations else {},
            blocks=await self._blocks.find(list(rooms)) if rooms else {},
            again=before.again,
        )

    async def _states(self, touched: Iterable[ConversationId]) -> dict[ConversationId, State]:
        known = self._ledger.get(touched)
        unknown = [conversation_id for conversation_id in touched if conversation_id not in known]
        for start in range(0, len(unknown), _LOADS_AT_ONCE):
            known |= await self._load(unknown[start : start + _LOADS_AT_ONCE])
        return known

    async def _load(self, ids: Sequence[ConversationId]) -> dict[ConversationId, State]:
        stored = await self._conversations.find(ids)
        if not stored:
            return {}
        directs = [key for key, found in stored.items() if found.kind == "direct"]
        members, blocks, unraised = await asyncio.gather(
            self._conversations.members(list(stored)),
            self._blocks.find(directs),
            asyncio.gather(*(self._messages.unraised(key, found.rev) for key, found in stored.items())),
        )
        return {
            key: first_touch(found, members.get(key, []), changed, blocks.get(key, ()))
            for (key, found), changed in zip(stored.items(), unraised, strict=True)
        }

    async def _write(self, plan: Plan) -> bool:
        """Write a plan in its order; False if something that it did not know of is in the way."""
        for step in plan.steps:
            if not await self._write_step(step):
                return False
        # A void's event belongs to no intent: were its number raised before the settle, a crash in between would lose the event,
        # because the next owner looks for voids above `last_seq` only.
        later = {key: state for key, state in plan.states.items() if key in plan.voids}
        await self._raise({key: state for key, state in plan.states.items() if key not in later})
        self._ledger.put(later.values())
        self._raise_later |= later
        return True

    async def _write_step(self, step: Step) -> bool:
        for conversation, members in step.conversations:
            stored = await self._definitely(partial(self._conversations.create, conversation, members))
            if stored.intent_id != conversation.intent_id:
                return False
        if not await self._write_changes(step):
            return False
        if not await self._insert(step.messages):
            return False
        if step.audits:
            await self._definitely(partial(self._audit.record, step.audits))
        # Last, because it says that all of the above is done (hole B12).
        if step.operations:
            await self._definitely(partial(self._operations.record, step.operations))
        return True

    async def _write_changes(self, step: Step) -> bool:
        writes: list[Callable[[], Awaitable[bool]]] = []
        # First: a message never shows a file that another one holds, and a file of a message that goes is withdrawn before it goes.
        if step.changed_attachments:
            writes.append(partial(self._attachments.change, step.changed_attachments))
        if step.changed_blocks:
            writes.append(partial(self._blocks.change, list(step.changed_blocks.values())))
        if step.changed_conversations:
            writes.append(partial(self._conversations.change, list(step.changed_conversations.values())))
        if step.changed_members:
            writes.append(partial(self._conversations.change_members, step.changed_members, step.listed_ms))
        if step.changed_messages:
            writes.append(partial(self._messages.change, list(step.changed_messages.values())))
        for write in writes:
            if not await self._definitely(write):
                return False
        return True

    async def _insert(self, documents: Sequence[StoredMessage]) -> bool:
        rest: list[StoredMessage] = list(documents)
        while rest:
            inserted: int = await self._definitely(partial(self._messages.insert, rest))
            rest = rest[inserted:]
            if rest:
                stored = await self._messages.find([message.message_id for message in rest])
                if not _same(stored.get(rest[0].message_id), rest[0]):
                    return False
                rest = [message for message in rest if not _same(stored.get(message.message_id), message)]
        return True

    async def _raise(self, states: dict[ConversationId, State]) -> None:
        if counters := [_counters(state) for state in states.values() if state.rev > state.raised_rev]:
            await self._definitely(partial(self._conversations.raise_counters, counters))
        self._ledger.put(_raised(state) for state in states.values())

    async def _definitely(self, write: Callable[[], Awaitable[R]]) -> R:
        """Make a write whose outcome was unknown again, identically, until it is known or the tenure is over.

        To decide anew meanwhile could reject what is being stored (hole C6). A lease outlives MongoDB's own limit, so that a
        write left open here is over before the next owner decides.
        """
        pace = Pace(1)
        is_open = False
        while True:
            try:
                return await write()
            except Transient as failure:
                is_open = is_open or isinstance(failure, Unknown)
                self._claim.trouble()
                if not is_open:
                    raise
                if not self._claim.alive:
                    self._left_open = True
                    raise Unknown("the tenure ended before the outcome of a write was known") from failure
            await self._claim.pause(pace.slower())

    # Telling

    def _render(self, works: Sequence[Work[Intent]], plan: Plan) -> list[Settled]:
        now_ms = _now_ms()
        voids = dict(plan.voids)
        settled: list[Settled] = []
        for index, (work, outcome) in enumerate(zip(works, plan.outcomes, strict=True)):
            conversation_id = work.item.conversation_id
            events = events_of(outcome, work.item, plan.states.get(conversation_id), now_ms)
            before = [message_voided(void, now_ms) for void in voids.pop(conversation_id, ())]
            after = [thread_updated(root, work.item, now_ms) for root in plan.threads.get(index, ())]
            settled.append(Settled(work.entry.id, (*before, *events, *after)))
            self._announcements[work.entry.id] = (work.item, events[0])
            _count(outcome)
        return settled


class _Before(NamedTuple):
    """Which intents of a batch may have been decided before: redelivered ones, those older than Redis' era, and what operators send again."""

    seen: frozenset[IntentId]
    again: frozenset[IntentId]


def _same(stored: StoredMessage | None, ours: StoredMessage) -> bool:
    """Whether a document is the one that we wrote: this very intent under this very number."""
    return stored is not None and (stored.intent_id, stored.seq, stored.rev) == (ours.intent_id, ours.seq, ours.rev)


def _counters(state: State) -> Counters:
    return Counters(
        conversation_id=state.conversation.conversation_id,
        rev=state.rev,
        last_seq=state.seq,
        last_message_id=state.last_message_id,
        oldest_ms=state.conversation.oldest_ms,
    )


def _raised(state: State) -> State:
    return state if state.raised_rev == state.rev else msgspec.structs.replace(state, raised_rev=state.rev)


def _count(outcome: Outcome) -> None:
    if isinstance(outcome, Repeated):
        telemetry.duplicates.labels("resent").inc()
    elif not isinstance(outcome, Rejected) and outcome.again:
        telemetry.duplicates.labels("redelivered").inc()


def _now_ms() -> int:
    return int(time() * 1000)
