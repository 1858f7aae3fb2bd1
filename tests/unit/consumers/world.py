"""A tiny model of what persist stands on: one stream with its pending list, and a database with its unique indexes.

It can end the process after any write, lose a reply, or let a write land late, after the next owner has begun. The same shell
that runs on MongoDB runs on it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from backplane.errors import Fenced, Unknown
from backplane.store.attachments import StoredAttachment
from backplane.store.audit import AuditEntry
from backplane.store.blocks import StoredBlock
from backplane.store.conversations import Counters, StoredConversation, StoredMember
from backplane.store.messages import StoredMessage, Thread
from backplane.store.operations import StoredOperation
from backplane.streams import Entry, Settled
from consumers.changes import Rules
from consumers.persist import Persist
from consumers.stages import Work
from consumers.stores import Stores
from schemas.events import Event
from schemas.ids import AttachmentId, ConversationId, MessageId, OperationId, StreamId, UserId
from schemas.intents import Intent, SendMessage, body_hash, encode_intent
from schemas.names import INTENT_FIELD, Names

NAMES = Names(partitions=1, shards=1)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class World:
    """Everything that outlives a process. `writes` counts down to the fault; each single document is one write."""

    entries: list[Entry] = field(default_factory=list)
    taken: set[StreamId] = field(default_factory=set)
    acknowledged: set[StreamId] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    messages: dict[MessageId, StoredMessage] = field(default_factory=dict)
    conversations: dict[ConversationId, StoredConversation] = field(default_factory=dict)
    people: dict[tuple[ConversationId, UserId], StoredMember] = field(default_factory=dict)
    operations: dict[OperationId, StoredOperation] = field(default_factory=dict)
    blocks: dict[tuple[UserId, UserId], StoredBlock] = field(default_factory=dict)
    audit: dict[str, AuditEntry] = field(default_factory=dict)
    attachments: dict[AttachmentId, StoredAttachment] = field(default_factory=dict)
    era: str = ""
    """Of Redis: another one, when it may have forgotten something; with the first, an owner doubts nothing."""
    fault: Callable[[int], BaseException | None] = lambda _: None
    """Called with the number of each write that was done; what it returns is raised after that write."""
    late: list[Sequence[StoredMessage]] = field(default_factory=list)
    """Inserts of a dead process that have yet to land."""
    late_swaps: list[Callable[[], None]] = field(default_factory=list)
    """Changes of a dead process that have yet to land."""
    owner: int = 0
    written: int = 0
    looked_up: int = 0

    def append(self, *intents: Intent) -> None:
        for intent in intents:
            number = StreamId(len(self.entries) + 1, 0)
            self.entries.append(Entry(number, {INTENT_FIELD: encode_intent(intent)}))

    def wrote(self) -> None:
        self.written += 1
        if failure := self.fault(self.written):
            raise failure

    # What a unique index refuses

    def insert_one(self, message: StoredMessage) -> bool:
        for other in self.messages.values():
            if other.message_id == message.message_id:
                return False
            if other.conversation_id == message.conversation_id and (
                other.seq == message.seq
                or other.rev == message.rev
                or (other.sender_id, other.client_msg_id) == (message.sender_id, message.client_msg_id)
            ):
                return False
        self.messages[message.message_id] = message
        return True

    def land(self) -> None:
        """What a dead process had sent arrives, in order, up to the first refusal."""
        for batch in self.late:
            for message in batch:
                if not self.insert_one(message):
                    break
        self.late.clear()
        for swap in self.late_swaps:
            swap()
        self.late_swaps.clear()

    def swap(self, store: dict[Any, Any], key: object, before: Any, after: Any, guard: str) -> None:
        """Compare and set one document, as `backplane.store.swaps` does."""
        stored = store.get(key)
        if before is None or stored is None:
            same = before is stored
        else:
            same = getattr(stored, guard) == getattr(before, guard)
        if same:
            store[key] = after

    def thread(self, root_id: MessageId) -> Thread:
        replies = [message for message in self.messages.values() if message.thread_root_id == root_id]
        return Thread(sum(not reply.gone for reply in replies), max((one.created_ms for one in replies), default=None))

    def add_conversation(self, conversation: StoredConversation, members: Iterable[StoredMember]) -> None:
        for member in members:
            self.people.setdefault((member.conversation_id, member.user_id), member)
        self.conversations.setdefault(conversation.conversation_id, conversation)


class Process:
    """One life of an owner: its claim, its stores, its stage, until it is killed or has drained the stream."""

    def __init__(self, world: World, *, member_limit: int = 10, late_inserts: bool = False) -> None:
        self.world, self.late_inserts = world, late_inserts
        world.owner += 1
        self.me = world.owner
        self.rung: list[tuple[str, bytes]] = []
        self.dropped: list[UserId] = []
        self.stage = Persist(
            NAMES,
            0,
            self,
            stores=Stores(Inserts(self), Creates(self), Records(self), Blocked(self), Audited(self), Files(self)),
            ring=self.ring,
            drop=self.drop,
            late_seconds=0.0,
            rules=Rules(member_limit=member_limit),
        )

    def swap(self, changes: Iterable[tuple[dict[Any, Any], object, Any, Any, str]]) -> bool:
        """Make changes one by one, each a write; what was not made when the process is killed may land late."""
        todo = list(changes)
        for index, change in enumerate(todo):
            self.world.swap(*change)
            try:
                self.world.wrote()
            except Killed:
                if self.late_inserts:
                    self.world.late_swaps += [partial(self.world.swap, *late) for late in todo[index + 1 :]]
                raise
        newest = {key: (store, after) for store, key, _, after, _ in todo}
        return all(store.get(key) == after for key, (store, after) in newest.items())

    async def drain(self, batch: int) -> None:
        """Handle and settle everything that is not acknowledged, `batch` at a time."""
        while todo := [entry for entry in self.world.entries if entry.id not in self.world.acknowledged][:batch]:
            works = [Work(entry, self.stage.decode(entry), entry.id in self.world.taken) for entry in todo]
            self.world.taken |= {entry.id for entry in todo}
            done = await self.stage.handle(self.world.era, works)
            assert [settled.id for settled in done] == [entry.id for entry in todo]
            self.settle(done)
            await self.stage.after(done)

    def settle(self, done: Sequence[Settled]) -> None:
        self.confirm_now()
        for settled in done:
            if settled.id not in self.world.acknowledged:
                self.world.acknowledged.add(settled.id)
                self.world.events += settled.events
        self.world.wrote()

    async def ring(self, channel: str, payload: bytes) -> None:
        self.rung.append((channel, payload))

    async def drop(self, users: Sequence[UserId]) -> None:
        self.dropped += users

    # The claim

    @property
    def alive(self) -> bool:
        return self.world.owner == self.me

    def confirm_now(self) -> None:
        if not self.alive:
            raise Fenced("another owner")

    async def confirm(self) -> None:
        self.confirm_now()

    async def pause(self, seconds: float) -> None:
        pass

    def trouble(self) -> None:
        pass


class Inserts:
    """`messages` as one process sees it."""

    def __init__(self, process: Process) -> None:
        self.process, self.world = process, process.world

    async def find(self, ids: Sequence[MessageId]) -> dict[MessageId, StoredMessage]:
        self.world.looked_up += 1
        return {found: self.world.messages[found] for found in ids if found in self.world.messages}

    async def insert(self, documents: Sequence[StoredMessage]) -> int:
        for index, message in enumerate(documents):
            if not self.world.insert_one(message):
                return index
            try:
                self.world.wrote()
            except Killed:
                if self.process.late_inserts:
                    self.world.late.append(documents[index + 1 :])
                raise
        return len(documents)

    async def unraised(self, conversation_id: ConversationId, after_rev: int) -> list[StoredMessage]:
        return [
            message
            for message in self.world.messages.values()
            if message.conversation_id == conversation_id and message.rev > after_rev
        ]

    async def between(
        self, conversation_id: ConversationId, after_seq: int, up_to_seq: int
    ) -> dict[MessageId, StoredMessage]:
        return {
            key: message
            for key, message in self.world.messages.items()
            if message.conversation_id == conversation_id and after_seq < message.seq <= up_to_seq
        }

    async def change(self, changes: Sequence[tuple[StoredMessage, StoredMessage]]) -> bool:
        messages = self.world.messages
        return self.process.swap((messages, after.message_id, before, after, "rev") for before, after in changes)

    async def count_replies(self, roots: Sequence[StoredMessage]) -> dict[MessageId, Thread]:
        return {root.message_id: self.world.thread(root.message_id) for root in roots}


class Creates:
    """`conversations` and `members` as one process sees them."""

    def __init__(self, process: Process) -> None:
        self.process, self.world = process, process.world

    async def change(self, changes: Sequence[tuple[StoredConversation, StoredConversation]]) -> bool:
        stored = self.world.conversations
        swaps = []
        for before, after in changes:
            # The counters are not this change's to set.
            now = stored[after.conversation_id]
            left = msgspec.structs.replace(
                after,
                rev=now.rev,
                last_seq=now.last_seq,
                last_message_id=now.last_message_id,
                oldest_ms=now.oldest_ms,
            )
            swaps.append((stored, after.conversation_id, before, left, "version"))
        return self.process.swap(swaps)

    async def change_members(
        self, changes: Sequence[tuple[StoredMember | None, StoredMember]], listed_ms: Mapping[ConversationId, int]
    ) -> bool:
        assert {after.conversation_id for _, after in changes} <= listed_ms.keys()
        people = self.world.people
        return self.process.swap(
            (people, (after.conversation_id, after.user_id), before, after, "version") for before, after in changes
        )

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, StoredConversation]:
        return {found: self.world.conversations[found] for found in ids if found in self.world.conversations}

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        return {key: [member for (owner, _), member in self.world.people.items() if owner == key] for key in ids}

    async def create(self, conversation: StoredConversation, members: Sequence[StoredMember]) -> StoredConversation:
        for member in members:
            self.world.people.setdefault((member.conversation_id, member.user_id), member)
            self.world.wrote()
        stored = self.world.conversations.setdefault(conversation.conversation_id, conversation)
        self.world.wrote()
        return stored

    async def raise_counters(self, counters: Sequence[Counters]) -> None:
        for raised in counters:
            stored = self.world.conversations[raised.conversation_id]
            if stored.rev < raised.rev:
                self.world.conversations[raised.conversation_id] = msgspec.structs.replace(
                    stored,
                    rev=raised.rev,
                    last_seq=raised.last_seq,
                    last_message_id=raised.last_message_id,
                    oldest_ms=raised.oldest_ms,
                )
            self.world.wrote()


class Audited:
    """`audit` as one process sees it."""

    def __init__(self, process: Process) -> None:
        self.world = process.world

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        for entry in entries:
            self.world.audit.setdefault(entry.entry_id, entry)
            self.world.wrote()


class Records:
    """`operations` as one process sees them."""

    def __init__(self, process: Process) -> None:
        self.world = process.world

    async def find(self, ids: Sequence[OperationId]) -> dict[OperationId, StoredOperation]:
        return {found: self.world.operations[found] for found in ids if found in self.world.operations}

    async def record(self, operations: Sequence[StoredOperation]) -> None:
        for operation in operations:
            self.world.operations.setdefault(operation.operation_id, operation)
            self.world.wrote()


class Files:
    """`attachments` as one process sees them."""

    def __init__(self, process: Process) -> None:
        self.process, self.world = process, process.world

    async def find(self, ids: Sequence[AttachmentId]) -> dict[AttachmentId, StoredAttachment]:
        return {found: self.world.attachments[found] for found in ids if found in self.world.attachments}

    async def change(self, changes: Sequence[tuple[StoredAttachment, StoredAttachment]]) -> bool:
        files = self.world.attachments
        return self.process.swap((files, after.attachment_id, before, after, "version") for before, after in changes)


class Blocked:
    """`blocks` as one process sees them."""

    def __init__(self, process: Process) -> None:
        self.process, self.world = process, process.world

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredBlock]]:
        return {key: [block for block in self.world.blocks.values() if block.conversation_id == key] for key in ids}

    async def change(self, changes: Sequence[tuple[StoredBlock | None, StoredBlock]]) -> bool:
        blocks = self.world.blocks
        return self.process.swap(
            (blocks, (after.blocker_id, after.blocked_id), before, after, "version") for before, after in changes
        )


def killed_at(*numbers: int) -> Callable[[int], BaseException | None]:
    """The process is killed right after these writes."""
    return lambda number: Killed() if number in numbers else None


def reply_lost_at(*numbers: int) -> Callable[[int], BaseException | None]:
    """These writes are done, and nobody hears of it."""
    return lambda number: Unknown("no answer") if number in numbers else None


def check_promises(world: World, intents: Sequence[Intent]) -> None:
    """What has to be true once everything is acknowledged, whatever happened on the way (design, section 4)."""
    assert len(world.acknowledged) == len(world.entries), "everything was handled"
    told = [event.header for event in world.events]
    for conversation_id, conversation in world.conversations.items():
        inside = sorted(
            (found for found in world.messages.values() if found.conversation_id == conversation_id),
            key=lambda found: found.seq,
        )
        assert [found.seq for found in inside] == list(range(1, len(inside) + 1)), "seq has no gap"
        assert sorted({found.rev for found in inside}) == sorted(found.rev for found in inside), "a rev is given once"
        assert conversation.last_seq == len(inside), "the counter has caught up"
        assert conversation.rev >= max((found.rev for found in inside), default=1)
        assert any(key == conversation_id for key, _ in world.people), "no conversation is without members"
        for found in inside:
            name = "message.voided" if found.void else "message.created"
            assert (
                any(
                    header.event == name
                    and header.conversation_id == conversation_id
                    and header.rev == found.rev
                    and not header.to
                    for header in told
                )
                or found.ops
                or found.reply_count
                or found.wiped
            ), f"everybody heard of {found}"
    refused = {header.event_id for header in told if header.event == "message.rejected"}
    stored_by = {message.intent_id for message in world.messages.values()}
    assert not refused & stored_by, "what was refused is not stored"
    for intent in intents:
        if isinstance(intent, SendMessage) and intent.intent_id not in refused:
            mine = [
                found
                for found in world.messages.values()
                if (found.conversation_id, found.sender_id, found.client_msg_id)
                == (intent.conversation_id, intent.actor_id, intent.client_msg_id)
            ]
            assert len(mine) == 1, "stored exactly once"
            assert mine[0].repeats(body_hash(intent)), "and it is what was sent, or nothing is left of it"
