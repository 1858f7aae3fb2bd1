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
from consumers.plan import ConversationChanged, Outcome
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
    kept = sorted(
        (
            message
            for message in batch.messages.values()
            if message.conversation_id == intent.conversation_id and message.seq > intent.after_seq
        ),
        key=lambda message: message.seq,
    )
    before_ms = _before_ms(batch, intent, state)
    gone: list[StoredMessage] = []
    while kept and kept[0].seq <= intent.up_to_seq and kept[0].created_ms <= before_ms:
        gone.append(kept.pop(0))
    hidden = replace(
        state.conversation,
        expired_seq=max(state.conversation.expired_seq, gone[-1].seq if gone else 0),
        oldest_ms=kept[0].created_ms if kept else 0,
    )
    _hide(batch, intent, operation_id, hidden)
    for message in gone:
        if not message.wiped:
            _wipe(batch, intent, message)
    return ConversationChanged()


def _before_ms(batch: Batch, intent: ExpireMessages, state: State) -> int:
    days = [days for days in (state.conversation.retention_days, batch.rules.retention_days) if days]
    if not days:
        raise Refused("conflict")
    return intent.at_ms - min(days) * DAY_MS


def _hide(batch: Batch, intent: ExpireMessages, operation_id: OperationId, hidden: StoredConversation) -> None:
    state = batch.plan.states[intent.conversation_id]
    rev = batch.next_rev(state)
    ops = remember(hidden.ops, Applied(operation_id, intent.intent_id, rev, intent.at_ms))
    after = replace(hidden, version=hidden.version + 1, ops=ops)
    batch.plan.change_conversation(state.conversation, after)
    batch.plan.states[intent.conversation_id] = replace(state, rev=rev, conversation=after)


def _wipe(batch: Batch, intent: ExpireMessages, message: StoredMessage) -> None:
    # Each under a number of its own: a dead owner's late edit must not bring a text back (hole B6).
    after = replace(wiped(message, intent.at_ms), rev=batch.next_rev(batch.plan.states[intent.conversation_id]))
    batch.plan.change_message(message, after)
    batch.messages[message.message_id] = after
