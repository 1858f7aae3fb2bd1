"""The /commands about conversations and the people in them."""

from datetime import UTC, datetime
from typing import Final

from cli.chat import telling
from cli.chat.names import user_names
from cli.chat.talk import Talk
from cli.output import printable
from headrace_client import Conversation

FOR_EVER: Final = "9999-12-31T00:00:00Z"
ROLES: Final = ("owner", "admin", "member")


async def list_all(talk: Talk, _rest: str) -> None:
    """One's conversations, the latest first."""
    found = await talk.api.conversations()
    talk.order = [each.conversation_id for each in found]
    for conversation in found:
        if conversation.conversation_id not in talk.view.rooms:
            talk.know(conversation)
    await talk.learn_titles()
    for number, conversation in enumerate(found, 1):
        if room := talk.view.rooms.get(conversation.conversation_id):
            mark = "*" if conversation.conversation_id == talk.open_id else " "
            talk.say(f"{mark}{number:>3}  {talk.title_of(room)}{_notes(conversation)}")


def _notes(conversation: Conversation) -> str:
    """What is worth knowing of a conversation before one opens it."""
    notes: list[str] = []
    if conversation.unread_count:
        notes.append(f"{conversation.unread_count} new")
    if conversation.mention_count:
        notes.append(f"{conversation.mention_count} for you")
    if telling.is_muted(conversation, datetime.now(UTC)):
        notes.append("muted")
    if conversation.archived is True:
        notes.append("archived")
    return f"  ({', '.join(notes)})" if notes else ""


async def open_one(talk: Talk, rest: str) -> None:
    """Go to a conversation."""
    await talk.open(talk.find(rest))


async def new(talk: Talk, rest: str) -> None:
    """A direct conversation with one person, or a group."""
    words = rest.split()
    names = [word[1:] for word in words if word.startswith("@")]
    title = " ".join(word for word in words if not word.startswith("@")) or None
    if not names:
        raise ValueError("say with whom: /new @user")
    members = [await talk.people.find(name) for name in names]
    direct = len(members) == 1 and title is None
    conversation = await talk.api.create("direct" if direct else "group", members, title)
    talk.know(conversation)
    await talk.open(conversation.conversation_id)


async def users(talk: Talk, rest: str) -> None:
    """People whose name begins so."""
    for user in await talk.api.users(rest.removeprefix("@")):
        talk.say(f"@{printable(user.username)}  {printable(user.display_name)}")


async def who(talk: Talk, _rest: str) -> None:
    """The members, their roles, how far they have read, and how they are seen."""
    room = talk.room
    await talk.people.learn(room.members)
    by_rank = {role: rank for rank, role in enumerate(ROLES)}
    for each in sorted(
        room.members.values(), key=lambda each: (by_rank.get(each.role, len(ROLES)), talk.names.of(each.user_id))
    ):
        seen = talk.around.status.get(each.user_id)
        talk.say(telling.member(each, talk.names, room.last_seq) + (f"  ({printable(seen)})" if seen else ""))


async def status(talk: Talk, rest: str) -> None:
    """Be seen otherwise."""
    match rest:
        case "online" | "away" | "busy" | "invisible":
            talk.client.set_presence(rest)
        case _:
            raise ValueError("say how: /status online, away, busy or invisible")


async def add(talk: Talk, rest: str) -> None:
    """Bring people in."""
    wanted = [await talk.people.find(name) for name in user_names(rest)]
    await talk.api.add_members(talk.room.conversation.conversation_id, wanted)


async def remove(talk: Talk, rest: str) -> None:
    """Put somebody out."""
    await talk.api.remove_member(talk.room.conversation.conversation_id, await _person(talk, rest))


async def leave(talk: Talk, _rest: str) -> None:
    """Go for good."""
    await talk.api.remove_member(talk.room.conversation.conversation_id, talk.names.me)


async def role(talk: Talk, rest: str) -> None:
    """Give somebody another role."""
    name, _, wanted = rest.partition(" ")
    if wanted.strip() not in ROLES:
        raise ValueError(f"say who, and one of {', '.join(ROLES)}: /role @user admin")
    room = talk.room
    await talk.api.change_role(room.conversation.conversation_id, await _person(talk, name), wanted.strip())


async def title(talk: Talk, rest: str) -> None:
    """Call the conversation something else."""
    if not rest:
        raise ValueError("say the title: /title TEXT")
    await talk.api.change_conversation(talk.room.conversation.conversation_id, title=rest)


async def mute(talk: Talk, _rest: str) -> None:
    """Hear nothing of it while it is not open, unless one is called."""
    await talk.api.change_mine(talk.room.conversation.conversation_id, muted_until=FOR_EVER)


async def unmute(talk: Talk, _rest: str) -> None:
    """Hear of it again."""
    await talk.api.change_mine(talk.room.conversation.conversation_id, muted_until=None)


async def archive(talk: Talk, _rest: str) -> None:
    """Put it away."""
    await talk.api.change_mine(talk.room.conversation.conversation_id, archived=True)


async def unarchive(talk: Talk, _rest: str) -> None:
    """Take it back."""
    await talk.api.change_mine(talk.room.conversation.conversation_id, archived=False)


async def block(talk: Talk, rest: str) -> None:
    """Hear no more from somebody in the direct conversation."""
    await talk.api.block(await _person(talk, rest))


async def unblock(talk: Talk, rest: str) -> None:
    """Hear from them again."""
    await talk.api.block(await _person(talk, rest), blocked=False)


async def _person(talk: Talk, rest: str) -> str:
    names = user_names(rest)
    if len(names) != 1:
        raise ValueError("say one person: @user")
    return await talk.people.find(names[0])
