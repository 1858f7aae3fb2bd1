"""persist's decision: repeats first, then checks, then numbers. Pure: no I/O, no clock.

::

    intents, in stream order ─┐
    conversation states ──────┼─▶ decide ─▶ Plan
    messages found by id ─────┘

The order of the questions is what keeps the promises: an intent that was already applied is answered from what is stored, whatever
has changed since (holes A1, A3); only a new one is checked; only one that passed gets a number, so the numbers have no gaps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import msgspec

from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.messages import StoredMessage
from consumers.ledger import State
from schemas.ids import ClientMsgId, ConversationId, MessageId, UserId, message_id_of
from schemas.intents import CreateConversation, Intent, SendMessage, body_hash


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
class Repeated:
    """Another intent had done the same before: its sender alone hears, marked as a duplicate."""

    what: StoredMessage | ConversationId


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing is stored; its sender alone hears why."""

    code: str


Outcome = Stored | Created | Repeated | Rejected


class Plan(msgspec.Struct):
    """What to write, in this order: `conversations`, `messages`, the counters of `states`; and what each intent came to."""

    conversations: list[tuple[StoredConversation, tuple[StoredMember, ...]]] = []
    messages: list[StoredMessage] = []
    """In the order of their numbers, voids included."""
    outcomes: list[Outcome] = []
    """One for each intent, in the order given."""
    voids: dict[ConversationId, list[StoredMessage]] = {}
    """Voids whose event is to be emitted with the conversation's first intent."""
    states: dict[ConversationId, State] = {}
    """As they are once everything is written."""


def decide(
    intents: Sequence[Intent],
    states: Mapping[ConversationId, State],
    found: Mapping[MessageId, StoredMessage],
    *,
    member_limit: int,
    now_ms: int,
) -> Plan:
    """Decide on a batch. `states` lacks the conversations that do not exist; `found` has the messages of `message_ids` that do."""
    return _Batch(states, found, member_limit, now_ms).decide(intents)


def message_ids(intents: Sequence[Intent]) -> list[MessageId]:
    """The ids to look up before `decide`: every message that these intents would make."""
    return [_message_id(intent) for intent in intents if isinstance(intent, SendMessage)]


class _Batch:
    """The batch so far: what an earlier intent has made counts for the later ones."""

    def __init__(
        self,
        states: Mapping[ConversationId, State],
        found: Mapping[MessageId, StoredMessage],
        member_limit: int,
        now_ms: int,
    ) -> None:
        self._plan = Plan(states=dict(states))
        self._found = dict(found)
        self._member_limit = member_limit
        self._now_ms = now_ms

    def decide(self, intents: Sequence[Intent]) -> Plan:
        for conversation_id in self._plan.states:
            self._fill_holes(conversation_id)
        for intent in intents:
            match intent:
                case SendMessage():
                    outcome = self._send(intent)
                case CreateConversation():
                    outcome = self._create(intent)
                case _ as never:
                    assert_never(never)
            self._plan.outcomes.append(outcome)
        return self._plan

    def _fill_holes(self, conversation_id: ConversationId) -> None:
        state = self._plan.states[conversation_id]
        voids = list(state.voids)
        for seq in state.holes:
            void = _void(conversation_id, seq, state.rev + 1, self._now_ms)
            state = msgspec.structs.replace(state, rev=void.rev)
            self._plan.messages.append(void)
            voids.append(void)
        if voids:
            self._plan.voids[conversation_id] = voids
            self._plan.states[conversation_id] = msgspec.structs.replace(state, holes=(), voids=())

    def _send(self, intent: SendMessage) -> Outcome:
        message_id = _message_id(intent)
        before = self._found.get(message_id)
        if before is not None:
            if before.intent_id == intent.intent_id:
                return Stored(before, again=True)
            # The hash is of the first body, so that a repeat after an edit is not taken for another request (hole C13).
            return Repeated(before) if before.body_hash == body_hash(intent) else Rejected("idempotency_conflict")
        state = self._plan.states.get(intent.conversation_id)
        member = state.members.get(intent.actor_id) if state else None
        if state is None or member is None or not member.current:
            # The same answer for both: nobody learns which conversations exist.
            return Rejected("not_member")
        message = _message(intent, message_id, state)
        self._plan.messages.append(message)
        self._found[message_id] = message
        self._plan.states[intent.conversation_id] = msgspec.structs.replace(
            state, seq=message.seq, rev=message.rev, last_message_id=message_id
        )
        return Stored(message)

    def _create(self, intent: CreateConversation) -> Outcome:
        before = self._plan.states.get(intent.conversation_id)
        if before is not None:
            return _created_before(intent, before)
        members = tuple(dict.fromkeys(intent.member_ids))
        if fault := self._fault(intent, members):
            return Rejected(fault)
        conversation = _conversation(intent)
        documents = tuple(_member(intent, user_id) for user_id in members)
        self._plan.conversations.append((conversation, documents))
        self._plan.states[intent.conversation_id] = State(
            conversation=conversation,
            members={member.user_id: member for member in documents},
            seq=0,
            rev=conversation.rev,
            last_message_id=None,
            raised_rev=conversation.rev,
        )
        return Created(intent.conversation_id)

    def _fault(self, intent: CreateConversation, members: Sequence[UserId]) -> str | None:
        if len(members) > self._member_limit:
            return "member_limit"
        if intent.actor_id not in members or intent.kind not in {"direct", "group"}:
            return "bad_request"
        if intent.kind == "direct" and len(members) > 2:
            return "bad_request"
        return None


def _created_before(intent: CreateConversation, state: State) -> Outcome:
    first = state.conversation
    if first.intent_id == intent.intent_id:
        return Created(intent.conversation_id, again=True)
    member = state.members.get(intent.actor_id)
    if member is None or not member.current:
        return Rejected("not_member")
    # The one chat of two people is the same whoever asks for it, and with which words.
    if first.kind != "direct" and first.body_hash != body_hash(intent):
        return Rejected("idempotency_conflict")
    return Repeated(intent.conversation_id)


def _message_id(intent: SendMessage) -> MessageId:
    return message_id_of(intent.conversation_id, intent.actor_id, intent.client_msg_id)


def _message(intent: SendMessage, message_id: MessageId, state: State) -> StoredMessage:
    return StoredMessage(
        message_id=message_id,
        conversation_id=intent.conversation_id,
        seq=state.seq + 1,
        rev=state.rev + 1,
        sender_id=intent.actor_id,
        client_msg_id=intent.client_msg_id,
        intent_id=intent.intent_id,
        body_hash=body_hash(intent),
        text=intent.text,
        created_ms=intent.at_ms,
        reply_to=intent.reply_to,
        thread_root_id=intent.thread_root_id,
        mentions=intent.mentions,
    )


def _void(conversation_id: ConversationId, seq: int, rev: int, now_ms: int) -> StoredMessage:
    """A number that holds no message. Its `client_msg_id` is unique, because a missing one counts as null in the index (hole A8)."""
    key = ClientMsgId(f"void:{seq}")
    return StoredMessage(
        message_id=message_id_of(conversation_id, UserId(""), key),
        conversation_id=conversation_id,
        seq=seq,
        rev=rev,
        sender_id=None,
        client_msg_id=key,
        intent_id=key,
        body_hash="",
        text=None,
        created_ms=now_ms,
        void=True,
    )


def _conversation(intent: CreateConversation) -> StoredConversation:
    return StoredConversation(
        conversation_id=intent.conversation_id,
        kind=intent.kind,
        title=intent.title,
        created_by=intent.actor_id,
        created_ms=intent.at_ms,
        intent_id=intent.intent_id,
        body_hash=body_hash(intent),
        rev=1,
        last_seq=0,
    )


def _member(intent: CreateConversation, user_id: UserId) -> StoredMember:
    owner = intent.kind == "group" and user_id == intent.actor_id
    return StoredMember(
        conversation_id=intent.conversation_id,
        user_id=user_id,
        role="owner" if owner else "member",
        rev=1,
        spans=((1, None),),
    )
