"""The documents and ids that intents become. Pure."""

from collections.abc import Sequence

from backplane.store.attachments import StoredAttachment, carried
from backplane.store.audit import AuditEntry
from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.messages import StoredMessage
from backplane.store.operations import StoredOperation, rejection_id
from consumers.ledger import State
from schemas.ids import (
    ClientMsgId,
    ClientOpId,
    ConversationId,
    MessageId,
    OperationId,
    UserId,
    message_id_of,
    operation_id_of,
)
from schemas.intents import Change, ChangeRole, CreateConversation, Intent, RemoveMember, SendMessage, body_hash

EVERYBODY = UserId("all")
"""What stands among the mentions for everybody in the conversation."""


def message_id(intent: SendMessage) -> MessageId:
    """The id of the message that this send makes."""
    return message_id_of(intent.conversation_id, intent.actor_id, intent.client_msg_id)


def operation_id(intent: Change) -> OperationId:
    """The id under which this change is remembered."""
    return operation_id_of(intent.conversation_id, intent.actor_id, intent.client_op_id)


def operation(intent: Change, operation_id: OperationId) -> StoredOperation:
    """The record of a change."""
    return StoredOperation(
        operation_id=operation_id,
        conversation_id=intent.conversation_id,
        actor_id=intent.actor_id,
        client_op_id=intent.client_op_id,
        intent_id=intent.intent_id,
        body_hash=body_hash(intent),
        kind=kind_of(intent),
        at_ms=intent.at_ms,
    )


def audit_entry(intent: Change, operation_id: OperationId) -> AuditEntry | None:
    """What the audit log says of a change: of roles, and of who was put out. Its id is the operation's: to repeat it adds nothing."""
    match intent:
        case ChangeRole():
            event, detail = "member.role_changed", {"role": intent.role}
        case RemoveMember() if intent.user_id != intent.actor_id:
            event, detail = "member.removed", dict[str, str]()
        case _:
            return None
    return AuditEntry(
        entry_id=operation_id,
        at_ms=intent.at_ms,
        event=event,
        actor=intent.actor_id,
        subject_id=intent.user_id,
        detail={"conversation_id": intent.conversation_id, **detail},
    )


def refusal(intent: Intent, code: str) -> StoredOperation:
    """The record of a refusal."""
    is_change = not isinstance(intent, SendMessage | CreateConversation)
    return StoredOperation(
        operation_id=rejection_id(intent.intent_id),
        conversation_id=intent.conversation_id,
        actor_id=intent.actor_id,
        client_op_id=intent.client_op_id if is_change else ClientOpId(""),
        intent_id=intent.intent_id,
        body_hash="",
        kind=kind_of(intent),
        at_ms=intent.at_ms,
        code=code,
    )


def kind_of(intent: Intent) -> str:
    """What an intent is called on the wire."""
    return str(intent.__struct_config__.tag)


def message(
    intent: SendMessage, message_id: MessageId, state: State, attachments: Sequence[StoredAttachment] = ()
) -> StoredMessage:
    """The message as it is first stored."""
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
        mentions=tuple(user for user in intent.mentions if user == EVERYBODY or _is_current(state, user)),
        attachments=tuple(carried(one) for one in attachments),
    )


def _is_current(state: State, user: UserId) -> bool:
    member = state.members.get(user)
    return member is not None and member.current


def void(conversation_id: ConversationId, seq: int, rev: int, now_ms: int) -> StoredMessage:
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


def conversation(intent: CreateConversation) -> StoredConversation:
    """The conversation as it is first stored."""
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


def member(intent: CreateConversation, user_id: UserId) -> StoredMember:
    """A membership from the beginning of a conversation."""
    owner = intent.kind == "group" and user_id == intent.actor_id
    return StoredMember(
        conversation_id=intent.conversation_id,
        user_id=user_id,
        role="owner" if owner else "member",
        rev=1,
        spans=((1, None),),
    )
