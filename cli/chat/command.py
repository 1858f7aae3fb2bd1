"""The click command: sign in, open a conversation, show it."""

import asyncio
import sqlite3
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import msgspec

from cli import output
from cli.chat import lines
from cli.chat.talk import Talk
from cli.failures import Failure, Unreachable
from headrace_client import Api, ApiError, Client, HeadraceError, Stopped, StoreInUse
from headrace_client import Unreachable as NoAnswer

URL: Final = "http://127.0.0.1:8000"
PATIENCE_S: Final = 10.0
"""For a server that does not answer."""
AGAIN_S: Final = 0.5


class _Person(msgspec.Struct, frozen=True):
    username: str
    password: str


class _Chat(msgspec.Struct, frozen=True):
    conversation_id: str
    title: str = ""


class Demo(msgspec.Struct, frozen=True):
    """What `headrace up --demo` leaves in the data folder."""

    url: str = URL
    users: tuple[_Person, ...] = ()
    conversations: tuple[_Chat, ...] = ()

    def password_of(self, username: str) -> str | None:
        """The password of a demo user."""
        return next((user.password for user in self.users if user.username == username), None)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, with what the demo knew filled in."""

    url: str
    username: str
    password: str
    conversation: str | None
    store: Path


@click.command
@click.option("--url", help=f"The server; default: that of the demo, else {URL}.")
@click.option("--as", "username", help="Who to be; a demo user needs no password.")
@click.option("--password", envvar="HEADRACE_PASSWORD", help="Asked for if it is needed and not given.")
@click.option("--conversation", metavar="ID|TITLE", help="What to open; default: the demo's group, else the latest.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of a running `headrace up`.")
@click.pass_context
def command(
    context: click.Context,
    *,
    url: str | None,
    username: str | None,
    password: str | None,
    conversation: str | None,
    data: Path | None,
) -> None:
    """Chat in the terminal; /help lists what else can be done than talk: edit, react, reply, send files, add people.

    Under the prompt stands who types and how far your newest message has come; others see that you type, and how you are (/status).

    Without a terminal, every line of the input is sent or obeyed, and the end waits until all are stored.

    Examples:  headrace chat --as alice    echo hello | headrace chat --as bob --conversation Demo
    """
    parent = context.parent.params if context.parent else {}
    folder = data or parent.get("data") or Path(".headrace")
    demo = _demo(folder)
    if username is None:
        known = ", ".join(user.username for user in demo.users)
        raise click.UsageError("say who you are: --as NAME" + (f" (the demo has {known})" if known else ""))
    if password is None:
        password = demo.password_of(username) or _ask_password(username, folder)
    if conversation is None and demo.conversations and demo.password_of(username):
        conversation = demo.conversations[0].conversation_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = folder / f"chat-{_file_name(username)}.db"
    options = Options(url or demo.url, username, password, conversation, store)
    try:
        asyncio.run(_chat(options))
    except NoAnswer as failure:
        raise Unreachable(f"{failure}. Is it running? `headrace up --demo` starts everything.") from failure
    except StoreInUse as failure:
        raise Failure(f"{username} is chatting from this folder already: {failure}") from failure
    except sqlite3.Error as failure:
        raise Failure(f"{store} can not be used: {failure}") from failure
    except (HeadraceError, ValueError) as failure:
        raise Failure(str(failure)) from failure


async def _chat(options: Options) -> None:
    api = Api(options.url)
    await _sign_in(api, options)
    try:
        await _talk(api, options)
    finally:
        with suppress(ApiError, NoAnswer):  # or it stays in the list of sessions until it ends by itself
            await api.logout()


async def _talk(api: Api, options: Options) -> None:
    async with Client(options.url, token=api.token, store=options.store, client_name="headrace-chat") as client:
        talk = Talk(api, client)
        await talk.start(options.conversation)
        if sys.stdin.isatty() and sys.stdout.isatty():
            from cli.chat import screen  # noqa: PLC0415 - prompt_toolkit takes long to import, and pipes do not need it

            await screen.show(talk)
        else:
            await lines.show(talk, sys.stdin)


async def _sign_in(api: Api, options: Options) -> None:
    """Sign in; a server that is just being restarted is waited for.

    Raises:
        Stopped: it refuses.
        NoAnswer: it does not answer within 10 s.
    """
    deadline = time.monotonic() + PATIENCE_S
    waiting = False
    while True:
        try:
            await api.login(options.username, options.password, device="headrace chat")
        except ApiError as failure:
            pause_s, why = failure.retry_after_s or AGAIN_S, failure.message
            if not failure.temporary or time.monotonic() + pause_s > deadline:
                raise Stopped(f"{options.username} can not sign in at {options.url}: {failure.message}") from failure
        except NoAnswer as failure:
            pause_s, why = AGAIN_S, str(failure)
            if time.monotonic() + pause_s > deadline:
                raise
        else:
            return
        if not waiting:
            output.say(f"{why} (trying for {PATIENCE_S:.0f} s)")
            waiting = True
        await asyncio.sleep(pause_s)


def _demo(folder: Path) -> Demo:
    try:
        return msgspec.json.decode((folder / "demo.json").read_bytes(), type=Demo)
    except FileNotFoundError:
        return Demo()
    except (OSError, msgspec.DecodeError) as failure:
        raise Failure(f"{folder / 'demo.json'} can not be read: {failure}") from failure


def _ask_password(username: str, folder: Path) -> str:
    if not sys.stdin.isatty():
        raise Failure(f"{folder / 'demo.json'} does not know {username}: give --password or HEADRACE_PASSWORD")
    return click.prompt(f"Password of {username}", hide_input=True, err=True)


def _file_name(username: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in username)
