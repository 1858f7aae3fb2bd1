"""A batch while it is decided: what an earlier intent has made counts for the later ones. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from backplane.store.attachments import StoredAttachment, next_version
from backplane.store.blocks import StoredBlock
from backplane.store.messages import StoredMessage, Thread
from backplane.store.operations import StoredOperation
from consumers import documents
from consumers.changes import Rules
from consumers.ledger import State, blockers_in
from consumers.plan import Plan
from schemas.ids import AttachmentId, ConversationId, IntentId, MessageId, OperationId, UserId


@dataclass(frozen=True, slots=True)
class Found:
    """What was looked up of a batch, beside the conversations' states."""

    messages: Mapping[MessageId, StoredMessage] = field(default_factory=dict[MessageId, StoredMessage])
    """Those that exist: all that the intents refer to; and all that they would make, once `repeats_known`."""
    attachments: Mapping[AttachmentId, StoredAttachment] = field(default_factory=dict[AttachmentId, StoredAttachment])
    """Those that the intents name, and those that the messages hold."""
    operations: Mapping[OperationId, StoredOperation] = field(default_factory=dict[OperationId, StoredOperation])
    blocks: Mapping[ConversationId, Sequence[StoredBlock]] = field(
        default_factory=dict[ConversationId, Sequence[StoredBlock]]
    )
    """Of direct conversations that may not exist yet."""
    again: frozenset[IntentId] = frozenset()
    """Intents that an operator has appended again; of these, `operations` has the refusals too."""
    threads: Mapping[MessageId, Thread] = field(default_factory=dict[MessageId, Thread])
    """Counted anew, by root, where the root's own count is in doubt."""


@dataclass(slots=True)
class Root:
    """A thread that the batch has touched."""

    message_id: MessageId
    conversation_id: ConversationId
    delta: int = 0
    last_ms: int = 0
    in_doubt: bool = False
    intent: int = 0
    """The last intent that touched it: the thread's event goes with it."""


class Batch:
    """The plan so far, and what is known beside it."""

    def __init__(self, states: Mapping[ConversationId, State], found: Found, rules: Rules, now_ms: int) -> None:
        self.plan = Plan(states=dict(states))
        self.messages = dict(found.messages)
        self.attachments = dict(found.attachments)
        self.operations = dict(found.operations)
        self.blocks: dict[ConversationId, dict[UserId, StoredBlock]] = {
            key: dict(blockers_in(blocks)) for key, blocks in found.blocks.items()
        }
        self.again = found.again
        self.rules, self.now_ms = rules, now_ms
        self._threads = found.threads
        self._roots: dict[MessageId, Root] = {}

    def fill_holes(self) -> None:
        """Give every number that holds no message a void, before anything is numbered (holes A8, A9)."""
        for conversation_id in self.plan.states:
            self._fill_holes(conversation_id)

    def next_rev(self, state: State) -> int:
        """Take the conversation's next number."""
        key = state.conversation.conversation_id
        self.plan.states[key] = replace(self.plan.states[key], rev=state.rev + 1)
        return state.rev + 1

    def add_message(self, message: StoredMessage) -> None:
        """Store a new message, and bind to it the files that it holds."""
        self.plan.add_message(message)
        self.messages[message.message_id] = message
        for one in message.attachments:
            before = self.attachments[one.attachment_id]
            if before.message_id != message.message_id:
                bound = next_version(
                    before,
                    message_id=message.message_id,
                    conversation_id=message.conversation_id,
                    loose_ms=None,
                    check_ms=self.now_ms,
                )
                self._change_attachment(message.conversation_id, before, bound)

    def change_message(self, before: StoredMessage, after: StoredMessage) -> None:
        """Change a message, and withdraw the files that it holds no more."""
        self.plan.change_message(before, after)
        self.messages[after.message_id] = after
        for one in before.attachments if not after.attachments else ():
            known = self.attachments.get(one.attachment_id)
            if known is not None and known.message_id == after.message_id and known.gone_ms is None:
                self._change_attachment(after.conversation_id, known, next_version(known, gone_ms=self.now_ms))

    def _change_attachment(
        self, conversation_id: ConversationId, before: StoredAttachment, after: StoredAttachment
    ) -> None:
        self.plan.change_attachment(conversation_id, before, after)
        self.attachments[after.attachment_id] = after

    def touch_root(self, reply: StoredMessage, *, delta: int = 0, again: bool = False) -> None:
        """Note that a thread has one reply more or less; `again`: nobody knows whether the root has counted it."""
        if reply.thread_root_id is None:
            return
        root = self._roots.setdefault(
            MessageId(reply.thread_root_id), Root(MessageId(reply.thread_root_id), reply.conversation_id)
        )
        root.delta += delta
        root.in_doubt |= again
        root.intent = len(self.plan.outcomes)
        if not reply.gone:
            root.last_ms = max(root.last_ms, reply.created_ms)

    def refresh_roots(self) -> None:
        """Bring the roots of the threads up to date, after everything else."""
        for root in self._roots.values():
            self._refresh_root(root)

    def _refresh_root(self, root: Root) -> None:
        message = self.messages.get(root.message_id)
        if message is None or message.wiped:
            return
        counted = self._threads.get(root.message_id)
        if root.in_doubt and counted is None:
            self.plan.uncounted.append(message)
            return
        before = counted or Thread(message.reply_count, message.last_reply_ms)
        after = replace(
            message,
            reply_count=max(0, before.replies + root.delta),
            last_reply_ms=max(before.last_ms or 0, root.last_ms) or None,
        )
        if after != message:
            state = self.plan.states[root.conversation_id]
            after = replace(after, rev=self.next_rev(state))
            self.plan.change_message(message, after, own_step=True)
            self.messages[root.message_id] = after
        self.plan.threads.setdefault(root.intent, []).append(after)

    def _fill_holes(self, conversation_id: ConversationId) -> None:
        state = self.plan.states[conversation_id]
        voids = list(state.voids)
        for seq in state.holes:
            void = documents.void(conversation_id, seq, state.rev + 1, self.now_ms)
            state = replace(state, rev=void.rev)
            self.plan.add_message(void)
            voids.append(void)
        if voids:
            self.plan.voids[conversation_id] = voids
            self.plan.states[conversation_id] = replace(state, holes=(), voids=())
