"""What `headrace replay` asks and does."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from backplane import history
from backplane.logs import Logs
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output
from cli.asking import systems
from cli.asking.entries import summary
from cli.failures import Failure
from cli.places import Reference
from schemas.ids import ConversationId, StreamId, UserId
from schemas.intents import Intent, decode_intent
from schemas.names import INTENT_FIELD

_SAMPLE = 5
_TICKS = 10
"""Appends a second: `--rate` is spread over so many pipelines."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which intents: all conditions hold at once; `entries` instead of a range if there are any."""

    low: StreamId | None
    high: StreamId | None
    entries: tuple[Reference, ...]
    partition: int | None
    conversation: str | None
    user: str | None

    def holds(self, intent: Intent) -> bool:
        """Whether what an intent says is asked for."""
        return self.conversation in {None, intent.conversation_id} and self.user in {None, intent.actor_id}


@dataclass(slots=True)
class Found:
    """What the streams hold of a selection, and how many of it were sent again."""

    matched: int = 0
    unreadable: int = 0
    sent: int = 0
    sample: list[output.Row] = field(default_factory=list[output.Row])


async def replay(selection: Selection, *, execute: bool, rate: int) -> Found:
    """Count what matches and keep a few for show; with `execute`, append all of it again at `rate` intents a second."""
    async with systems.the_redis() as redis:
        bounds = await _bounds(redis, selection)
        found = await _look(redis, selection, bounds)
        if execute and found.matched:
            with _progress(found.matched) as progress:
                found.sent = await _send(redis, selection, bounds, rate, progress)
        return found


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
    return {at: min(selection.high or history.LAST, entries[0].id) for at, entries in last.items() if entries}


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
        async for page in history.pages(redis, redis.names.intents(partition), selection.low or history.FIRST, high):
            yield partition, page


async def _look(redis: Redis, selection: Selection, bounds: dict[int, StreamId]) -> Found:
    found = Found()

    def unreadable() -> None:
        found.unreadable += 1

    async for partition, entries in _matching(redis, selection, bounds, unreadable):
        found.matched += len(entries)
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


async def renew(user_id: UserId, *, execute: bool) -> output.Row:
    """One user's log; with `execute` thrown away."""
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
