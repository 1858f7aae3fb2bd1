"""What becomes of a change: a repeat is answered from what is stored, a new one is checked, made, numbered and remembered. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from backplane.store.blocks import StoredBlock
from backplane.store.conversations import StoredMember
from backplane.store.messages import StoredMessage
from backplane.store.operations import Applied, remember
from consumers import documents
from consumers.batch import Batch
from consumers.changes import Refused, actor_of, change_conversation, change_members, change_message
from consumers.expire import expire, expired_before
from consumers.ledger import State
from consumers.plan import (
    Blocked,
    ConversationChanged,
    Done,
    MembersChanged,
    MessageChanged,
    Outcome,
    Rejected,
    Repeated,
)
from schemas.ids import ConversationId, OperationId, UserId
from schemas.intents import (
    AddMembers,
    Change,
    ChangeMine,
    ChangeRole,
    DeleteMessage,
    ExpireMessages,
    MessageChange,
    RemoveMember,
    SetBlock,
    UpdateConversation,
    body_hash,
)


def apply(batch: Batch, intent: Change) -> Outcome:
    """What becomes of a change.

    Raises:
        Refused: it is not made.
    """
    operation_id = documents.operation_id(intent)
    recorded = batch.operations.get(operation_id)
    if recorded is not None and recorded.intent_id != intent.intent_id:
        if recorded.body_hash != body_hash(intent):
            return Rejected("idempotency_conflict")
        return Repeated(_as_it_is(batch, intent))
    if recorded is not None:
        as_it_is = _as_it_is(batch, intent, again=True)
        return Repeated(as_it_is) if _changed_nobody(batch, intent, operation_id) else as_it_is
    outcome = _apply(batch, intent, operation_id)
    operation = documents.operation(intent, operation_id)
    batch.operations[operation_id] = operation
    audit = documents.audit_entry(intent, operation_id)
    batch.plan.add_operation(operation, audit, made_nothing=isinstance(outcome, Repeated))
    return outcome


def _as_it_is(batch: Batch, intent: Change, *, again: bool = False) -> Done:
    """What an earlier try has made, rendered from what is stored now (hole A2)."""
    state = batch.plan.states.get(intent.conversation_id)
    match intent:
        case AddMembers() | RemoveMember() | ChangeRole():
            if state is None:
                raise Refused("not_member")
            members = tuple(_members_with(state, documents.operation_id(intent)).values()) or _concerned(intent, state)
            return MembersChanged(max((one.rev for one in members), default=state.rev), members, again=again)
        case ChangeMine():
            return ConversationChanged(to=intent.actor_id, again=again)
        case ExpireMessages():
            expired_before(batch, intent)
            return ConversationChanged(again=again)
        case UpdateConversation():
            return ConversationChanged(again=again)
        case SetBlock():
            known = _blocks_at(batch, intent).get(intent.actor_id)
            return Blocked(intent.user_id, known.blocked if known else intent.blocked)
        case _:
            message = batch.messages.get(intent.message_id)
            if message is None:
                raise Refused("not_found")
            if again and isinstance(intent, DeleteMessage):
                batch.touch_root(message, again=True)  # which comes after the record
            return MessageChanged(message, again=again)


def _changed_nobody(batch: Batch, intent: Change, operation_id: OperationId) -> bool:
    """Whether members were asked for who were there: whoever asked heard alone, and does so again; else all would be welcomed anew.

    What an operator sends again may be older than members remember, so everybody hears of that.
    """
    if not isinstance(intent, AddMembers | RemoveMember | ChangeRole) or intent.intent_id in batch.again:
        return False
    return not _members_with(batch.plan.states[intent.conversation_id], operation_id)


def _apply(batch: Batch, intent: Change, operation_id: OperationId) -> Outcome:
    match intent:
        case SetBlock():
            return _block(batch, intent)
        case UpdateConversation():
            return _change_conversation(batch, intent, operation_id)
        case ExpireMessages():
            return expire(batch, intent, operation_id)
        case AddMembers() | RemoveMember() | ChangeRole():
            return _change_members(batch, intent, operation_id)
        case ChangeMine():
            return _change_mine(batch, intent, operation_id)
        case _:
            return _change_message(batch, intent, operation_id)


def _change_message(batch: Batch, intent: MessageChange, operation_id: OperationId) -> Outcome:
    message = batch.messages.get(intent.message_id)
    if message is not None and (done := _ring_entry(message.ops, operation_id)):
        return _message_again(batch, intent, message, done)
    state, member = actor_of(batch.plan.states.get(intent.conversation_id), intent.actor_id)
    _not_overtaken(batch, intent, message.ops if message else ())
    after = change_message(intent, state, member, message, batch.rules)
    assert message is not None  # noqa: S101 - or it was refused
    if after == message:
        return Repeated(MessageChanged(message))
    rev = batch.next_rev(state)
    after = replace(
        after, rev=rev, ops=remember(message.ops, Applied(operation_id, intent.intent_id, rev, intent.at_ms))
    )
    batch.change_message(message, after)
    if isinstance(intent, DeleteMessage):
        batch.touch_root(message, delta=-1)
    return MessageChanged(after)


def _message_again(batch: Batch, intent: MessageChange, message: StoredMessage, done: Applied) -> Outcome:
    """The change was written and not recorded: a crash came between, or a predecessor's write has landed late."""
    state = batch.plan.states.get(intent.conversation_id)
    if state is not None and message.rev <= state.raised_rev:
        # Whoever reads by `rev` may have passed this number before the change was there (hole B6).
        after = replace(message, rev=batch.next_rev(state))
        batch.change_message(message, after)
        message = after
    if isinstance(intent, DeleteMessage):
        batch.touch_root(message, again=True)
    changed = MessageChanged(message, again=True)
    return changed if done.intent_id == intent.intent_id else Repeated(changed)


def _change_members(batch: Batch, intent: AddMembers | RemoveMember | ChangeRole, operation_id: OperationId) -> Outcome:
    before = batch.plan.states.get(intent.conversation_id)
    done = _members_with(before, operation_id) if before else {}
    if before is not None and done and _is_complete(intent, before, done):
        return MembersChanged(max(one.rev for one in done.values()), tuple(done.values()), again=True)
    state, member = actor_of(before, intent.actor_id)
    for target in _concerned(intent, state):
        _not_overtaken(batch, intent, target.ops)
    after = change_members(intent, state, member, state.rev + 1, batch.rules)
    if not after:
        return Repeated(MembersChanged(state.rev, _concerned(intent, state)))
    rev = batch.next_rev(state)
    applied = Applied(operation_id, intent.intent_id, rev, intent.at_ms)
    changed = _put_members(batch, intent.conversation_id, after, applied)
    return MembersChanged(rev, (*done.values(), *changed))


def _change_mine(batch: Batch, intent: ChangeMine, operation_id: OperationId) -> Outcome:
    state, member = actor_of(batch.plan.states.get(intent.conversation_id), intent.actor_id)
    if _ring_entry(member.ops, operation_id):
        return ConversationChanged(to=intent.actor_id, again=True)
    after = change_members(intent, state, member, state.rev, batch.rules)
    # Nobody else sees it, so it takes no number of the conversation.
    _put_members(
        batch, intent.conversation_id, after, Applied(operation_id, intent.intent_id, member.rev, intent.at_ms)
    )
    return ConversationChanged(to=intent.actor_id)


def _put_members(
    batch: Batch, conversation_id: ConversationId, after: Sequence[StoredMember], applied: Applied
) -> tuple[StoredMember, ...]:
    state = batch.plan.states[conversation_id]
    members, changed = dict(state.members), list[StoredMember]()
    for one in after:
        before = members.get(one.user_id)
        now = replace(one, version=one.version + 1, ops=remember(one.ops, applied))
        batch.plan.change_member(before, now, state.conversation.created_ms)
        members[one.user_id] = now
        changed.append(now)
    batch.plan.states[conversation_id] = replace(state, members=members)
    return tuple(changed)


def _change_conversation(batch: Batch, intent: UpdateConversation, operation_id: OperationId) -> Outcome:
    before = batch.plan.states.get(intent.conversation_id)
    if before is not None and _ring_entry(before.conversation.ops, operation_id):
        return ConversationChanged(again=True)
    state, member = actor_of(before, intent.actor_id)
    _not_overtaken(batch, intent, state.conversation.ops)
    after = change_conversation(intent, state, member)
    if after == state.conversation:
        return Repeated(ConversationChanged())
    rev = batch.next_rev(state)
    ops = remember(after.ops, Applied(operation_id, intent.intent_id, rev, intent.at_ms))
    after = replace(after, version=after.version + 1, ops=ops)
    batch.plan.change_conversation(state.conversation, after)
    state = batch.plan.states[intent.conversation_id]
    batch.plan.states[intent.conversation_id] = replace(state, conversation=after)
    return ConversationChanged()


def _block(batch: Batch, intent: SetBlock) -> Outcome:
    """The conversation need not exist, so a block has no number; setting it twice is setting it once."""
    key = intent.conversation_id
    state = batch.plan.states.get(key)
    known = _blocks_at(batch, intent)
    before = known.get(intent.actor_id)
    after = StoredBlock(
        conversation_id=key,
        blocker_id=intent.actor_id,
        blocked_id=intent.user_id,
        blocked=intent.blocked,
        version=before.version + 1 if before else 1,
    )
    if before is None or before.blocked != intent.blocked:
        batch.plan.change_block(before, after)
        known[intent.actor_id] = after
        if state is not None:
            batch.plan.states[key] = replace(state, blockers=known)
    return Blocked(intent.user_id, intent.blocked)


def _blocks_at(batch: Batch, intent: SetBlock) -> dict[UserId, StoredBlock]:
    """The blocks between two people as the batch knows them, by who made them."""
    state = batch.plan.states.get(intent.conversation_id)
    return dict(state.blockers) if state else batch.blocks.setdefault(intent.conversation_id, {})


def _not_overtaken(batch: Batch, intent: Change, ops: Sequence[Applied]) -> None:
    """A change that an operator sends again late, and that was never made, may not undo a newer one (hole D5)."""
    if intent.intent_id in batch.again and ops and ops[-1].at_ms > intent.at_ms:
        raise Refused("conflict")


def _ring_entry(ops: Sequence[Applied], operation_id: OperationId) -> Applied | None:
    return next((applied for applied in ops if applied.operation_id == operation_id), None)


def _members_with(state: State, operation_id: OperationId) -> dict[UserId, StoredMember]:
    return {user: member for user, member in state.members.items() if _ring_entry(member.ops, operation_id)}


def _is_complete(
    intent: AddMembers | RemoveMember | ChangeRole, state: State, done: dict[UserId, StoredMember]
) -> bool:
    """Whether all that the change does was done; a crash may have come in the middle of it."""
    match intent:
        case AddMembers():
            return all(user in done or _is_member(state, user) for user in intent.user_ids)
        case ChangeRole(role="owner"):
            return intent.actor_id in done  # who steps back when the other one is owner already
        case _:
            return True


def _is_member(state: State, user: UserId) -> bool:
    found = state.members.get(user)
    return found is not None and found.current


def _concerned(intent: AddMembers | RemoveMember | ChangeRole, state: State) -> tuple[StoredMember, ...]:
    users = intent.user_ids if isinstance(intent, AddMembers) else (intent.user_id,)
    return tuple(state.members[user] for user in users if user in state.members)
