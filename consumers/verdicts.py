"""What persist's outcomes look like as events: to everybody, or to one sender. Pure."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

from backplane.store.conversations import as_conversation, as_member, as_own, hidden_seq
from backplane.store.messages import StoredMessage, as_message
from consumers.ledger import State
from consumers.plan import (
    Blocked,
    ConversationChanged,
    Created,
    Done,
    MembersChanged,
    MessageChanged,
    Outcome,
    Rejected,
    Repeated,
    Stored,
)
from schemas.entities import Blocking, Conversation, MemberChanged, rfc3339
from schemas.errors import error
from schemas.events import Event, EventData, EventHeader, EventName, Rejection, Voided, event_id_of, make_event
from schemas.ids import ConversationId, UserId
from schemas.intents import (
    AddMembers,
    AddReaction,
    ChangeRole,
    CreateConversation,
    DeleteMessage,
    EditMessage,
    Intent,
    PinMessage,
    RemoveMember,
    RemoveReaction,
    SendMessage,
    SetAttachment,
)


def events_of(outcome: Outcome, intent: Intent, state: State | None, now_ms: int) -> list[Event]:
    """The events that an intent came to, the one that answers it first; `state` is its conversation's, None if there is none."""
    match outcome:
        case Rejected(code):
            return [rejection(intent, code, now_ms)]
        case Repeated(MembersChanged() as what):
            return _members_now(what, intent, now_ms, again_to=intent.actor_id)
        case Repeated(what):
            return [_event(what, intent, state, now_ms, again_to=intent.actor_id)]
        case MembersChanged():
            again = outcome.again
            told = _members_now(outcome, intent, now_ms) if again else [_members_changed(outcome, intent, now_ms)]
            if isinstance(intent, AddMembers):
                told += _welcomes(outcome, intent, _known(state), now_ms)
            return told
        case _:
            return [_event(outcome, intent, state, now_ms)]


def _event(what: Done, intent: Intent, state: State | None, now_ms: int, *, again_to: UserId | None = None) -> Event:
    match what:
        case Stored(message):
            return message_event("message.created", message, intent, now_ms, again_to=again_to)
        case MessageChanged(message):
            return message_event(_name_of(intent), message, intent, now_ms, again_to=again_to)
        case Created():
            return _conversation_created(
                intent, _known(state), now_ms, fresh=not what.again and not again_to, again_to=again_to
            )
        case ConversationChanged(to):
            return _conversation_updated(intent, _known(state), now_ms, own=to, again_to=again_to)
        case MembersChanged():
            return _members_changed(what, intent, now_ms, again_to=again_to)
        case Blocked(user_id, blocked):
            header = _header("block.updated", intent, rev=0, event_id=intent.intent_id, to=(intent.actor_id,))
            return _made(header, Blocking(user_id=user_id, blocked=blocked), intent, now_ms)
        case _ as never:
            assert_never(never)


# Messages


def message_event(
    name: EventName, message: StoredMessage, intent: Intent, now_ms: int, *, again_to: UserId | None = None
) -> Event:
    """A message for everybody who may see it, or for the one who asked twice, as it is stored now."""
    to = () if again_to is None else (again_to,)
    header = _header(name, intent, rev=message.rev, to=to, seq=message.seq)
    data = as_message(message)
    if again_to is not None:
        data = msgspec.structs.replace(data, duplicate=True)
    return _made(header, data, intent, now_ms)


def thread_updated(root: StoredMessage, intent: Intent, now_ms: int) -> Event:
    """The root of a thread, with what its replies have come to."""
    header = _header("thread.updated", intent, rev=root.rev, seq=root.seq)
    return make_event(header, as_message(root), rfc3339(now_ms))


def message_voided(void: StoredMessage, now_ms: int) -> Event:
    """A number that holds no message (hole D2)."""
    header = EventHeader(
        event="message.voided",
        event_id=event_id_of(void.conversation_id, void.rev),
        conversation_id=void.conversation_id,
        rev=void.rev,
        at_ms=now_ms,
        seq=void.seq,
    )
    return make_event(header, Voided(void.conversation_id, void.seq, void.rev), rfc3339(now_ms))


def _name_of(intent: Intent) -> EventName:
    if isinstance(intent, PinMessage):
        return "message.pinned" if intent.pinned else "message.unpinned"
    return _NAMES[type(intent)]


_NAMES: Final[Mapping[type[Intent], EventName]] = {
    EditMessage: "message.edited",
    DeleteMessage: "message.deleted",
    AddReaction: "reaction.added",
    RemoveReaction: "reaction.removed",
    SetAttachment: "attachment.updated",
}


# Members and conversations


def _members_now(what: MembersChanged, intent: Intent, now_ms: int, *, again_to: UserId | None = None) -> list[Event]:
    """What is told again: those who are there, and each who is not any more, whatever the change once made of them.

    Somebody who was put out and has come back must not be told, or shown to others, as put out under their newest number.
    """
    here = tuple(member for member in what.members if member.current)
    gone = [member for member in what.members if not member.current]
    events: list[Event] = []
    if here or not gone:
        rev = max((member.rev for member in here), default=what.rev)
        name: EventName = "member.role_changed" if isinstance(intent, ChangeRole) else "member.joined"
        events.append(_members_event(name, MembersChanged(rev, here), intent, now_ms, again_to=again_to))
    for member in gone:
        left = MembersChanged(member.rev, (member,))
        events.append(_members_event("member.left", left, intent, now_ms, about=member.user_id, again_to=again_to))
    return events


def _members_changed(what: MembersChanged, intent: Intent, now_ms: int, *, again_to: UserId | None = None) -> Event:
    match intent:
        case AddMembers():
            return _members_event("member.joined", what, intent, now_ms, again_to=again_to)
        case RemoveMember(user_id=user_id):  # whose span ends here, and who must hear of it all the same
            return _members_event("member.left", what, intent, now_ms, about=user_id, again_to=again_to)
        case _:
            return _members_event("member.role_changed", what, intent, now_ms, again_to=again_to)


def _members_event(
    name: EventName,
    what: MembersChanged,
    intent: Intent,
    now_ms: int,
    *,
    about: UserId | None = None,
    again_to: UserId | None,
) -> Event:
    to = () if again_to is None else (again_to,)
    # Of nobody in particular, or for one alone: the number may be that of something else.
    own_id = f"{intent.intent_id}.{name}.{what.rev}" if to or not what.members else None
    header = _header(name, intent, rev=what.rev, to=to, about=None if to else about, event_id=own_id)
    data = MemberChanged(
        conversation_id=intent.conversation_id,
        rev=what.rev,
        actor_id=intent.actor_id,
        members=[as_member(member) for member in what.members],
        duplicate=True if to else msgspec.UNSET,
    )
    return _made(header, data, intent, now_ms)


def _welcomes(what: MembersChanged, intent: AddMembers, state: State, now_ms: int) -> list[Event]:
    """The conversation, for those who have just come into it: one event for all who see it from the same message on."""
    newcomers: dict[int, list[UserId]] = {}
    for member in what.members:
        if member.current:
            newcomers.setdefault(hidden_seq(state.conversation, member), []).append(member.user_id)
    event_id = f"{event_id_of(intent.conversation_id, what.rev)}.welcome"
    events: list[Event] = []
    for number, (hidden, users) in enumerate(newcomers.items()):
        own_id = f"{event_id}.{number}" if number else event_id
        header = _header("conversation.created", intent, rev=what.rev, to=tuple(users), event_id=own_id)
        data = msgspec.structs.replace(_conversation(state), first_seq=hidden + 1)
        events.append(make_event(header, data, rfc3339(now_ms)))
    return events


def _conversation_updated(
    intent: Intent, state: State, now_ms: int, *, own: UserId | None, again_to: UserId | None
) -> Event:
    to = tuple(user for user in {own, again_to} if user is not None)
    # Shown as it is after the whole batch, whose last number is perhaps a message's: under that id a client would take the message
    # for a repeat of this, and drop it.
    header = _header("conversation.updated", intent, rev=state.rev, to=to, event_id=intent.intent_id)
    data = _conversation(state)
    if own is not None and own in state.members:
        data = as_own(data, state.members[own])
    if again_to is not None:
        data = msgspec.structs.replace(data, duplicate=True)
    return _made(header, data, intent, now_ms)


def _conversation_created(
    intent: Intent, state: State, now_ms: int, *, fresh: bool, again_to: UserId | None = None
) -> Event:
    to = () if again_to is None else (again_to,)
    # Its number is that of its first members, too, and they may be told again.
    header = _header("conversation.created", intent, rev=1, to=to, event_id=f"{intent.conversation_id}.created")
    data = _conversation(state) if not fresh else as_conversation(state.conversation, list(state.members.values()))
    if again_to is not None:
        data = msgspec.structs.replace(data, duplicate=True)
    return _made(header, data, intent, now_ms)


def _conversation(state: State) -> Conversation:
    stored = msgspec.structs.replace(state.conversation, rev=state.rev, last_seq=state.seq)
    return as_conversation(stored, list(state.members.values()))


def _known(state: State | None) -> State:
    assert state is not None  # noqa: S101 - `decide` comes to these only for a conversation with a state
    return state


# Refusals


def rejection(intent: Intent, code: str, now_ms: int) -> Event:
    """A refusal, for its sender alone."""
    match intent:
        case SendMessage():
            message_key, operation_key = intent.client_msg_id, None
        case CreateConversation():
            message_key, operation_key = None, None
        case _:
            message_key, operation_key = None, intent.client_op_id
    return _refusal(
        intent.intent_id,
        intent.conversation_id,
        intent.actor_id,
        client_msg_id=message_key,
        client_op_id=operation_key,
        code=code,
        at_ms=intent.at_ms,
        now_ms=now_ms,
    )


def salvaged_rejection(raw: bytes, now_ms: int) -> Event | None:
    """A refusal of what is no intent of ours, if it still shows whose it was: they would wait for an answer for ever (hole A10)."""
    try:
        salvaged = _salvager.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not (isinstance(salvaged.actor_id, str) and isinstance(salvaged.conversation_id, str)):
        return None
    intent_id = salvaged.intent_id if isinstance(salvaged.intent_id, str) else ""
    key = salvaged.client_msg_id if isinstance(salvaged.client_msg_id, str) else None
    operation_key = salvaged.client_op_id if isinstance(salvaged.client_op_id, str) else None
    conversation_id, actor_id = ConversationId(salvaged.conversation_id), UserId(salvaged.actor_id)
    return _refusal(
        intent_id,
        conversation_id,
        actor_id,
        client_msg_id=key,
        client_op_id=operation_key,
        code="internal_error",
        at_ms=now_ms,
        now_ms=now_ms,
    )


def _refusal(
    intent_id: str,
    conversation_id: ConversationId,
    actor_id: UserId,
    *,
    client_msg_id: str | None,
    client_op_id: str | None,
    code: str,
    at_ms: int,
    now_ms: int,
) -> Event:
    header = EventHeader(
        event="operation.rejected" if client_msg_id is None else "message.rejected",
        event_id=intent_id,
        conversation_id=conversation_id,
        rev=0,
        at_ms=at_ms,
        to=(actor_id,),
    )
    data = Rejection(conversation_id, error(code), client_msg_id=client_msg_id, client_op_id=client_op_id)
    return make_event(header, data, rfc3339(now_ms))


class _Salvaged(msgspec.Struct):
    intent_id: Any = None
    conversation_id: Any = None
    actor_id: Any = None
    client_msg_id: Any = None
    client_op_id: Any = None


_salvager = msgspec.json.Decoder(_Salvaged)


# Envelopes


def _header(
    name: EventName,
    intent: Intent,
    *,
    rev: int,
    to: tuple[UserId, ...] = (),
    about: UserId | None = None,
    seq: int | None = None,
    event_id: str | None = None,
) -> EventHeader:
    return EventHeader(
        event=name,
        event_id=event_id or event_id_of(intent.conversation_id, rev),
        conversation_id=intent.conversation_id,
        rev=rev,
        at_ms=intent.at_ms,
        to=to,
        about=about,
        seq=seq,
    )


def _made(header: EventHeader, data: EventData, intent: Intent, now_ms: int) -> Event:
    """An event that says whose doing it was, and under which id: so that a client knows its own."""
    if isinstance(intent, SendMessage | CreateConversation):
        return make_event(header, data, rfc3339(now_ms))
    return make_event(header, data, rfc3339(now_ms), actor_id=intent.actor_id, client_op_id=intent.client_op_id)
