"""persist's decision: repeats first, then checks, then numbers. Pure: no I/O, no clock.

::

    intents, in stream order ─┐
    conversation states ──────┼─▶ decide ─▶ Plan: steps to write, one after the other; what each intent came to
    what was found of repeats,┘
    targets and blocks

The order of the questions is what keeps the promises: an intent that was already applied is answered from what is stored, whatever
has changed since (holes A1–A3); only a new one is checked; only one that passed gets a number, so `seq` has no gaps.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from backplane.store.attachments import StoredAttachment
from backplane.store.blocks import is_blocked
from backplane.store.conversations import StoredMember, hidden_seq
from backplane.store.messages import StoredMessage
from backplane.store.operations import rejection_id
from consumers import documents
from consumers.apply import apply
from consumers.batch import Batch, Found
from consumers.changes import Refused, Rules, actor_of, check, check_not_blocked
from consumers.expire import begun
from consumers.ledger import State
from consumers.plan import Created, Outcome, Plan, Rejected, Repeated, Stored
from schemas.attachments import REFUSED
from schemas.ids import AttachmentId, ConversationId, MessageId, OperationId, UserId
from schemas.intents import (
    AddMembers,
    ChangeMine,
    ChangeRole,
    CreateConversation,
    ExpireMessages,
    Intent,
    RemoveMember,
    SendMessage,
    SetBlock,
    UpdateConversation,
    body_hash,
)


def decide(
    intents: Sequence[Intent], states: Mapping[ConversationId, State], found: Found, *, rules: Rules, now_ms: int
) -> Plan:
    """Decide on a batch. `states` lacks the conversations that do not exist."""
    batch = Batch(states, found, rules, now_ms)
    batch.fill_holes()
    for intent in intents:
        try:
            outcome = _decide(batch, intent)
        except Refused as refused:
            outcome = Rejected(refused.code)
        if isinstance(outcome, Rejected):
            batch.plan.add_refusal(documents.refusal(intent, outcome.code))
        batch.plan.outcomes.append(outcome)
    batch.refresh_roots()
    return batch.plan


def message_ids(intents: Sequence[Intent]) -> list[MessageId]:
    """Every message that these intents would make: found, they are repeats."""
    return [documents.message_id(intent) for intent in intents if isinstance(intent, SendMessage)]


def target_ids(intents: Sequence[Intent]) -> list[MessageId]:
    """Every message that these intents refer to."""
    ids: list[MessageId] = []
    for intent in intents:
        match intent:
            case SendMessage():
                ids += [MessageId(one) for one in (intent.reply_to, intent.thread_root_id) if one is not None]
            case CreateConversation() | AddMembers() | RemoveMember() | ChangeRole() | ChangeMine():
                pass
            case UpdateConversation() | SetBlock() | ExpireMessages():
                pass
            case _:
                ids.append(intent.message_id)
    return ids


def attachment_ids(intents: Sequence[Intent], messages: Iterable[StoredMessage]) -> list[AttachmentId]:
    """Every attachment that these intents name, or that these messages hold."""
    named = [key for intent in intents if isinstance(intent, SendMessage) for key in intent.attachments]
    return [*named, *(one.attachment_id for message in messages for one in message.attachments)]


def operation_ids(intents: Sequence[Intent]) -> list[OperationId]:
    """The ids under which these changes are remembered."""
    return [
        documents.operation_id(intent) for intent in intents if not isinstance(intent, SendMessage | CreateConversation)
    ]


def refusal_ids(intents: Sequence[Intent]) -> list[OperationId]:
    """The ids under which refusals of these intents are recorded."""
    return [rejection_id(intent.intent_id) for intent in intents]


def _decide(batch: Batch, intent: Intent) -> Outcome:
    if refused := batch.operations.get(rejection_id(intent.intent_id)):
        return Rejected(refused.code)
    match intent:
        case SendMessage():
            return _send(batch, intent)
        case CreateConversation():
            return _create(batch, intent)
        case _:
            return apply(batch, intent)


def _send(batch: Batch, intent: SendMessage) -> Outcome:
    message_id = documents.message_id(intent)
    before = batch.messages.get(message_id)
    if before is not None:
        if before.intent_id == intent.intent_id:
            batch.touch_root(before, again=True)
            return Stored(before, again=True)
        # The hash is of the first body, so that a repeat after an edit is not taken for another request (hole C13).
        return Repeated(Stored(before)) if before.repeats(body_hash(intent)) else Rejected("idempotency_conflict")
    state, member = actor_of(batch.plan.states.get(intent.conversation_id), intent.actor_id)
    _check_send(batch, intent, state, member)
    attachments = [_usable(batch, intent, key, message_id) for key in intent.attachments]
    message = documents.message(intent, message_id, state, attachments)
    batch.add_message(message)
    batch.plan.states[intent.conversation_id] = replace(
        state,
        conversation=begun(state.conversation, message),
        seq=message.seq,
        rev=message.rev,
        last_message_id=message_id,
    )
    batch.touch_root(message, delta=1)
    return Stored(message)


def _check_send(batch: Batch, intent: SendMessage, state: State, member: StoredMember) -> None:
    check(state, member, "message.send")
    check_not_blocked(state, intent.actor_id)
    if state.conversation.kind == "direct" and not all(one.current for one in state.members.values()):
        raise Refused("blocked")  # the other person is there no more
    if documents.EVERYBODY in intent.mentions:
        check(state, member, "message.send.all")
    for key in (intent.reply_to, intent.thread_root_id):
        target = batch.messages.get(MessageId(key)) if key is not None else None
        if key is not None and not _is_visible(target, state, member):
            raise Refused("not_found")
        if target is not None and key == intent.thread_root_id and target.thread_root_id is not None:
            raise Refused("bad_request")  # a thread within a thread


def _usable(batch: Batch, intent: SendMessage, attachment_id: AttachmentId, message_id: MessageId) -> StoredAttachment:
    """An attachment that this message may hold: its sender's own, uploaded, not refused, in no other message.

    Bound to this very message before a crash, it stays so whatever was found in it since.
    """
    found = batch.attachments.get(attachment_id)
    if found is None or found.owner_id != intent.actor_id or found.gone_ms is not None:
        raise Refused("unknown_attachment")
    if found.message_id is not None and found.message_id != message_id:
        raise Refused("attachment_used")
    if found.status == "uploading":
        raise Refused("attachment_not_ready")
    if found.status in REFUSED and found.message_id is None:
        raise Refused("attachment_gone")
    return found


def _is_visible(message: StoredMessage | None, state: State, member: StoredMember) -> bool:
    if message is None or message.conversation_id != state.conversation.conversation_id:
        return False
    return not message.void and message.seq > hidden_seq(state.conversation, member)


def _create(batch: Batch, intent: CreateConversation) -> Outcome:
    before = batch.plan.states.get(intent.conversation_id)
    if before is not None:
        return _created_before(intent, before)
    members = tuple(dict.fromkeys(intent.member_ids))
    if fault := _fault(batch, intent, members):
        return Rejected(fault)
    blockers = batch.blocks.get(intent.conversation_id, {})
    if is_blocked(blockers.values(), intent.actor_id):
        return Rejected("blocked")
    conversation = documents.conversation(intent)
    memberships = tuple(documents.member(intent, user_id) for user_id in members)
    batch.plan.add_conversation(conversation, memberships)
    batch.plan.states[intent.conversation_id] = State(
        conversation=conversation,
        members={member.user_id: member for member in memberships},
        blockers=blockers,
        seq=0,
        rev=conversation.rev,
        last_message_id=None,
        raised_rev=conversation.rev,
    )
    return Created(intent.conversation_id)


def _fault(batch: Batch, intent: CreateConversation, members: Sequence[UserId]) -> str | None:
    if len(members) > batch.rules.member_limit:
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
    return Repeated(Created(intent.conversation_id))
