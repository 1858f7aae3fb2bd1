"""`headrace users`: who somebody is, shutting them out, everything that is theirs as a file, their erasure (GDPR, articles 15, 17 and 20)."""

import asyncio
from typing import IO

import click
import orjson

from cli import output

_one = click.argument("user", metavar="USER")


@click.group
def command() -> None:
    """Look at people, sign them out, shut them out, export what is theirs, erase them. USER is a username or an id."""


@command.command
@_one
@output.json_option
def show(*, user: str, as_json: bool) -> None:
    """Show one person, and how much of theirs there is.

    Example:  headrace users show alice
    """
    from cli.asking import users as asking

    output.show_one(asyncio.run(asking.show(user)), as_json=as_json)


@command.command
@_one
def disable(*, user: str) -> None:
    """Shut somebody out: they can not sign in, their tokens count no more, and their sockets close within a second.

    So do those of their bots, and their webhooks are disabled. What they wrote stays. An entry in the audit log says that it was done.

    Example:  headrace users disable mallory
    """
    from cli.asking import accounts as asking

    output.say(asyncio.run(asking.disable(user)))


@command.command
@_one
def enable(*, user: str) -> None:
    """Let somebody in again who was shut out; they, and their bots, sign in anew. Webhooks stay disabled.

    Example:  headrace users enable mallory
    """
    from cli.asking import accounts as asking

    output.say(asyncio.run(asking.enable(user)))


@command.command("sign-out")
@_one
def sign_out(*, user: str) -> None:
    """End all sessions of somebody, whose device was stolen perhaps; their sockets close within a second.

    Example:  headrace users sign-out alice
    """
    from cli.asking import accounts as asking

    output.say(asyncio.run(asking.sign_out(user)))


@command.command
@_one
@click.option("-o", "--output", "to", type=click.File("wb", lazy=False), default="-", help="A file; else stdout.")
def export(*, user: str, to: IO[bytes]) -> None:
    """Write everything that is a person's as JSON lines, each with its `kind`.

    Profile, sessions, blocks, bots, webhooks, memberships, marks of threads, every message of theirs and every reaction. Secrets and what
    others wrote are not in it. An entry in the audit log says that it was done.

    Example:  headrace users export alice --output alice.jsonl
    """
    from cli.asking import users as asking

    lines = 0

    def write(row: output.Row) -> None:
        nonlocal lines
        lines += 1
        to.write(orjson.dumps(row) + b"\n")

    asyncio.run(asking.export(user, write))
    output.say(f"{lines} lines")


@command.command
@_one
@click.option("--yes", is_flag=True, help="Do it; without this nothing is changed.")
@output.json_option
def erase(*, user: str, yes: bool, as_json: bool) -> None:
    """Erase a person: nothing of theirs is left but an id that names nobody.

    They are signed out and leave every conversation (the longest-serving admin or member becomes the owner where they were); their messages become
    tombstones, their reactions go, and everybody is told. Sessions, blocks, marks, webhooks and tokens are deleted, their bots
    disabled. It takes the ordinary way through the stages, so consumers must run. Interrupted, it goes on when it is called again.
    An entry in the audit log says that it was done. This can not be undone: export first.

    Example:  headrace users erase alice --yes
    """
    from cli.asking import erasing as asking

    row = asyncio.run(asking.erase(user, execute=yes))
    output.show_one(row, as_json=as_json)
    if not yes:
        output.say("nothing was changed; add --yes")
