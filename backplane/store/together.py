"""Writes that arrive while others are on their way go out together, in one command.

A command costs the driver some 700 µs and the server a journal flush, however many documents it carries. The partitions of a process
write independently of each other, each a few documents at a time; together they make batches that are worth their command,
without anybody waiting for a batch to fill.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final, Generic, NamedTuple, TypeVar

from backplane.errors import Transient

T = TypeVar("T")
R = TypeVar("R")

QUEUE_SECONDS: Final = 2.0
"""A call that waits longer is refused, nothing sent: waiting and writing together stay shorter than a lease (hole C6)."""


class _Call(NamedTuple, Generic[T, R]):
    items: Sequence[T]
    answer: asyncio.Future[R]
    asked_at: float


class Together(Generic[T, R]):
    """Joins concurrent calls.

    Args:
        send: carries several calls' items in one command; answers each of them, with a result or an exception.
        lanes: commands on their way at once: one that hangs does not hold everybody.
        limit: items of one command, unless a single call has more.
    """

    def __init__(
        self,
        send: Callable[[list[Sequence[T]]], Awaitable[Sequence[R | Exception]]],
        *,
        lanes: int = 2,
        limit: int = 500,
    ) -> None:
        self._send, self._lanes, self._limit = send, lanes, limit
        self._waiting: deque[_Call[T, R]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, items: Sequence[T]) -> R:
        """Have these items carried, in their order.

        Raises:
            Transient: they waited too long behind others; nothing was sent.
            Exception: what `send` answered.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(items, answer, monotonic()))
        if len(self._running) < self._lanes:
            task = asyncio.create_task(self._run(), name="writes")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            if calls := self._take():
                await self._carry(calls)

    def _take(self) -> list[_Call[T, R]]:
        calls: list[_Call[T, R]] = []
        size = 0
        while self._waiting and (not calls or size + len(self._waiting[0].items) <= self._limit):
            call = self._waiting.popleft()
            if monotonic() - call.asked_at > QUEUE_SECONDS:
                _answer(call, Transient(f"waited {QUEUE_SECONDS} s behind other writes"))
                continue
            calls.append(call)
            size += len(call.items)
        return calls

    async def _carry(self, calls: Sequence[_Call[T, R]]) -> None:
        try:
            answers = await self._send([call.items for call in calls])
        except Exception as failure:  # noqa: BLE001 - each waiting caller gets it
            answers = [failure] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            _answer(call, answer)


def _answer(call: _Call[T, R], answer: R | Exception) -> None:
    if call.answer.done():  # its caller was cancelled meanwhile
        return
    if isinstance(answer, Exception):
        call.answer.set_exception(type(answer)(*answer.args))  # its own: a raised exception collects tracebacks
    else:
        call.answer.set_result(answer)
