"""receipts: marks become levels in MongoDB, and events. The shell around `watermarks`.

A batch costs one update and one event for each person, conversation and thread, however many marks it has::

    merge ─▶ look up conversations, memberships, thread marks, blocks ─▶ judge ─▶ raise ($max) ─▶ (the runner settles: events + acknowledgement)
                 ▲                                                           │
                 └────────────── a membership has changed meanwhile ◀────────┘

A mark of somebody who is not in the conversation, or of a thread that is none, is dropped: only a REST call hears of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic, time
from typing import Protocol

from backplane import telemetry
from backplane.errors import Transient
from backplane.store.blocks import StoredBlock, is_blocked
from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.marks import Key, Levels, Raise, StoredMark, marked_by
from backplane.store.messages import StoredMessage
from backplane.streams import Entry, Settled
from consumers.cache import Cache
from consumers.stages import Work
from consumers.tidings import own_receipt, receipts_of, refusal_of
from consumers.watermarks import Known, Verdict, judge, key_of, merged
from schemas.events import Event, make_answer
from schemas.ids import ConversationId, MessageId, StreamId, UserId
from schemas.marks import Mark, decode_mark
from schemas.names import AGAIN_FIELD, MARK_FIELD, Names

_ROUNDS = 10
_CROWDS_KEPT = 100_000
_CROWD_SECONDS = 60.0
"""How long a conversation counts as small or large: the limit keeps logs short, a minute more or less does no harm."""


class ConversationStore(Protocol):
    """What receipts need of `backplane.store.conversations.Conversations`."""

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, StoredConversation]:
        """Those that exist."""
        ...

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        """All members, those who left too."""
        ...


class MarkStore(Protocol):
    """What receipts need of `backplane.store.marks.Marks`."""

    async def members(self, keys: Sequence[Key]) -> dict[str, StoredMember]:
        """The memberships of these keys."""
        ...

    async def threads(self, keys: Sequence[Key]) -> dict[Key, StoredMark]:
        """The thread marks of these keys."""
        ...

    async def raise_to(self, raises: Sequence[Raise]) -> bool:
        """Raise levels; False if a membership has changed."""
        ...


class MessageStore(Protocol):
    """What receipts need of `backplane.store.messages.Messages`."""

    async def find(self, ids: Sequence[MessageId]) -> dict[MessageId, StoredMessage]:
        """Those that exist."""
        ...


class BlockStore(Protocol):
    """What receipts need of `backplane.store.blocks.Blocks`."""

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredBlock]]:
        """The blocks in these direct conversations."""
        ...


class Receipts:
    """The stage for one tenure of one partition.

    Args:
        names: of the deployment.
        partition: whose marks.
        conversations: for their newest message and their size.
        marks: where levels are stored.
        messages: whether a thread's root is one.
        blocks: whose marks the other one of a direct conversation is not to see.
        ring: tells a REST call that waits, by its channel; at most once.
        drop: makes people load their state.
        late_seconds: within which a write that was given up lands, or never does.
        everybody_up_to: members of a conversation in which everybody is told; in a larger one, a person's own devices.
    """

    def __init__(
        self,
        names: Names,
        partition: int,
        *,
        conversations: ConversationStore,
        marks: MarkStore,
        messages: MessageStore,
        blocks: BlockStore,
        ring: Callable[[str, bytes], Awaitable[object]],
        drop: Callable[[Sequence[UserId]], Awaitable[None]],
        late_seconds: float,
        everybody_up_to: int,
    ) -> None:
        self._names, self._partition = names, partition
        self._conversations, self._marks, self._messages = conversations, marks, messages
        self._blocks = blocks
        self._ring, self._drop, self._late_seconds = ring, drop, late_seconds
        self._everybody_up_to = everybody_up_to
        self._crowds: Cache[ConversationId, tuple[int, float]] = Cache(_CROWDS_KEPT)
        self._answers: dict[StreamId, tuple[Mark, Event]] = {}

    def decode(self, entry: Entry) -> Mark:
        """Read a mark. Raises `ValueError` also for one that can never be handled here."""
        mark = decode_mark(entry.fields.get(MARK_FIELD, b""))
        if self._names.partition_of(mark.conversation_id) != self._partition:
            raise ValueError(f"conversation {mark.conversation_id} belongs to another partition")
        return mark

    def lane(self, item: Mark) -> Key:
        """Marks of one key go one after the other, so that `marked_by` names the last one."""
        return key_of(item)

    async def handle(self, era: str, works: Sequence[Work[Mark]]) -> list[Settled]:
        """Raise what is lower, and say what those concerned are to hear, with the last mark of each key."""
        del era
        known, verdicts = await self._raise(works)
        large = await self._large(
            [key.conversation_id for key, verdict in verdicts.items() if verdict.told or verdict.told_privately]
        )
        now_ms = int(time() * 1000)
        last = {key_of(work.item): work for work in works}
        events = {
            last[key].entry.id: receipts_of(
                key,
                verdict,
                last[key].entry.id,
                rev=known[key].rev,
                at_ms=last[key].item.at_ms,
                now_ms=now_ms,
                only_own=key.conversation_id in large,
            )
            for key, verdict in verdicts.items()
        }
        self._prepare_answers(works, verdicts, now_ms)
        return [Settled(work.entry.id, events.get(work.entry.id, ())) for work in works]

    async def give_up(self, entry: Entry, item: Mark | None) -> Sequence[Event]:
        """Tell the person that a mark of theirs is lost; the next one makes up for it."""
        if item is None:
            return ()
        event = refusal_of(item, "internal_error", int(time() * 1000))
        self._answers[entry.id] = (item, event)
        return [event]

    async def forsake(self, works: Sequence[Work[Mark]]) -> None:
        """Make those who would have been told load their state: the levels may be stored already, or land soon."""
        await asyncio.sleep(self._late_seconds)
        rooms = [work.item.conversation_id for work in works]
        large = await self._large(rooms)
        members = await self._conversations.members(sorted(set(rooms) - large))
        told = {member.user_id for room in members.values() for member in room if member.current}
        await self._drop(sorted(told | {work.item.actor_id for work in works}))

    async def after(self, done: Sequence[Settled]) -> None:
        """Answer REST calls that wait (hole C2)."""
        found = [self._answers.pop(settled.id) for settled in done if settled.id in self._answers]
        answers = [
            self._ring(mark.answer, make_answer(mark.mark_id, event))
            for mark, event in found
            if mark.answer is not None
        ]
        if answers:
            await asyncio.gather(*answers, return_exceptions=True)

    # Storing

    async def _raise(self, works: Sequence[Work[Mark]]) -> tuple[dict[Key, Known], dict[Key, Verdict]]:
        again = {work.entry.id for work in works if AGAIN_FIELD in work.entry.fields}
        asked = merged(((work.entry.id, work.item) for work in works), again)
        for _ in range(_ROUNDS):
            known = await self._look(list(asked))
            verdicts = {key: judge(asked[key], found) for key, found in known.items()}
            raises = [
                _raise(key, verdict, marked_by(asked[key].last), known[key].member_rev)
                for key, verdict in verdicts.items()
                if verdict.moved or verdict.moved_privately
            ]
            if await self._marks.raise_to(raises):
                _count(asked, verdicts)
                return known, verdicts
        raise Transient("memberships change again and again")

    async def _look(self, keys: Sequence[Key]) -> dict[Key, Known]:
        """What is stored about those keys whose person is in the conversation, and whose thread is one."""
        conversations = await self._conversations.find([key.conversation_id for key in keys])
        members = await self._marks.members(keys)
        threads = await self._marks.threads(keys)
        current = [
            key
            for key in keys
            if key.conversation_id in conversations and (found := members.get(key.member_id)) and found.current
        ]
        new = [key for key in current if key.thread_root_id is not None and key not in threads]
        roots = await self._messages.find([MessageId(key.thread_root_id or "") for key in new]) if new else {}
        no_thread = {key for key in new if not _is_root(key, roots)}
        directs = sorted(
            {key.conversation_id for key in current if conversations[key.conversation_id].kind == "direct"}
        )
        blocks = await self._blocks.find(directs) if directs else {}
        return {
            key: _known(
                conversations[key.conversation_id],
                members[key.member_id],
                threads.get(key),
                key,
                blocked=is_blocked(blocks.get(key.conversation_id, ()), key.user_id),
            )
            for key in current
            if key not in no_thread
        }

    async def _large(self, ids: Sequence[ConversationId]) -> set[ConversationId]:
        """Which of these conversations have too many members for everybody to be told."""
        now = monotonic()
        counts: dict[ConversationId, int] = {}
        for key in ids:
            found = self._crowds.get(key)
            if found is not None and found[1] > now:
                counts[key] = found[0]
        if wanted := sorted(set(ids) - set(counts)):
            for key, members in (await self._conversations.members(wanted)).items():
                counts[key] = sum(member.current for member in members)
                self._crowds.put(key, (counts[key], now + _CROWD_SECONDS))
        return {key for key, count in counts.items() if count > self._everybody_up_to}

    # Telling

    def _prepare_answers(self, works: Sequence[Work[Mark]], verdicts: Mapping[Key, Verdict], now_ms: int) -> None:
        for work in works:
            if work.item.answer is None:
                continue
            verdict = verdicts.get(key_of(work.item))
            if verdict is None:
                event = refusal_of(work.item, "not_member", now_ms)
            else:
                event = own_receipt(
                    key_of(work.item), verdict.levels, work.entry.id, at_ms=work.item.at_ms, now_ms=now_ms
                )
            self._answers[work.entry.id] = (work.item, event)


def _is_root(key: Key, roots: Mapping[MessageId, StoredMessage]) -> bool:
    root = roots.get(MessageId(key.thread_root_id or ""))
    return root is not None and root.conversation_id == key.conversation_id


def _known(
    conversation: StoredConversation, member: StoredMember, thread: StoredMark | None, key: Key, *, blocked: bool
) -> Known:
    marked = member if key.thread_root_id is None else thread
    levels = Levels(marked.delivered_seq, marked.read_seq, marked.private_read_seq) if marked else Levels()
    by, privately_by = (marked.marked_by, marked.privately_by) if marked else ("", "")
    return Known(levels, by, privately_by, member.rev, conversation.last_seq, conversation.rev, blocked)


def _raise(key: Key, verdict: Verdict, by: str, member_rev: int) -> Raise:
    return Raise(
        key,
        verdict.levels,
        marked_by=by if verdict.moved else "",
        privately_by=by if verdict.moved_privately else "",
        member_rev=member_rev,
    )


def _count(asked: Mapping[Key, object], verdicts: Mapping[Key, Verdict]) -> None:
    for key in asked:
        verdict = verdicts.get(key)
        telemetry.receipts.labels("refused" if verdict is None else _outcome(verdict)).inc()


def _outcome(verdict: Verdict) -> str:
    if verdict.moved or verdict.moved_privately:
        return "moved"
    return "redelivered" if verdict.told or verdict.told_privately else "repeated"
