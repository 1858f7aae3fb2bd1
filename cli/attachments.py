"""`headrace attachments`: files, what became of them, another look at them, and what was left."""

import asyncio
import uuid
from typing import get_args

import click

from cli import output
from cli.failures import FAILED
from schemas.attachments import AttachmentStatus


def _identifier(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no attachment's id; `headrace attachments ls` lists them") from None


@click.group
def command() -> None:
    """Look at attachments, scan them again, sweep what was left."""


@command.command
@click.option("--stuck", is_flag=True, help="Only those that should have got further by now, and why they have not.")
@click.option("--older", type=click.IntRange(0), default=300, show_default=True, help="Stuck: for so many seconds.")
@click.option("--status", type=click.Choice(get_args(AttachmentStatus)), help="Only those with this status.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@output.json_option
def ls(*, stuck: bool, older: int, status: AttachmentStatus | None, limit: int, as_json: bool) -> None:
    """List attachments, the first queued first. Files that are not uploaded yet are shown by --status uploading.

    Example:  headrace attachments ls --stuck
    """
    from cli.asking import attachments as asking

    rows = asyncio.run(asking.stuck(older, limit) if stuck else asking.ls(status, limit))
    output.show(rows, as_json=as_json, empty="nothing is stuck" if stuck else "no attachments")


@command.command
@click.argument("attachment_ids", type=_identifier, metavar="[ATTACHMENT]...", nargs=-1)
@click.option("--outdated", is_flag=True, help="All that were scanned with other signatures than the scanner has now.")
@click.option("--execute", is_flag=True, help="Do it; else only count.")
@output.json_option
def rescan(*, attachment_ids: tuple[str, ...], outdated: bool, execute: bool, as_json: bool) -> None:
    """Scan clean files again. One in which something is found now is withdrawn, and its message says so.

    Example:  headrace attachments rescan --outdated --execute
    """
    from cli.asking import attachments as asking

    if outdated == bool(attachment_ids):
        raise click.UsageError("name attachments, or give --outdated")
    row = asyncio.run(asking.rescan(attachment_ids, execute=execute))
    output.show_one(row, as_json=as_json)
    if not execute:
        output.say("nothing was asked for; --execute does it")


@command.command
@click.option("--wait", type=click.IntRange(1, 3600), default=60, show_default=True, help="At most so many seconds.")
@output.json_option
def sweep(*, wait: int, as_json: bool) -> None:
    """Have a consumer look for what was left: uploads, files without a message, lost verdicts, stray objects. It does so by itself, too.

    Example:  headrace attachments sweep
    """
    from cli.asking import attachments as asking

    row = asyncio.run(asking.sweep(wait))
    if row is None:
        output.say(f"no consumer with the stage `scan` has done it within {wait} s; it is still asked for")
        raise click.exceptions.Exit(FAILED)
    output.show_one(row, as_json=as_json)
