"""The threads of a blocking driver: a bound on calls, on waiting, and nothing that is opened and forgotten."""

import asyncio
import threading

import pytest

from backplane.errors import Permanent, Transient, Unknown
from backplane.objects.threads import Threads

pytestmark = pytest.mark.anyio


class Blocker:
    """A call that ends when it is let go."""

    def __init__(self) -> None:
        self.begun, self.go, self.calls = threading.Semaphore(0), threading.Event(), 0

    def __call__(self) -> str:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(10)
        return "opened"


async def test_a_call_s_result_and_its_exception_come_back() -> None:
    threads = Threads("t", 1, 1)

    def fail() -> None:
        raise Permanent("no")

    assert await threads.run(lambda: 7, seconds=5) == 7
    with pytest.raises(Permanent, match="no"):
        await threads.run(fail, seconds=5)
    await threads.close()


async def test_who_comes_when_all_places_are_taken_is_refused_at_once() -> None:
    threads, block = Threads("t", 2, 1), Blocker()
    running = [asyncio.create_task(threads.run(block, seconds=9)) for _ in range(3)]
    await asyncio.to_thread(block.begun.acquire)
    with pytest.raises(Transient, match="wait already"):
        await threads.run(block, seconds=9)
    assert block.calls == 2
    block.go.set()
    assert await asyncio.gather(*running) == ["opened"] * 3
    await threads.close()


async def test_who_waits_too_long_is_refused_and_the_call_never_made() -> None:
    threads, block = Threads("t", 1, 5, wait_seconds=0.05), Blocker()
    running = asyncio.create_task(threads.run(block, seconds=9))
    await asyncio.sleep(0)
    never: list[str] = []
    ended: list[object] = []
    with pytest.raises(Transient, match="busy"):
        await threads.run(lambda: never.append("made"), seconds=9, lost=ended.append)
    block.go.set()
    await running
    await threads.close()
    assert (never, ended) == ([], [None])


async def test_a_call_without_end_is_unknown_and_keeps_its_thread_until_it_ends() -> None:
    threads, block = Threads("t", 1, 5, wait_seconds=0.05), Blocker()
    ended: list[object] = []
    with pytest.raises(Unknown):
        await threads.run(block, seconds=0.05, lost=ended.append)
    with pytest.raises(Transient, match="busy"):
        await threads.run(lambda: 1, seconds=5)
    assert ended == []
    block.go.set()
    async with asyncio.timeout(5):
        while not ended:  # noqa: ASYNC110 a thread tells it
            await asyncio.sleep(0.01)
    assert ended == ["opened"]
    assert await threads.run(lambda: 1, seconds=5) == 1
    await threads.close()


async def test_what_a_cancelled_call_has_opened_is_handed_over_once() -> None:
    threads, block = Threads("t", 1, 5), Blocker()
    ended: list[object] = []
    running = asyncio.create_task(threads.run(block, seconds=9, lost=ended.append))
    await asyncio.to_thread(block.begun.acquire)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    block.go.set()
    await threads.close()
    assert ended == ["opened"]


async def test_closed_is_closed_and_closing_twice_is_closing() -> None:
    threads = Threads("t", 2, 5)
    await threads.close()
    await asyncio.wait_for(threads.close(), 1)
    with pytest.raises(Transient, match="closed"):
        await threads.run(lambda: 1, seconds=5)
