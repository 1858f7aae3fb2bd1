"""What a batch comes to: what to write, step by step, and what is to be said of each intent. Pure.

A step is written whole before the next one begins, and within a step creations go before changes, changes before new messages,
then the audit log, and the record of operations last. A conversation's batch has a second step only where something depends on what the first one
writes: so what is stored is a prefix of what was numbered, as far as anything depends on it (hole A9)::

    send #1, send #2, edit #2, mute, send #3
    └────── step 1 ─┘ └───── step 2 ───────┘
"""

from dataclasses import dataclass, field

from backplane.store.attachments import StoredAttachment
from backplane.store.audit import AuditEntry
from backplane.store.blocks import StoredBlock
from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.messages import StoredMessage
from backplane.store.operations import StoredOperation
from consumers.ledger import State
from schemas.ids import ConversationId, MessageId, UserId


@dataclass(frozen=True, slots=True)
class Stored:
    """The message is stored, now or by an earlier try at this very intent: everybody hears of it."""

    message: StoredMessage
    again: bool = False


@dataclass(frozen=True, slots=True)
class Created:
    """The conversation is stored, now or by an earlier try at this very intent: everybody hears of it."""

    conversation_id: ConversationId
    again: bool = False


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """The message is as it is now: everybody who may see it hears of it."""

    message: StoredMessage
    again: bool = False


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """These memberships are as they are now."""

    rev: int
    members: tuple[StoredMember, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """Title or settings are as they are now; with `to`, what that member alone has set."""

    to: UserId | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """Somebody is blocked now, or no longer: their own devices hear of it."""

    user_id: UserId
    blocked: bool
    again: bool = False


Done = Stored | Created | MessageChanged | MembersChanged | ConversationChanged | Blocked


@dataclass(frozen=True, slots=True)
class Repeated:
    """Nothing is new: another intent had done the same before. Who asked hears alone, marked as a duplicate."""

    what: Done


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing is stored; its sender alone hears why."""

    code: str


Outcome = Done | Repeated | Rejected


@dataclass(slots=True)
class Step:
    """What is written together. Changes are (before, after); before None: it is new."""

    conversations: list[tuple[StoredConversation, tuple[StoredMember, ...]]] = field(
        default_factory=list[tuple[StoredConversation, tuple[StoredMember, ...]]]
    )
    changed_conversations: dict[ConversationId, tuple[StoredConversation, StoredConversation]] = field(
        default_factory=dict[ConversationId, tuple[StoredConversation, StoredConversation]]
    )
    changed_members: list[tuple[StoredMember | None, StoredMember]] = field(
        default_factory=list[tuple[StoredMember | None, StoredMember]]
    )
    """Each change by itself and in order: who may do what depends on it."""
    listed_ms: dict[ConversationId, int] = field(default_factory=dict[ConversationId, int])
    """When the conversations of new members were created."""
    changed_messages: dict[MessageId, tuple[StoredMessage, StoredMessage]] = field(
        default_factory=dict[MessageId, tuple[StoredMessage, StoredMessage]]
    )
    changed_blocks: dict[tuple[ConversationId, UserId], tuple[StoredBlock | None, StoredBlock]] = field(
        default_factory=dict[tuple[ConversationId, UserId], tuple[StoredBlock | None, StoredBlock]]
    )
    changed_attachments: list[tuple[StoredAttachment, StoredAttachment]] = field(
        default_factory=list[tuple[StoredAttachment, StoredAttachment]]
    )
    """Each change by itself and in order. What the other changes and the messages need is written before them."""
    messages: list[StoredMessage] = field(default_factory=list[StoredMessage])
    """In the order of their numbers, voids included."""
    audits: list[AuditEntry] = field(default_factory=list[AuditEntry])
    operations: list[StoredOperation] = field(default_factory=list[StoredOperation])


@dataclass(slots=True)
class Plan:
    """Built by `decide`, written by `persist`."""

    states: dict[ConversationId, State]
    """As they are once everything is written."""
    steps: list[Step] = field(default_factory=list[Step])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    """One for each intent, in the order given."""
    voids: dict[ConversationId, list[StoredMessage]] = field(default_factory=dict[ConversationId, list[StoredMessage]])
    """Voids whose event is to be emitted with the conversation's first intent."""
    threads: dict[int, list[StoredMessage]] = field(default_factory=dict[int, list[StoredMessage]])
    """Roots whose thread has changed, by the last intent that changed it: their event follows that of the intent."""
    uncounted: list[StoredMessage] = field(default_factory=list[StoredMessage])
    """Roots whose replies must be counted before this can be decided."""
    _places: dict[ConversationId, "_Place"] = field(default_factory=dict[ConversationId, "_Place"])

    def add_conversation(self, conversation: StoredConversation, members: tuple[StoredMember, ...]) -> None:
        """Create a conversation with its members."""
        place = self._place(conversation.conversation_id)
        self._step(place).conversations.append((conversation, members))
        place.settled = True

    def add_message(self, message: StoredMessage) -> None:
        """Store a new message."""
        place = self._place(message.conversation_id)
        if place.noted:
            place.next_step()
        self._step(place).messages.append(message)
        place.sent.add(message.message_id)

    def change_message(self, before: StoredMessage, after: StoredMessage, *, own_step: bool = False) -> None:
        """Change a message; `own_step`: after everything that this conversation has so far."""
        place = self._place(after.conversation_id)
        if own_step or place.noted or before.message_id in place.sent:
            place.next_step()
        changed = self._step(place).changed_messages
        first, _ = changed.get(after.message_id, (before, after))
        changed[after.message_id] = (first, after)
        place.settled = True

    def change_attachment(
        self, conversation_id: ConversationId, before: StoredAttachment, after: StoredAttachment
    ) -> None:
        """Change an attachment with, and before, what the conversation's step holds by now."""
        self._step(self._place(conversation_id)).changed_attachments.append((before, after))

    def change_member(self, before: StoredMember | None, after: StoredMember, listed_ms: int) -> None:
        """Change a membership, or begin one."""
        step = self._step_of_change(after.conversation_id)
        step.changed_members.append((before, after))
        step.listed_ms[after.conversation_id] = listed_ms

    def change_conversation(self, before: StoredConversation, after: StoredConversation) -> None:
        """Change title or settings."""
        changed = self._step_of_change(after.conversation_id).changed_conversations
        first, _ = changed.get(after.conversation_id, (before, after))
        changed[after.conversation_id] = (first, after)

    def change_block(self, before: StoredBlock | None, after: StoredBlock) -> None:
        """Block somebody, or no longer."""
        changed = self._step_of_change(after.conversation_id).changed_blocks
        key = (after.conversation_id, after.blocker_id)
        first, _ = changed.get(key, (before, after))
        changed[key] = (first, after)

    def add_operation(self, operation: StoredOperation, audit: AuditEntry | None, *, made_nothing: bool) -> None:
        """Record an operation with the change that it made, or after it, and what the audit log is to say of it.

        With `made_nothing` the record is all that there is of it: what would have made it something else comes after it.
        """
        place = self._place(operation.conversation_id)
        step = self._step(place)
        step.operations.append(operation)
        if audit is not None:
            step.audits.append(audit)
        if made_nothing:
            place.settled = place.noted = True

    def add_refusal(self, refusal: StoredOperation) -> None:
        """Record a refusal; what would have made it none comes after it."""
        place = self._place(refusal.conversation_id)
        self._step(place).operations.append(refusal)
        place.settled = place.noted = True

    def _place(self, conversation_id: ConversationId) -> "_Place":
        return self._places.setdefault(conversation_id, _Place())

    def _step_of_change(self, conversation_id: ConversationId) -> Step:
        """Who comes, goes or decides what may be said comes after what was said before."""
        place = self._place(conversation_id)
        if place.sent or place.settled:
            place.next_step()
        return self._step(place)

    def _step(self, place: "_Place") -> Step:
        while len(self.steps) <= place.step:
            self.steps.append(Step())
        return self.steps[place.step]


@dataclass(slots=True)
class _Place:
    """Where a conversation's next write goes."""

    step: int = 0
    sent: set[MessageId] = field(default_factory=set[MessageId])
    """Messages that the step stores."""
    settled: bool = False
    """Whether the step has made or refused anything in the conversation: who comes and goes after that waits for the next one."""
    noted: bool = False
    """Whether the step only records something, which was refused, or was so already: a change of a message that is stored after it, perhaps."""

    def next_step(self) -> None:
        self.step, self.sent, self.settled, self.noted = self.step + 1, set(), False, False
