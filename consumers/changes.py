"""What a change makes of a message, a membership or a conversation. Pure: state in, state or a refusal out.

Each function is one row of “who may do this, and what is it then”: the permission comes from `schemas.roles`, the numbers and
the memory of operations from `decide`.
"""

from collections.abc import Mapping
from typing import NamedTuple, assert_never

from msgspec import UNSET
from msgspec.structs import replace

from backplane.store.blocks import is_blocked
from backplane.store.conversations import StoredConversation, StoredMember, hidden_seq
from backplane.store.messages import StoredMessage
from consumers.ledger import State
from schemas.ids import SYSTEM, UserId
from schemas.intents import (
    AddMembers,
    AddReaction,
    ChangeMine,
    ChangeRole,
    DeleteMessage,
    EditMessage,
    MemberChange,
    MessageChange,
    PinMessage,
    RemoveMember,
    RemoveReaction,
    SetAttachment,
    UpdateConversation,
)
from schemas.roles import Permission, may


class Rules(NamedTuple):
    """The bounds that are settings."""

    member_limit: int = 1000
    edit_ms: int = 0
    """How long after sending an author may edit and delete; 0: for ever."""
    reactions_a_message: int = 50
    reactions_a_user: int = 10
    retention_days: int = 0
    """How long messages are kept anywhere; 0: for ever."""


class Refused(Exception):
    """The change is not made; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def actor_of(state: State | None, actor_id: UserId) -> tuple[State, StoredMember]:
    """The conversation and whoever acts in it: a member, or the system, which may do everything.

    Raises:
        Refused: `not_member`, also if there is no such conversation: nobody learns which ones exist.
    """
    if state is not None and actor_id == SYSTEM:
        return state, _system(state)
    member = state.members.get(actor_id) if state else None
    if state is None or member is None or not member.current:
        raise Refused("not_member")
    return state, member


def check(state: State, member: StoredMember, permission: Permission) -> None:
    """Raises `Refused`: `forbidden`, unless the table of roles allows it."""
    if member.user_id != SYSTEM and not may(state.conversation.kind, member.role, permission):
        raise Refused("forbidden")


def _system(state: State) -> StoredMember:
    return StoredMember(
        conversation_id=state.conversation.conversation_id, user_id=SYSTEM, role="owner", rev=0, spans=((0, None),)
    )


def check_not_blocked(state: State, actor_id: UserId) -> None:
    """Raises `Refused`: `blocked`, if the other one of a direct conversation does not want to hear from this person."""
    if actor_id != SYSTEM and is_blocked(state.blockers.values(), actor_id):
        raise Refused("blocked")


# Messages


def change_message(
    change: MessageChange, state: State, member: StoredMember, message: StoredMessage | None, rules: Rules
) -> StoredMessage:
    """The message as the change leaves it, but for `rev` and `ops`.

    Raises:
        Refused: `blocked`, `not_found`, `forbidden`, `too_late`, `conflict` or `limit_reached`.
    """
    check_not_blocked(state, change.actor_id)  # whatever is changed, the other one would see it
    if message is None or message.conversation_id != change.conversation_id or message.void:
        raise Refused("not_found")
    if isinstance(change, DeleteMessage) and change.actor_id == SYSTEM:
        return message if message.wiped else wiped(message, change.at_ms)
    hidden = message.seq <= hidden_seq(state.conversation, member)
    if isinstance(change, DeleteMessage) and message.gone and not hidden:
        return message
    if message.gone or hidden:
        raise Refused("not_found")
    return _changed(change, state, member, message, rules)


def _changed(
    change: MessageChange, state: State, member: StoredMember, message: StoredMessage, rules: Rules
) -> StoredMessage:
    match change:
        case EditMessage():
            return _edited(change, state, member, message, rules)
        case DeleteMessage():
            return _deleted(change, state, member, message, rules)
        case AddReaction() | RemoveReaction():
            return _reacted(change, state, member, message, rules)
        case PinMessage():
            check(state, member, "message.pin")
            if change.pinned:
                return replace(message, pinned_ms=message.pinned_ms or change.at_ms, pinned_by=change.actor_id)
            return replace(message, pinned_ms=None, pinned_by=None)
        case SetAttachment():
            return _with_attachment(change, message)
        case _ as never:
            assert_never(never)


def _with_attachment(change: SetAttachment, message: StoredMessage) -> StoredMessage:
    """What is known of an attachment by now, unless the message shows something newer."""
    if change.actor_id != SYSTEM:
        raise Refused("forbidden")
    news = change.carried
    attachments = tuple(
        news if one.attachment_id == news.attachment_id and one.version < news.version else one
        for one in message.attachments
    )
    return replace(message, attachments=attachments)


def _edited(
    change: EditMessage, state: State, member: StoredMember, message: StoredMessage, rules: Rules
) -> StoredMessage:
    check(state, member, "message.edit")
    if message.sender_id != change.actor_id:
        raise Refused("forbidden")
    _in_time(change, message, rules)
    if change.expected_rev is not None and change.expected_rev != message.rev:
        raise Refused("conflict")
    return replace(message, text=change.text, edited_ms=change.at_ms)


def _deleted(
    change: DeleteMessage, state: State, member: StoredMember, message: StoredMessage, rules: Rules
) -> StoredMessage:
    if message.sender_id != change.actor_id:
        check(state, member, "message.delete.others")
    elif not may(state.conversation.kind, member.role, "message.delete.others"):
        check(state, member, "message.delete")
        _in_time(change, message, rules)
    return tombstone(message, change.at_ms)


def tombstone(message: StoredMessage, at_ms: int) -> StoredMessage:
    """What is left of a message: its place, and the hash of its first body (hole C13)."""
    return replace(
        message,
        text=None,
        deleted_ms=at_ms,
        mentions=(),
        attachments=(),
        reactions={},
        pinned_ms=None,
        pinned_by=None,
    )


def wiped(message: StoredMessage, at_ms: int) -> StoredMessage:
    """A tombstone from which nobody can tell what was said: a hash of a short text can be guessed."""
    deleted_ms = message.deleted_ms or at_ms
    return replace(
        tombstone(message, deleted_ms), body_hash="", edited_ms=None, last_reply_ms=None, reply_count=0, ops=()
    )


def _in_time(change: MessageChange, message: StoredMessage, rules: Rules) -> None:
    if rules.edit_ms and change.at_ms - message.created_ms > rules.edit_ms:
        raise Refused("too_late")


def _reacted(
    change: AddReaction | RemoveReaction, state: State, member: StoredMember, message: StoredMessage, rules: Rules
) -> StoredMessage:
    reactions = dict(message.reactions)
    users = reactions.get(change.emoji, ())
    if isinstance(change, RemoveReaction):
        check(state, member, "reaction.remove")
        whose = change.user_id if change.actor_id == SYSTEM else change.actor_id
        users = tuple(user for user in users if user != whose)
    elif change.actor_id not in users:
        check(state, member, "reaction.add")
        _room_for_reaction(change, reactions, rules)
        users = (*users, change.actor_id)
    if users:
        reactions[change.emoji] = users
    else:
        reactions.pop(change.emoji, None)
    return replace(message, reactions=reactions)


def _room_for_reaction(change: AddReaction, reactions: Mapping[str, tuple[UserId, ...]], rules: Rules) -> None:
    if change.emoji not in reactions and len(reactions) >= rules.reactions_a_message:
        raise Refused("limit_reached")
    own = [emoji for emoji, users in reactions.items() if change.actor_id in users]
    if change.emoji not in own and len(own) >= rules.reactions_a_user:
        raise Refused("limit_reached")


# Members


def change_members(
    change: MemberChange, state: State, member: StoredMember, rev: int, rules: Rules
) -> list[StoredMember]:
    """The memberships that the change touches, as it leaves them, but for `version` and `ops`; none that stay as they are.

    Raises:
        Refused: `forbidden`, `not_found`, `member_limit`, `last_owner` or `bad_request`.
    """
    match change:
        case AddMembers():
            return _added(change, state, member, rev, rules)
        case RemoveMember():
            return [_removed(change, state, member, rev)]
        case ChangeRole():
            return _promoted(change, state, member, rev)
        case ChangeMine():
            return [_mine(change, state, member)]
        case _ as never:
            assert_never(never)


def _added(change: AddMembers, state: State, member: StoredMember, rev: int, rules: Rules) -> list[StoredMember]:
    check(state, member, "member.add")
    current = sum(one.current for one in state.members.values())
    new = [user for user in dict.fromkeys(change.user_ids) if not _is_member(state, user)]
    if current + len(new) > rules.member_limit:
        raise Refused("member_limit")
    from_seq = 0 if state.conversation.history == "all" else state.seq
    return [_joined(state, user, rev, from_seq) for user in new]


def _joined(state: State, user: UserId, rev: int, from_seq: int) -> StoredMember:
    before = state.members.get(user)
    # What was said before they came is not unread.
    if before is None:
        return StoredMember(
            conversation_id=state.conversation.conversation_id,
            user_id=user,
            role="member",
            rev=rev,
            spans=((rev, None),),
            from_seq=from_seq,
            read_seq=state.seq,
            delivered_seq=state.seq,
        )
    # What they had set for themselves begins anew: the welcome, one for all who come, says nothing of it.
    return replace(
        before,
        role="member",
        rev=rev,
        spans=(*before.spans, (rev, None)),
        muted_until_ms=None,
        archived=False,
        from_seq=from_seq,
        read_seq=state.seq,
        delivered_seq=state.seq,
    )


def _removed(change: RemoveMember, state: State, member: StoredMember, rev: int) -> StoredMember:
    target = state.members.get(change.user_id)
    if change.user_id == change.actor_id:
        check(state, member, "member.leave")
        if member.role == "owner" and sum(one.current for one in state.members.values()) > 1:
            raise Refused("last_owner")
    else:
        check(state, member, "member.remove")
        if target is None or not target.current:
            raise Refused("not_found")
        if target.role == "owner" and member.user_id != SYSTEM:
            raise Refused("forbidden")
        if target.role == "admin":
            check(state, member, "member.remove.admin")
    assert target is not None  # noqa: S101 - the actor is a member, anybody else was looked at
    joined, _ = target.spans[-1]
    return replace(target, rev=rev, spans=(*target.spans[:-1], (joined, rev)))


def _promoted(change: ChangeRole, state: State, member: StoredMember, rev: int) -> list[StoredMember]:
    check(state, member, "member.role")
    target = state.members.get(change.user_id)
    if target is None or not target.current:
        raise Refused("not_found")
    if target.user_id == member.user_id:
        raise Refused("bad_request")  # one does not step down, one gives the conversation to somebody
    promoted = [replace(target, role=change.role, rev=rev)] if target.role != change.role else []
    if change.role == "owner":
        promoted.append(replace(member, role="admin", rev=rev))
    return promoted


def _mine(change: ChangeMine, state: State, member: StoredMember) -> StoredMember:
    check(state, member, "member.mine")
    muted, archived = change.muted_until_ms, change.archived
    return replace(
        member,
        muted_until_ms=member.muted_until_ms if muted is UNSET else (muted or None),
        archived=member.archived if archived is UNSET else archived,
        from_seq=state.seq if change.cleared else member.from_seq,
    )


def _is_member(state: State, user: UserId) -> bool:
    found = state.members.get(user)
    return found is not None and found.current


# Conversations


def change_conversation(change: UpdateConversation, state: State, member: StoredMember) -> StoredConversation:
    """The conversation with another title or other settings, but for `version` and `ops`.

    Raises:
        Refused: `forbidden` or `blocked`.
    """
    conversation = state.conversation
    if change.title is not UNSET or change.history is not UNSET:
        check(state, member, "conversation.update")
    if change.retention_days is not UNSET:
        check_not_blocked(state, change.actor_id)
        check(state, member, "conversation.retention")
    return replace(
        conversation,
        title=conversation.title if change.title is UNSET else change.title,
        history=conversation.history if change.history is UNSET else change.history,
        retention_days=conversation.retention_days if change.retention_days is UNSET else change.retention_days,
    )
