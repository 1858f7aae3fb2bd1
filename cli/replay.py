"""`headrace replay`: past intents through the stages once more, or one user's log made anew. A dry run unless told otherwise."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from backplane import history
from backplane.logs import Logs
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output, systems
from cli.entries import summary
from cli.failures import Failure
from cli.places import Reference, moment, reference
from schemas.ids import ConversationId, StreamId, UserId
from schemas.intents import Intent, decode_intent
from schemas.names import INTENT_FIELD

_SAMPLE = 5
_TICKS = 10
"""Appends a second: `--rate` is spread over so many pipelines."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which intents: all conditions hold at once; `entries` instead of a range if there are any."""

    low: StreamId
    high: StreamId
    entries: tuple[Reference, ...]
    partition: int | None
    conversation: str | None
    user: str | None

    def holds(self, intent: Intent) -> bool:
        """Whether what an intent says is asked for."""
        return self.conversation in {None, intent.conversation_id} and self.user in {None, intent.actor_id}


@dataclass(slots=True)
class Found:
    """What a pass over the streams saw."""

    count: int
    unreadable: int
    sample: list[output.Row]


@click.group(invoke_without_command=True)
@click.option("--from", "low", type=moment, metavar="WHEN", help="From here on: 15m, a time, or an entry's id.")
@click.option("--to", "high", type=moment, metavar="WHEN", help="Up to here.")
@click.option(
    "--entry", "entries", type=reference, metavar="PARTITION/ID", multiple=True, help="This one; may be repeated."
)
@output.partition_option
@click.option("--conversation", help="Only intents in this conversation.")
@click.option("--user", help="Only intents of this user.")
@click.option("--all", "every", is_flag=True, help="Everything that the streams still hold.")
@click.option("--execute", is_flag=True, help="Do it; without this nothing is sent.")
@click.option("--rate", type=click.IntRange(1, 100_000), default=500, show_default=True, help="Intents a second.")
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    low: StreamId | None,
    high: StreamId | None,
    entries: tuple[Reference, ...],
    partition: int | None,
    conversation: str | None,
    user: str | None,
    every: bool,
    execute: bool,
    rate: int,
    as_json: bool,
) -> None:
    """Append past intents again, unchanged, so that every stage sees them once more.

    What is stored already is recognised by its intent id: it is not stored twice, and its event is emitted again to everybody,
    who drop it if they have it. Use it after events were lost. Without --execute it only counts and shows a few.

    Example:  headrace replay --from 15m --conversation 5b1f… --execute
    """
    if context.invoked_subcommand:
        return
    if not (every or low or high or entries or conversation or user or partition is not None):
        raise click.UsageError(
            "say which intents: --from, --to, --entry, --partition, --conversation, --user, or --all"
        )
    if entries and (low or high):
        raise click.UsageError("--entry names entries; it does not go with --from and --to")
    selection = Selection(low or history.FIRST, high or history.LAST, entries, partition, conversation, user)
    asyncio.run(_replay(selection, execute=execute, rate=rate, as_json=as_json))


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
    row = asyncio.run(_renew(UserId(user_id), execute=execute))
    output.show_one(row, as_json=as_json)
    if not execute:
        output.say("nothing was changed; add --execute")


async def _replay(selection: Selection, *, execute: bool, rate: int, as_json: bool) -> None:
    async with systems.the_redis() as redis:
        bounds = await _bounds(redis, selection)
        found = await _look(redis, selection, bounds)
        sent = 0
        if execute and found.count:
            with _progress(found.count) as progress:
                sent = await _send(redis, selection, bounds, rate, progress)
    if as_json:
        counts = {"matched": found.count, "unreadable": found.unreadable, "sent": sent}
        output.show_one({**counts, "sample": found.sample}, as_json=True)
        return
    output.show(found.sample, as_json=False, empty="no intent matches")
    unreadable = f", {found.unreadable} unreadable ones left out" if found.unreadable else ""
    output.say(
        f"{found.count} intents match{unreadable}; "
        + (f"{sent} sent again" if execute else "nothing was sent; add --execute")
    )


async def _bounds(redis: Redis, selection: Selection) -> dict[int, StreamId]:
    """The last id of each partition now: what is appended from here on, by us too, is not the past."""
    if selection.conversation is not None:
        own = redis.names.partition_of(ConversationId(selection.conversation))
        if selection.partition not in {None, own}:
            raise Failure(f"the conversation is in partition {own}, not {selection.partition}")
        asked = [own]
    else:
        asked = systems.partitions(redis, selection.partition)
    last = {at: await history.newest(redis, redis.names.intents(at), 1) for at in asked}
    return {at: min(selection.high, entries[0].id) for at, entries in last.items() if entries}


async def _matching(
    redis: Redis, selection: Selection, bounds: dict[int, StreamId], unreadable: Callable[[], None]
) -> AsyncIterator[tuple[int, list[Entry]]]:
    """Partition and entries that match, in order within a partition."""
    async for partition, page in _candidates(redis, selection, bounds):
        matching: list[Entry] = []
        for entry in page:
            try:
                intent = decode_intent(entry.fields.get(INTENT_FIELD, b""))
            except ValueError:
                unreadable()
                continue
            if selection.holds(intent):
                matching.append(entry)
        if matching:
            yield partition, matching


async def _candidates(
    redis: Redis, selection: Selection, bounds: dict[int, StreamId]
) -> AsyncIterator[tuple[int, list[Entry]]]:
    if selection.entries:
        for wanted in sorted(selection.entries):
            entry = await history.one(redis, redis.names.intents(wanted.partition), wanted.entry_id)
            if entry is None:
                raise Failure(f"{wanted} is not there; it may have been trimmed away")
            yield wanted.partition, [entry]
        return
    for partition, high in bounds.items():
        async for page in history.pages(redis, redis.names.intents(partition), selection.low, high):
            yield partition, page


async def _look(redis: Redis, selection: Selection, bounds: dict[int, StreamId]) -> Found:
    found = Found(0, 0, [])

    def unreadable() -> None:
        found.unreadable += 1

    async for partition, entries in _matching(redis, selection, bounds, unreadable):
        found.count += len(entries)
        wanted = entries[: _SAMPLE - len(found.sample)]
        found.sample += [summary("intents", partition, entry) for entry in wanted]
    return found


async def _send(
    redis: Redis, selection: Selection, bounds: dict[int, StreamId], rate: int, progress: Callable[[int], None]
) -> int:
    sent = 0
    began = time.monotonic()
    async for partition, entries in _matching(redis, selection, bounds, lambda: None):
        key = redis.names.intents(partition)
        for batch in _batches(entries, max(1, rate // _TICKS)):
            await history.append_again(redis, key, batch)
            sent += len(batch)
            progress(len(batch))
            await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
    return sent


def _batches(entries: Sequence[Entry], size: int) -> list[Sequence[Entry]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]


@contextmanager
def _progress(total: int) -> Generator[Callable[[int], None]]:
    """A bar on stderr where a person watches; what it yields is told how many more are done."""
    if not output.watched():
        yield lambda _count: None
        return
    with click.progressbar(length=total, label="sending", file=sys.stderr) as bar:
        yield bar.update


async def _renew(user_id: UserId, *, execute: bool) -> output.Row:
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store, systems.the_redis(settings) as redis:
        user = (await store.users.find([user_id])).get(user_id)
        if user is None:
            raise Failure(f"there is no user {user_id}")
        names = redis.names
        epoch, length = await redis.all([("GET", names.epoch(user_id)), ("XLEN", names.log(user_id))])
        if execute:
            logs = Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)
            await logs.drop([user_id])
        return {
            "user_id": user_id,
            "username": user.username,
            "log": names.log(user_id),
            "entries": length,
            "epoch": epoch.decode().partition(" ")[0] if epoch else None,
            "dropped": execute,
        }
