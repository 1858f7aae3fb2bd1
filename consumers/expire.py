"""What has become too old goes: its place stays, so that no number and no key is ever given twice. Pure.

Hidden first, by one number of the conversation that everybody is told; then each message is wiped. What the system asks for is looked
at once more here, because a conversation's setting may have changed since.
"""

from msgspec.structs import replace

from backplane.store.conversations import StoredConversation
from backplane.store.expiry import DAY_MS
from backplane.store.messages import StoredMessage
from backplane.store.operations import Applied, remember
from consumers.batch import Batch
from consumers.changes import Refused, wiped
from consumers.ledger import State
from consumers.plan import ConversationChanged, Outcome, Repeated
from schemas.ids import OperationId
from schemas.intents import ExpireMessages


def begun(conversation: StoredConversation, message: StoredMessage) -> StoredConversation:
    """The conversation with a new message: its oldest one, if there was none."""
    return conversation if conversation.oldest_ms else replace(conversation, oldest_ms=message.created_ms)


def expire(batch: Batch, intent: ExpireMessages, operation_id: OperationId) -> Outcome:
    """Take out what is older than this conversation keeps, as far as the intent goes.

    Raises:
        Refused: `not_found`, there is no such conversation; `conflict`, it keeps everything by now.
    """
    state = batch.plan.states.get(intent.conversation_id)
    if state is None:
        raise Refused("not_found")
    before_ms = _before_ms(batch, intent, state)
    gone: list[StoredMessage] = []
    for message in _above(batch, intent, intent.after_seq):
        if message.seq > intent.up_to_seq or message.created_ms > before_ms:
            break
        gone.append(message)
    up_to_seq = gone[-1].seq if gone else 0
    left = [message for message in gone if not message.wiped]
    if not left and up_to_seq <= state.conversation.expired_seq and _is_oldest(batch, intent, state):
        return Repeated(ConversationChanged())  # it was looked for while they were going
    _hide(batch, intent, operation_id, up_to_seq)
    for message in left:
        _wipe(batch, intent, message)
    return ConversationChanged()


def expired_before(batch: Batch, intent: ExpireMessages) -> None:
    """All of it was done before; but the counters may not have been raised since, and hold an older time."""
    state = batch.plan.states.get(intent.conversation_id)
    if state is not None and not _is_oldest(batch, intent, state):
        batch.next_rev(state)
        state = batch.plan.states[intent.conversation_id]
        conversation = replace(state.conversation, oldest_ms=_oldest_ms(batch, intent, state))
        batch.plan.states[intent.conversation_id] = replace(state, conversation=conversation)


def _above(batch: Batch, intent: ExpireMessages, seq: int) -> list[StoredMessage]:
    """What is known of the messages above a number: up to the first one above the intent's range, and what this batch has stored."""
    room = intent.conversation_id
    found = [message for message in batch.messages.values() if message.conversation_id == room and message.seq > seq]
    return sorted(found, key=lambda message: message.seq)


def _is_oldest(batch: Batch, intent: ExpireMessages, state: State) -> bool:
    """Whether the conversation says of its oldest message what is so."""
    return _oldest_ms(batch, intent, state) == state.conversation.oldest_ms


def _oldest_ms(batch: Batch, intent: ExpireMessages, state: State) -> int:
    expired_seq = state.conversation.expired_seq
    if expired_seq == state.seq:
        return 0
    left = _above(batch, intent, expired_seq)
    return left[0].created_ms if left and left[0].seq == expired_seq + 1 else state.conversation.oldest_ms


def _before_ms(batch: Batch, intent: ExpireMessages, state: State) -> int:
    days = [days for days in (state.conversation.retention_days, batch.rules.retention_days) if days]
    if not days:
        raise Refused("conflict")
    return intent.at_ms - min(days) * DAY_MS


def _hide(batch: Batch, intent: ExpireMessages, operation_id: OperationId, up_to_seq: int) -> None:
    state = batch.plan.states[intent.conversation_id]
    before, rev = state.conversation, batch.next_rev(state)
    after = replace(
        before,
        expired_seq=max(before.expired_seq, up_to_seq),
        version=before.version + 1,
        ops=remember(before.ops, Applied(operation_id, intent.intent_id, rev, intent.at_ms)),
    )
    state = replace(state, rev=rev, conversation=after)
    after = replace(after, oldest_ms=_oldest_ms(batch, intent, state))
    batch.plan.change_conversation(before, after)
    batch.plan.states[intent.conversation_id] = replace(state, conversation=after)


def _wipe(batch: Batch, intent: ExpireMessages, message: StoredMessage) -> None:
    # Each under a number of its own: a dead owner's late edit must not bring a text back (hole B6).
    after = replace(wiped(message, intent.at_ms), rev=batch.next_rev(batch.plan.states[intent.conversation_id]))
    batch.change_message(message, after)
