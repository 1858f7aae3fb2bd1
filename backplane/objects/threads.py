"""The threads in which a blocking driver runs: a few, and a bounded number of calls that wait for one.

Calls wait in the loop, not in the executor: so nothing is begun that nobody wants any more, and a driver that hangs holds no
more than its threads.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from backplane.errors import Transient, Unknown

T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 3.0


class Threads:
    """Up to `size` calls at a time, and `waiting` behind them; who comes then is refused."""

    def __init__(self, name: str, size: int, waiting: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._name, self._size, self._room, self._wait_seconds = name, size, waiting, wait_seconds
        self._free = asyncio.Semaphore(size)
        self._waiting = 0
        self._closed = False

    async def run(self, call: Callable[[], T], *, seconds: float, lost: Callable[[T | None], None] | None = None) -> T:
        """Run a call in a thread, and wait for its result.

        Args:
            call: what to run; its exceptions are ours.
            seconds: how long to wait once it runs. The thread goes on until the driver's own time-outs end it.
            lost: called once if there is no result for the caller, when the call is over, with the result that nobody
                takes, or None: there what the call opened is closed.

        Raises:
            Transient: the call was not begun: too many others wait, or none of them ended in time.
            Unknown: it was begun, and has not ended in `seconds`.
        """
        try:
            await self._acquire()
        except BaseException:
            if lost is not None:
                lost(None)
            raise
        loop = asyncio.get_running_loop()
        future = self._executor.submit(call)
        future.add_done_callback(partial(self._release, loop))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except BaseException as failure:
            if lost is not None:
                future.add_done_callback(partial(_hand_over, lost))
            if isinstance(failure, TimeoutError):
                raise Unknown(f"{self._name}: no end within {seconds:g} s") from None
            raise

    async def close(self) -> None:
        """Take no more calls, and wait a short while for those under way; they end by their own time-outs."""
        if self._closed:
            return
        self._closed = True
        idle = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for _ in range(self._size):
                    await self._free.acquire()
                idle = True
        self._executor.shutdown(wait=idle)

    async def _acquire(self) -> None:
        if self._closed:
            raise Transient(f"{self._name}: closed")
        if self._waiting >= self._room:
            raise Transient(f"{self._name}: {self._waiting} calls wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Transient(f"{self._name}: every thread is busy") from None
        finally:
            self._waiting -= 1
        if self._closed:
            self._free.release()
            raise Transient(f"{self._name}: closed")

    def _release(self, loop: asyncio.AbstractEventLoop, _: "Future[T]") -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(self._free.release)


def _hand_over(lost: Callable[[T | None], None], future: "Future[T]") -> None:
    """The result that nobody takes; a future that failed has none."""
    lost(None if future.cancelled() or future.exception() else future.result())
