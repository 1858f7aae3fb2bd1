"""What arrives: an event is told as the difference to what we know, then it is known."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cli.chat import telling
from cli.chat.talk import Talk
from cli.chat.telling import Line
from headrace_client import (
    AnyEvent,
    Blocking,
    Conversation,
    Ephemeral,
    Event,
    MemberChanged,
    Message,
    Receipt,
    Rejection,
    Resynced,
    Typing,
)


async def hear(talk: Talk, event: AnyEvent) -> None:
    """Show what concerns a person."""
    async with talk.printing:
        await _take(talk, event)
    talk.mine.forget_done()
    talk.changed()


async def _take(talk: Talk, event: AnyEvent) -> None:
    match event:
        case Resynced():
            talk.view.apply(event)
            talk.look()
            await talk.learn_titles()
            await _catch_up(talk)
        case Event():
            await talk.people.learn(people_of(event))
            for line in await _tell(talk, event):
                talk.show(line)
            talk.view.apply(event)
            if isinstance(event.data, MemberChanged | Conversation):
                talk.look()
        case Ephemeral(data=data):
            talk.around.hear(data)
            if isinstance(data, Typing):
                await talk.people.learn((data.user_id,))


async def _catch_up(talk: Talk) -> None:
    """The state took the place of events: tell of it what the screen does not have."""
    room = talk.view.rooms.get(talk.open_id or "")
    for _, message in sorted(room.messages.items()) if room else ():
        await talk.people.learn((message.sender_id,))
        for line in talk.shown.missed(message, talk.names):
            talk.show(line)
        if talk.shown.is_new(message):
            await talk.tell(message)


async def _tell(talk: Talk, event: Event) -> Sequence[Line]:
    match event.data:
        case Message() as message if event.name == "message.created":
            return await _tell_message(talk, message)
        case Message() as message if message.conversation_id == talk.open_id:
            return talk.shown.change(event.name, message, event.actor_id, talk.names)
        case Conversation() as conversation:
            return _tell_conversation(talk, event, conversation)
        case MemberChanged() as changed:
            return _tell_members(talk, event, changed)
        case Blocking(user_id=user_id, blocked=blocked):
            return [Line(f"-- {talk.names.of(user_id)} is {'blocked' if blocked else 'not blocked any more'} --")]
        case Rejection() as refused:
            talk.mine.refused(refused.client_msg_id or refused.client_op_id or "", refused.error.message)
        case _:
            pass
    return ()


async def _tell_message(talk: Talk, message: Message) -> Sequence[Line]:
    if message.conversation_id == talk.open_id:
        talk.around.said(message.sender_id)
        if talk.shown.is_new(message):
            await talk.tell(message)
        talk.mine.printed(message)
        return ()
    talk.mine.printed(message)
    if message.sender_id == talk.names.me or message.content is None:
        return ()
    room = talk.view.rooms.get(message.conversation_id)
    line = telling.elsewhere(message, talk.title_of(room) if room else "elsewhere", talk.names)
    quiet = room is not None and telling.is_muted(room.conversation, datetime.now(UTC))
    return [line] if line.calls_me or not quiet else ()


def _tell_conversation(talk: Talk, event: Event, heard: Conversation) -> Sequence[Line]:
    room = talk.view.rooms.get(heard.conversation_id)
    if room is None:
        title = telling.title(heard, [each.user_id for each in heard.members], talk.names)
        ours = talk.names.me in {event.actor_id, heard.created_by}
        return () if ours else [Line(f"-- {title}: you were added; /list --", calls_me=True)]
    if heard.conversation_id != talk.open_id:
        return ()
    return telling.settings(room.conversation, heard, event.actor_id, talk.names)


def _tell_members(talk: Talk, event: Event, changed: MemberChanged) -> Sequence[Line]:
    """Of the open conversation everything, of others what is about oneself."""
    room = talk.view.rooms.get(changed.conversation_id)
    about_me = any(each.user_id == talk.names.me for each in changed.members)
    if room is None or not (about_me or changed.conversation_id == talk.open_id):
        return ()
    return [telling.members(event.name, changed, event.actor_id, talk.title_of(room), talk.names)]


def people_of(event: Event) -> Iterator[str | None]:
    """Whose names are needed to tell of an event."""
    yield event.actor_id
    match event.data:
        case Message() as message:
            yield message.sender_id
        case MemberChanged() as changed:
            yield changed.actor_id
            yield from (member.user_id for member in changed.members)
        case Conversation() as conversation if not conversation.title:
            yield from (member.user_id for member in conversation.members)
        case Blocking(user_id=user_id) | Receipt(user_id=user_id):
            yield user_id
        case _:
            pass
