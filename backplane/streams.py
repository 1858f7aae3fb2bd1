"""The streams of a partition: gateways append intents; one owner a stage takes entries, settles, buries, trims.

Entries are taken only by `fetch`, a function that checks the token and reads without BLOCK; waiting is a plain `XREAD BLOCK`,
which takes nothing (hole A4). Every function of a partition checks the token: a zombie gets `Fenced`. After a `fetch` or
`settle` that raised `Unknown`, the owner takes a new token (`leases.acquire` again) before it reads its pending list.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from backplane.errors import Transient, Unknown
from backplane.redis import Redis, Word, fcall
from schemas.events import Event, encode_header
from schemas.ids import StreamId
from schemas.names import CONSUMER, INTENT_FIELD, MARK_FIELD, Names
from schemas.stages import STAGES, Stage, groups_of

PIPELINE_INTENTS: Final = 500
"""Intents that one pipeline carries: enough to share its cost, few enough to answer the first soon."""
MAX_BLOCK_MS: Final = 2000
DEAD_ENTRIES: Final = 100_000
CAUSE_SECONDS: Final = 30 * 86400
"""How long a shard remembers for which run of a partition's server it took a new era."""

_Waiting = tuple[int, bytes, asyncio.Future[StreamId]]


class Intents:
    """The gateway's end: appends that arrive while one is in flight go out together in the next pipeline (bounded).

    One pipeline at a time, first come, first sent: what one connection says stays in the order in which it was said. Marks go the
    same way, to streams of their own, and never wait behind messages.
    """

    def __init__(self, redis: Redis, *, limit: int, stream: Literal["intents", "receipts"] = "intents") -> None:
        self._redis, self._limit = redis, limit
        self._field = INTENT_FIELD if stream == "intents" else MARK_FIELD
        self._streams = [redis.names.stream(stream, partition) for partition in range(redis.names.partitions)]
        self._waiting: list[_Waiting] = []
        self._in_flight = 0
        self._sender: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """Intents accepted here and not yet answered by Redis."""
        return self._in_flight

    async def append(self, partition: int, intent: bytes) -> StreamId:
        """Append one encoded intent to its partition's stream.

        Raises:
            Transient: Redis is away or `limit` intents are in flight: nothing was appended.
            Unknown: it may have been appended.
        """
        if self._in_flight >= self._limit:
            raise Transient(f"{self._limit} intents are in flight")
        answer: asyncio.Future[StreamId] = asyncio.get_running_loop().create_future()
        self._in_flight += 1
        self._waiting.append((partition, intent, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="intents")
        return await answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:PIPELINE_INTENTS], self._waiting[PIPELINE_INTENTS:]
                await self._send_batch(batch)
        finally:
            self._sender = None

    async def _send_batch(self, batch: list[_Waiting]) -> None:
        commands = [("XADD", self._streams[partition], "*", self._field, intent) for partition, intent, _ in batch]
        replies: Sequence[Any] = [Unknown("the process stopped before the answer")] * len(batch)
        try:
            replies = await self._redis.pipeline(commands, append=True)
        except Exception as failure:  # noqa: BLE001  each waiting caller gets it
            replies = [failure] * len(batch)
            # What was not sent yet would only wait for the same failure: say at once that nothing was appended.
            unsent, self._waiting = self._waiting, []
            self._answer(unsent, [Transient("Redis is away")] * len(unsent))
        finally:
            self._answer(batch, replies)

    def _answer(self, batch: Sequence[_Waiting], replies: Sequence[Any]) -> None:
        self._in_flight -= len(batch)
        for (_, _, answer), reply in zip(batch, replies, strict=True):
            if answer.done():  # its caller was cancelled meanwhile
                continue
            if isinstance(reply, Exception):
                answer.set_exception(type(reply)(*reply.args))  # its own: a raised exception collects tracebacks
            else:
                answer.set_result(StreamId.parse(reply))


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry. `fields` is empty if the entry was trimmed while pending: lost work, counted and alarmed."""

    id: StreamId
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch took, and the era of the partition's tag (for `logs.append`)."""

    era: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Settled:
    """One entry that is done, and the events that it makes: emitted only if this acknowledgement is the first (hole B5)."""

    id: StreamId
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Trimmed:
    """How many entries a trim cut, and how many of them an optional stage had not acknowledged: lost to it."""

    entries: int
    lost: Mapping[str, int]


class Partition:
    """One partition as the owner of one stage sees it, under one token. A new tenure is a new object."""

    def __init__(self, redis: Redis, stage: Stage, partition: int, token: str) -> None:
        self.names: Names = redis.names
        self.stage, self.partition, self.token = stage, partition, token
        self._redis = redis
        self._stream = self.names.stream(stage.stream, partition)
        self._token_key = self.names.token(partition, stage.name)
        self._attempts = self.names.attempts(partition, stage.name)
        self._last: bytes | None = None  # what `fetch` has seen; before that, there may be anything

    async def pending(self, count: int) -> Fetched:
        """The first `count` entries that are taken and not acknowledged, oldest first: a predecessor's, or our own.

        Before the first entry of a partition whose server has a new `run_id` is handed out, all user shards get a new era
        (hole A6). A lost group is re-created at the stage's cursor, at 0 without one (hole D6).

        Raises:
            Fenced: the token is not the newest.
            Transient: Redis is away.
        """
        fetched, _ = await self._take(count, "0")
        return fetched

    async def fetch(self, count: int) -> Fetched:
        """Take up to `count` new entries, in order. Raises as `pending`, and `Unknown`: take a new token first."""
        fetched, self._last = await self._take(count, ">")
        return fetched

    async def wait(self, block_ms: int) -> None:
        """Return when the stream may have something new, or after `block_ms` (≤ 2 000). Takes nothing."""
        if self._last is None:
            return
        block_ms = max(1, min(block_ms, MAX_BLOCK_MS))  # BLOCK 0 is for ever
        await self._redis.block(
            "XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", self._stream, self._last, seconds=block_ms / 1000
        )

    async def settle(self, done: Sequence[Settled], cursor: StreamId | None) -> int:
        """Acknowledge entries and add their events to `events:{p}`, in one atomic call, in the order given.

        `cursor`: everything up to it is settled. Returns how many acknowledgements were the first of their entry.

        Raises:
            Fenced: the token is not the newest; nothing was done.
            Unknown: it may have been done; take a new token before reading the pending list.
        """
        args: list[Word] = [self.token, self.stage.name, "" if cursor is None else str(cursor)]
        for settled in done:
            args += [str(settled.id), len(settled.events), *_words(settled.events)]
        keys = [
            self._stream,
            self._token_key,
            self.names.events(self.partition),
            self._attempts,
            self.names.cursor(self.partition, self.stage.name),
        ]
        return await self._redis.call("settle", keys, args, append=True)

    async def bury(
        self, entry: Entry, *, error: str, first_ms: int, attempts: int, events: Sequence[Event] = ()
    ) -> None:
        """Move an entry to `dead` with its fields, stage, error and times, emit `events`, acknowledge: one call (hole A10)."""
        args: list[Word] = [self.token, self.stage.name, str(entry.id), len(events), *_words(events)]
        args += ["entry", str(entry.id), "stage", self.stage.name, "error", error]
        args += ["attempts", attempts, "first_ms", first_ms]
        for field, value in entry.fields.items():
            args += [field, value]
        keys = [
            self._stream,
            self._token_key,
            self.names.events(self.partition),
            self._attempts,
            self.names.dead(self.partition),
        ]
        await self._redis.call("bury", keys, args, append=True)

    async def attempt(self, entry_id: StreamId) -> int:
        """Count one attempt at an entry before it is made, and return the count: a handler that kills the process counts too (B1)."""
        keys = [self._token_key, self._attempts]
        return await self._redis.call("attempt", keys, [self.token, str(entry_id)], append=True)

    async def forget_attempts(self, entry_ids: Sequence[StreamId]) -> None:
        """Clear the counts of entries that are done."""
        if entry_ids:
            await self._redis.command("HDEL", self._attempts, *map(str, entry_ids))

    async def gone(self, entry_ids: Sequence[StreamId]) -> list[StreamId]:
        """Those of the entries that the stream does not hold any more, whoever owns it now. Raises `Transient`."""
        asked = [("XRANGE", self._stream, str(entry_id), str(entry_id)) for entry_id in entry_ids]
        found = await self._redis.all(asked)
        return [entry_id for entry_id, entries in zip(entry_ids, found, strict=True) if not entries]

    async def trim(self, *, max_age_seconds: float, max_entries: int, stages: Sequence[Stage] | None = None) -> Trimmed:
        """Cut this stage's stream to its window, never what a required group has not acknowledged (hole B14).

        Nor what an optional one has not, while it is within its `max_lag`. Also cuts `dead` to 100 000 entries.
        `stages`: who reads the stream; the table's if not given.
        """
        stages = groups_of(self.stage.stream) if stages is None else stages
        keys = [self._stream, self._token_key, self.names.dead(self.partition)]
        args: list[Word] = [self.token, round(max_age_seconds * 1000), max_entries, DEAD_ENTRIES]
        for stage in stages:
            args += [stage.name, -1 if stage.required else stage.max_lag or 0]
        went, *lost = await self._redis.call("cut", keys, args)
        return Trimmed(went, {stage.name: count for stage, count in zip(stages, lost, strict=False) if count})

    async def _take(self, count: int, start: str) -> tuple[Fetched, bytes]:
        tag = self.names.partition_tag(self.partition)
        keys = [
            self._stream,
            self._token_key,
            self.names.cursor(self.partition, self.stage.name),
            self.names.run(tag),
            self.names.era(tag),
        ]
        args = [self.token, self.stage.name, CONSUMER, count, start]
        while True:
            era, *answer = await self._redis.call("fetch", keys, args, append=True)
            if era is not None:
                break
            await self._adopt(*answer)
        entries, last = answer
        return Fetched(era.decode(), [_entry(*raw) for raw in entries]), last

    async def _adopt(self, run_id: bytes, era: bytes | None) -> None:
        """All shards first, then this partition: killed between, its next owner does it again (hole A6)."""
        if era is None or not self._redis.lossless:
            tags = [self.names.shard_tag(shard) for shard in range(self.names.shards)]
            await self._redis.all([_renew(self.names, tag, run_id.decode()) for tag in tags])
        await self._redis.all([self._redis.adopt_partition(self.partition)])


def _renew(names: Names, tag: str, run_id: str) -> Sequence[Word]:
    keys = [names.run(tag), names.era(tag), f"{tag}cause:{run_id}"]
    return fcall("renew", keys, [run_id, secrets.token_hex(8), CAUSE_SECONDS])


def _entry(entry_id: bytes, fields: Sequence[bytes] | None) -> Entry:
    pairs = iter(fields or ())
    return Entry(StreamId.parse(entry_id), dict(zip(pairs, pairs, strict=True)))


def _words(events: Iterable[Event]) -> list[Word]:
    return [word for event in events for word in (encode_header(event.header), event.body)]


@dataclass(frozen=True, slots=True)
class StageLag:
    """How far one stage is behind in one partition. `lag` is None when Redis can not tell: unknown, never 0."""

    stage: str
    partition: int
    lag: int | None
    pending: int
    oldest_ms: int | None
    """Age of the oldest unacknowledged entry; 0 when there is none, None when unknown."""


async def lags(redis: Redis) -> list[StageLag]:
    """The lag of every stage in every partition, in pipelined calls; a stage whose group does not exist yet but has entries is unknown."""
    asked = [(stage, partition) for stage in STAGES.values() for partition in range(redis.names.partitions)]
    replies = await redis.all(
        [fcall("lag", [redis.names.stream(stage.stream, at)], [stage.name]) for stage, at in asked]
    )
    return [
        StageLag(stage.name, partition, _known(lag), pending, _known(oldest_ms))
        for (stage, partition), (lag, pending, oldest_ms) in zip(asked, replies, strict=True)
    ]


def _known(number: int) -> int | None:
    return None if number < 0 else number


async def memory_ratio(redis: Redis) -> float:
    """used_memory / maxmemory of the fullest primary; 0.0 without a limit."""
    text: str = (await redis.command("INFO", "memory")).decode()
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    limit = int(facts["maxmemory"])
    return int(facts["used_memory"]) / limit if limit else 0.0
