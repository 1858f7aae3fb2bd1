"""`headrace webhooks`: where events are sent, how that goes, and switching it off and on."""

import asyncio
import uuid

import click

from cli import output
from cli.failures import FAILED


def _identifier(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no webhook's id; `headrace webhooks ls` lists them") from None


_one = click.argument("webhook_id", type=_identifier, metavar="WEBHOOK")


@click.group
def command() -> None:
    """Look through webhooks, switch them off or on."""


@command.command
@click.option("--failing", is_flag=True, help="Only those that fail or are disabled.")
@output.json_option
def ls(*, failing: bool, as_json: bool) -> None:
    """List webhooks, oldest first.

    Example:  headrace webhooks ls --failing
    """
    from cli.asking import webhooks as asking

    output.show(asyncio.run(asking.ls(failing=failing)), as_json=as_json, empty="no webhooks")


@command.command
@_one
@output.json_option
def show(*, webhook_id: str, as_json: bool) -> None:
    """Show one webhook, without its secret, and how many deliveries wait.

    Example:  headrace webhooks show 0190c0de-0000-7000-8000-000000000001
    """
    from cli.asking import webhooks as asking

    _shown(webhook_id, asyncio.run(asking.one(webhook_id)), as_json=as_json)


@command.command
@_one
@output.json_option
def enable(*, webhook_id: str, as_json: bool) -> None:
    """Let a webhook get events from now on, with a clean record.

    Example:  headrace webhooks enable 0190c0de-0000-7000-8000-000000000001
    """
    from cli.asking import webhooks as asking

    _shown(webhook_id, asyncio.run(asking.enable(webhook_id)), as_json=as_json)


@command.command
@_one
@click.option("--reason", default="disabled by the operator", show_default=True, help="What its owner is shown.")
@output.json_option
def disable(*, webhook_id: str, reason: str, as_json: bool) -> None:
    """Let a webhook get nothing more; what waits for it is dropped.

    Example:  headrace webhooks disable 0190c0de-0000-7000-8000-000000000001 --reason "asked by mail"
    """
    from cli.asking import webhooks as asking

    _shown(webhook_id, asyncio.run(asking.disable(webhook_id, reason)), as_json=as_json)


def _shown(webhook_id: str, row: output.Row | None, *, as_json: bool) -> None:
    if row is None:
        output.say(f"{webhook_id} is not there")
        raise click.exceptions.Exit(FAILED)
    output.show_one(row, as_json=as_json)
