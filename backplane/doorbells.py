"""Sharded pub/sub: what rings for the users connected to this gateway (design §1, step 4).

One connection per node, for SSUBSCRIBE and SUNSUBSCRIBE alike, and each waits for its own acknowledgement, so that a user who
leaves and comes back at once is heard (hole D7). A doorbell may be lost without harm; a lost connection is reported,
re-made with back-off, and every channel subscribed again.
"""

import asyncio
import contextlib
import itertools
import random
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Final, Literal, NamedTuple

import structlog

from backplane.errors import Permanent, Transient
from backplane.redis import Redis

BACKOFF_SECONDS: Final = (0.05, 2.0)
CHANNELS_A_COMMAND: Final = 500

_log = structlog.get_logger()

_Verb = Literal["SSUBSCRIBE", "SUNSUBSCRIBE"]


class _Asked(NamedTuple):
    verb: _Verb
    channel: str
    answer: asyncio.Future[None] | None


class Doorbells:
    """The subscriptions of one gateway.

    Args:
        redis: the process' Redis.
        on_ring: called in the event loop with (channel, payload) for each message; must not block or raise.
        on_lost: called when messages may have been missed: after every channel is subscribed again.
        idle_seconds: silence after which the connection is asked whether it lives; after as much again it is given up.
        acknowledge_seconds: how long a subscriber waits.
    """

    def __init__(
        self,
        redis: Redis,
        on_ring: Callable[[str, bytes], None],
        on_lost: Callable[[], None],
        *,
        idle_seconds: float = 5.0,
        acknowledge_seconds: float = 5.0,
    ) -> None:
        self._on_ring, self._on_lost = on_ring, on_lost
        self._idle_seconds, self._acknowledge_seconds = idle_seconds, acknowledge_seconds
        self._connection = redis.connection()
        self._wanted: set[str] = set()
        self._outbox: list[_Asked] = []  # to be sent, in this order
        self._sent: deque[_Asked] = deque()  # acknowledgements come in the order of sending
        self._work = asyncio.Event()
        self._connected_before = False
        self._restoring = 0  # acknowledgements until every channel is heard again
        self._heard_at = 0.0
        self._asked_at: float | None = None  # a PING that nothing has been heard since
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the reader, which connects as soon as Redis is there; subscribers wait for it."""
        self._task = asyncio.create_task(self._run(), name="doorbells")

    async def close(self) -> None:
        """Stop the reader and close."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._connection.close()
        for asked in (*self._sent, *self._outbox):
            if asked.answer is not None and not asked.answer.done():
                asked.answer.set_exception(Transient("the doorbells are closed"))

    async def subscribe(self, channel: str) -> None:
        """Return once Redis has acknowledged: from then on every message of the channel is heard.

        Raises:
            Transient: no acknowledgement within `acknowledge_seconds`.
        """
        already = channel in self._wanted
        self._wanted.add(channel)
        try:
            async with asyncio.timeout(self._acknowledge_seconds):
                await self._ask("SSUBSCRIBE", channel)
        except BaseException as failure:
            if not already:  # nobody was told that this channel is heard
                self._wanted.discard(channel)
                self._put(_Asked("SUNSUBSCRIBE", channel, None))
            if isinstance(failure, TimeoutError):
                raise Transient(
                    f"Redis did not acknowledge a subscription within {self._acknowledge_seconds} s"
                ) from None
            raise

    async def unsubscribe(self, channel: str) -> None:
        """Stop hearing a channel; returns once acknowledged or the connection is gone."""
        self._wanted.discard(channel)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._acknowledge_seconds):
                await self._ask("SUNSUBSCRIBE", channel)

    async def _ask(self, verb: _Verb, channel: str) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Asked(verb, channel, answer))
        await answer

    def _put(self, asked: _Asked) -> None:
        self._outbox.append(asked)
        self._work.set()

    async def _run(self) -> None:
        least, most = BACKOFF_SECONDS
        failures = 0
        while True:
            try:
                await self._connection.open()
                failures = 0
                self._restore()
                async with asyncio.TaskGroup() as connection:
                    connection.create_task(self._read())
                    connection.create_task(self._write())
                    connection.create_task(self._watch())
            except* (Transient, Permanent) as lost:
                failures += 1
                _log.warning("the doorbells are lost", failures=failures, error=str(lost.exceptions[0]))
            await self._connection.close()
            await asyncio.sleep(random.uniform(least, min(most, least * 2 ** min(failures, 10))))

    def _restore(self) -> None:
        """On a new connection: every wanted channel again, before whatever waits to be sent."""
        again = [_Asked("SSUBSCRIBE", channel, None) for channel in self._wanted]
        for asked in self._sent:
            if asked.answer is None or asked.answer.done():
                continue
            if asked.verb == "SSUBSCRIBE":
                again.append(asked)  # its subscriber waits on
            else:
                asked.answer.set_result(None)  # the subscription went with its connection
        self._sent.clear()
        self._outbox[:0] = again
        self._work.set()
        self._heard_at, self._asked_at = asyncio.get_running_loop().time(), None
        self._restoring = len(again)
        if not again:
            self._restored()

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            reply = await self._connection.receive()
            self._heard_at, self._asked_at = now(), None
            match reply:
                case [b"smessage", bytes(channel), bytes(payload)]:
                    self._on_ring(channel.decode(), payload)
                case [b"ssubscribe" | b"sunsubscribe" as verb, bytes(channel), _]:
                    self._acknowledge(verb, channel.decode())
                case _:
                    pass  # the answer to a PING

    def _acknowledge(self, verb: bytes, channel: str) -> None:
        if not self._sent or (self._sent[0].verb.lower().encode(), self._sent[0].channel) != (verb, channel):
            raise Transient(f"Redis ended the subscription of {channel}")  # its slot has moved
        answer = self._sent.popleft().answer
        if answer is not None and not answer.done():
            answer.set_result(None)
        if self._restoring:
            self._restoring -= 1
            if not self._restoring:
                self._restored()

    def _restored(self) -> None:
        if self._connected_before:
            self._on_lost()
        self._connected_before = True

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._outbox:
                verb, alike = next(itertools.groupby(self._outbox[:CHANNELS_A_COMMAND], key=attrgetter("verb")))
                batch = list(alike)
                del self._outbox[: len(batch)]
                self._sent.extend(batch)
                await self._connection.send([(verb, *(asked.channel for asked in batch))])

    async def _watch(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            await asyncio.sleep(self._idle_seconds / 2)
            if now() - began >= self._idle_seconds:
                continue  # it was this process that stood still: what has come meanwhile is read first
            if self._asked_at is not None:
                if now() - self._asked_at >= self._idle_seconds:
                    raise Transient(f"nothing was heard for {now() - self._heard_at:.0f} s")
            elif now() - self._heard_at >= self._idle_seconds:
                self._asked_at = now()
                await self._connection.send([("PING",)])


async def ring(redis: Redis, channel: str, payload: bytes) -> int:
    """SPUBLISH to one channel, at most once; returns the number of listeners."""
    return (await redis.all([("SPUBLISH", channel, payload)], append=True))[0]
