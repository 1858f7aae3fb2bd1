"""What is typed: a line is a message, or one of the /commands of this table."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from cli.chat import on_conversations, on_files, on_messages
from cli.chat.talk import Talk
from cli.output import printable
from headrace_client import ApiError, Unreachable


class Quit(Exception):
    """The person wants to leave."""


class Command(NamedTuple):
    """What follows its name, what it is for, and what it does."""

    takes: str
    about: str
    run: Callable[[Talk, str], Awaitable[None]]


async def enter(talk: Talk, line: str) -> None:
    """Send a line, or do what a /command asks.

    Raises:
        Quit: it was /quit.
        OutboxFull: too many messages wait; the line was not taken.
    """
    line = line.strip()
    if not line:
        return
    try:
        if line.startswith("/"):
            await _obey(talk, *split(line))
        else:
            await talk.send(line)
    except (ApiError, Unreachable, ValueError) as failure:
        talk.say(f"!! {printable(failure)}")


async def _obey(talk: Talk, word: str, rest: str) -> None:
    command = COMMANDS.get(word)
    if command is None:
        raise ValueError(f"{word} is no command; /help shows them")
    await command.run(talk, rest)


def split(line: str) -> tuple[str, str]:
    """`/edit 12 hello` as `/edit` and `12 hello`."""
    word, _, rest = line.partition(" ")
    return word, rest.strip()


def help_lines() -> list[str]:
    """The commands, one a line."""
    usages = {word: f"{word} {command.takes}".rstrip() for word, command in COMMANDS.items() if command.about}
    width = max(map(len, usages.values()))
    return [f"{usage:<{width}}  {COMMANDS[word].about}" for word, usage in usages.items()]


async def _help(talk: Talk, _rest: str) -> None:
    for line in help_lines():
        talk.say(line)


async def _quit(_talk: Talk, _rest: str) -> None:
    raise Quit


COMMANDS: Final[dict[str, Command]] = {
    "/list": Command("", "your conversations", on_conversations.list_all),
    "/open": Command("NUMBER|TITLE|ID", "go to one of them", on_conversations.open_one),
    "/new": Command("@user … [TITLE]", "a direct conversation, or a group", on_conversations.new),
    "/users": Command("TEXT", "people whose name begins so", on_conversations.users),
    "/reply": Command("N TEXT", "answer message #N in its thread", on_messages.reply),
    "/edit": Command("N TEXT", "give your message #N another text", on_messages.edit),
    "/delete": Command("N", "delete message #N", on_messages.delete),
    "/react": Command("N EMOJI", "react to message #N", on_messages.react),
    "/unreact": Command("N EMOJI", "take the reaction back", on_messages.unreact),
    "/pin": Command("N", "pin message #N for everybody", on_messages.pin),
    "/unpin": Command("N", "take the pin out", on_messages.unpin),
    "/file": Command("PATH [TEXT]", "send a file", on_files.send),
    "/get": Command("N [NAME]", "download the files of message #N into this folder", on_files.get),
    "/who": Command("", "who is in here, how far they have read, who is there", on_conversations.who),
    "/status": Command("STATUS", "be seen as online, away, busy or invisible", on_conversations.status),
    "/add": Command("@user …", "bring people in", on_conversations.add),
    "/remove": Command("@user", "put somebody out", on_conversations.remove),
    "/leave": Command("", "go for good", on_conversations.leave),
    "/role": Command("@user ROLE", "make somebody owner, admin or member", on_conversations.role),
    "/title": Command("TEXT", "call the conversation something else", on_conversations.title),
    "/mute": Command("", "hear nothing of it elsewhere, unless you are called", on_conversations.mute),
    "/unmute": Command("", "hear of it again", on_conversations.unmute),
    "/archive": Command("", "put it away", on_conversations.archive),
    "/unarchive": Command("", "take it back", on_conversations.unarchive),
    "/block": Command("@user", "get no more direct messages from somebody", on_conversations.block),
    "/unblock": Command("@user", "get them again", on_conversations.unblock),
    "/help": Command("", "this list", _help),
    "/quit": Command("", "leave", _quit),
    "/exit": Command("", "", _quit),
}
