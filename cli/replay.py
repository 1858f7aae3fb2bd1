"""`headrace replay`: past intents and marks through the stages once more, or one user's log made anew. A dry run unless told otherwise."""

import asyncio
from dataclasses import asdict
from typing import get_args

import click

from cli import output
from cli.places import Reference, moment, reference
from schemas.ids import StreamId, UserId
from schemas.stages import Replayed


@click.group(invoke_without_command=True)
@click.option("--from", "low", type=moment, metavar="WHEN", help="From here on: 15m, a time, or an entry's id.")
@click.option("--to", "high", type=moment, metavar="WHEN", help="Up to here.")
@click.option(
    "--entry", "entries", type=reference, metavar="PARTITION/ID", multiple=True, help="This one; may be repeated."
)
@click.option(
    "--stream",
    "streams",
    type=click.Choice(get_args(Replayed)),
    multiple=True,
    default=get_args(Replayed),
    show_default=True,
    help="Of this stream only: what was asked for, or how far people have read.",
)
@output.partition_option
@click.option("--conversation", help="Only what was asked for in this conversation.")
@click.option("--user", help="Only what this user asked for.")
@click.option("--all", "every", is_flag=True, help="Everything that the streams still hold.")
@click.option("--execute", is_flag=True, help="Do it; without this nothing is sent.")
@click.option("--rate", type=click.IntRange(1, 100_000), default=500, show_default=True, help="Entries a second.")
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    low: StreamId | None,
    high: StreamId | None,
    entries: tuple[Reference, ...],
    streams: tuple[Replayed, ...],
    partition: int | None,
    conversation: str | None,
    user: str | None,
    every: bool,
    execute: bool,
    rate: int,
    as_json: bool,
) -> None:
    """Append past intents and marks again, unchanged, so that every stage sees them once more.

    What is stored already is recognised, an intent by its id and a mark because it is no higher: it is not stored twice, and its
    event is emitted again to everybody, who drop it if they have it. Use it after events were lost. Without --execute it only
    counts and shows a few. A mark is judged anew, though: one that was beyond the newest message, or of somebody who was blocked
    or not in the conversation then, counts as if it were said now.

    Example:  headrace replay --from 15m --conversation 5b1f… --execute
    """
    if context.invoked_subcommand:
        return
    if not (every or low or high or entries or conversation or user or partition is not None):
        raise click.UsageError(
            "say which entries: --from, --to, --entry, --partition, --conversation, --user, or --all"
        )
    if entries and (low or high):
        raise click.UsageError("--entry names entries; it does not go with --from and --to")
    from cli.asking import replay as asking

    selection = asking.Selection(low, high, entries, streams, partition, conversation, user)
    found = asyncio.run(asking.replay(selection, execute=execute, rate=rate))
    if as_json:
        output.show_one(asdict(found), as_json=True)
        return
    output.show(found.sample, as_json=False, empty="nothing matches")
    unreadable = f", {found.unreadable} unreadable ones left out" if found.unreadable else ""
    done = f"{found.sent} sent again" if execute else "nothing was sent; add --execute"
    output.say(f"{found.matched} entries match{unreadable}; {done}")


@command.command("user")
@click.argument("user_id")
@click.option("--execute", is_flag=True, help="Do it; without this nothing is changed.")
@output.json_option
def user_log(*, user_id: str, execute: bool, as_json: bool) -> None:
    """Throw one user's log away, so that their clients load the state from MongoDB.

    A log is not filled again from the past: MongoDB is the truth, and a client told `epoch_changed` fetches it whole. Connected
    clients are told at once, others when they come. Use it when one person's clients show something wrong.

    Example:  headrace replay user 0190… --execute
    """
    from cli.asking import replay as asking

    row = asyncio.run(asking.renew(UserId(user_id), execute=execute))
    output.show_one(row, as_json=as_json)
    if not execute:
        output.say("nothing was changed; add --execute")
