"""What `headrace replay` asks and does."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import click

from backplane import history
from backplane.logs import Logs
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output
from cli.asking import systems
from cli.asking.entries import summary
from cli.asking.users import operator
from cli.failures import Failure
from cli.places import Reference
from schemas.ids import ConversationId, StreamId, UserId
from schemas.intents import Intent, decode_intent
from schemas.marks import Mark, decode_mark
from schemas.names import INTENT_FIELD, MARK_FIELD
from schemas.stages import Replayed

_SAMPLE = 5
_TICKS = 10
"""Appends a second: `--rate` is spread over so many pipelines."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries: all conditions hold at once; `entries` instead of a range if there are any."""

    low: StreamId | None
    high: StreamId | None
    entries: tuple[Reference, ...]
    streams: tuple[Replayed, ...]
    partition: int | None
    conversation: str | None
    user: str | None

    def holds(self, said: Intent | Mark) -> bool:
        """Whether what an entry says is asked for."""
        return self.conversation in {None, said.conversation_id} and self.user in {None, said.actor_id}


class Place(NamedTuple):
    """One stream of one partition."""

    stream: Replayed
    partition: int

    def key(self, redis: Redis) -> str:
        """What it is called in Redis."""
        return redis.names.stream(self.stream, self.partition)


@dataclass(slots=True)
class Found:
    """What the streams hold of a selection, and how many of it were sent again."""

    matched: int = 0
    unreadable: int = 0
    sent: int = 0
    sample: list[output.Row] = field(default_factory=list[output.Row])


async def _audit(selection: Selection, found: Found) -> None:
    """Before it is done: a replay that is cut off was one, too."""
    asked = {"conversation_id": selection.conversation, "said_by": selection.user, "partition": selection.partition}
    async with systems.the_store() as store:
        await store.audit.append(
            "streams.replayed",
            actor=operator(),
            at_ms=time.time_ns() // 1_000_000,
            streams=list(selection.streams),
            entries=found.matched,
            of={name: value for name, value in asked.items() if value is not None},
        )


async def replay(selection: Selection, *, execute: bool, rate: int) -> Found:
    """Count what matches and keep a few for show; with `execute`, append all of it again at `rate` entries a second."""
    async with systems.the_redis() as redis:
        bounds = await _bounds(redis, selection)
        found = await _look(redis, selection, bounds)
        if execute and found.matched:
            await _audit(selection, found)
            with _progress(found.matched) as progress:
                found.sent = await _send(redis, selection, bounds, rate, progress)
        return found


async def _bounds(redis: Redis, selection: Selection) -> dict[Place, StreamId]:
    """The last id of each stream now: what is appended from here on, by us too, is not the past."""
    if selection.conversation is not None:
        own = redis.names.partition_of(ConversationId(selection.conversation))
        if selection.partition not in {None, own}:
            raise Failure(f"the conversation is in partition {own}, not {selection.partition}")
        asked = [own]
    else:
        asked = systems.partitions(redis, selection.partition)
    places = [Place(stream, at) for stream in get_args(Replayed) if stream in selection.streams for at in asked]
    last = {place: await history.newest(redis, place.key(redis), 1) for place in places}
    return {place: min(selection.high or history.LAST, entries[0].id) for place, entries in last.items() if entries}


async def _matching(
    redis: Redis, selection: Selection, bounds: dict[Place, StreamId], unreadable: Callable[[], None]
) -> AsyncIterator[tuple[Place, list[Entry]]]:
    """Entries that match, in order within a stream, and where they are; intents come before marks, which are about messages."""
    async for place, page in _candidates(redis, selection, bounds):
        matching: list[Entry] = []
        for entry in page:
            try:
                said = _said(place.stream, entry)
            except ValueError:
                unreadable()
                continue
            if selection.holds(said):
                matching.append(entry)
        if matching:
            yield place, matching


def _said(stream: Replayed, entry: Entry) -> Intent | Mark:
    if stream == "intents":
        return decode_intent(entry.fields.get(INTENT_FIELD, b""))
    return decode_mark(entry.fields.get(MARK_FIELD, b""))


async def _candidates(
    redis: Redis, selection: Selection, bounds: dict[Place, StreamId]
) -> AsyncIterator[tuple[Place, list[Entry]]]:
    if selection.entries:
        for wanted in sorted(selection.entries):
            yield await _one(redis, selection, wanted)
        return
    for place, high in bounds.items():
        async for page in history.pages(redis, place.key(redis), selection.low or history.FIRST, high):
            yield place, page


async def _one(redis: Redis, selection: Selection, wanted: Reference) -> tuple[Place, list[Entry]]:
    places = [Place(stream, wanted.partition) for stream in selection.streams]
    found = [(place, await history.one(redis, place.key(redis), wanted.entry_id)) for place in places]
    there = [(place, [entry]) for place, entry in found if entry is not None]
    if not there:
        raise Failure(f"{wanted} is not there; it may have been trimmed away")
    if len(there) > 1:
        raise Failure(f"{wanted} is in both streams; say --stream")
    return there[0]


async def _look(redis: Redis, selection: Selection, bounds: dict[Place, StreamId]) -> Found:
    found = Found()

    def unreadable() -> None:
        found.unreadable += 1

    async for place, entries in _matching(redis, selection, bounds, unreadable):
        found.matched += len(entries)
        wanted = entries[: _SAMPLE - len(found.sample)]
        found.sample += [summary(place.stream, place.partition, entry) for entry in wanted]
    return found


async def _send(
    redis: Redis, selection: Selection, bounds: dict[Place, StreamId], rate: int, progress: Callable[[int], None]
) -> int:
    sent = 0
    began = time.monotonic()
    async for place, entries in _matching(redis, selection, bounds, lambda: None):
        for batch in _batches(entries, max(1, rate // _TICKS)):
            await history.append_again(redis, place.key(redis), batch)
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
