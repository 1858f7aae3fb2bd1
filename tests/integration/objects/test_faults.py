"""S3 killed or frozen in the middle: `Transient`, no thread left, and memory that does not grow with the object."""

import asyncio
import gc
import signal
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import psutil
import pytest

from backplane.errors import Transient, Unknown
from backplane.objects.s3 import Objects
from tests.objects import opened, put, settings_for, when_it_serves
from tests.services import Server

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
LARGE = 64 * MIB
READ_SECONDS = 0.7


@pytest.fixture
async def frail(mortal: Server) -> AsyncIterator[Objects]:
    """A store whose server a test may kill, with a short time-out."""
    async with opened(settings_for(mortal), read_seconds=READ_SECONDS) as objects:
        await when_it_serves(objects)
        yield objects


async def zeros(size: int, piece: int = 64 * 1024) -> AsyncGenerator[bytes]:
    for start in range(0, size, piece):
        yield bytes(min(piece, size - start))


def driver_threads() -> int:
    return sum(thread.name.startswith("s3_") for thread in threading.enumerate())


def connections_to(server: Server) -> int:
    return sum(
        bool(one.raddr) and one.raddr.port == server.port and one.status == psutil.CONN_ESTABLISHED
        for one in psutil.Process().net_connections("tcp")
    )


async def test_a_large_object_streams_through_in_bounded_memory(objects: Objects) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        etag = await objects.quarantine.put_stream("large", zeros(LARGE), "text/plain", LARGE)
        up = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        seen = 0
        async for chunk in objects.quarantine.read("large", etag=etag):
            seen += len(chunk)
        down = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        await objects.quarantine.delete("large")
    assert seen == LARGE
    assert up < 16 * MIB
    assert down < 4 * MIB


async def test_killed_while_it_is_read(frail: Objects, mortal: Server) -> None:
    """More readers than threads: each one fails, and none keeps a thread."""
    etag = await frail.quarantine.put_stream("read", zeros(32 * MIB), "text/plain", 32 * MIB)
    begun = asyncio.Barrier(7)

    async def read() -> int:
        seen = 0
        async for chunk in frail.quarantine.read("read", etag=etag):
            if not seen:
                await begun.wait()
                await begun.wait()
            seen += len(chunk)
        return seen

    readers = [asyncio.create_task(read()) for _ in range(6)]
    await begun.wait()
    mortal.kill()
    await begun.wait()
    async with asyncio.timeout(10):
        ends = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(end) for end in ends] == [Transient] * 6
    await frail.close()
    assert driver_threads() == 0


async def test_killed_while_it_is_written(frail: Objects, mortal: Server) -> None:
    async def fatal() -> AsyncGenerator[bytes]:
        async for piece in zeros(12 * MIB):
            yield piece
        mortal.kill()
        async for piece in zeros(20 * MIB):
            yield piece

    async with asyncio.timeout(10):
        with pytest.raises(Transient):
            await frail.quarantine.put_stream("written", fatal(), "text/plain", 32 * MIB)
    await frail.close()
    assert driver_threads() == 0


async def test_killed_while_it_is_digested(frail: Objects, mortal: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a content has no digest, and the thread is free again."""
    etag = await put(frail, "digest", bytes(32 * MIB))

    class Fatal:
        def update(self, _: bytes) -> None:
            mortal.kill()

    with monkeypatch.context() as patch:
        patch.setattr("backplane.objects.bucket.hashlib.sha256", Fatal)
        async with asyncio.timeout(10):
            with pytest.raises(Transient):
                await frail.quarantine.sha256("digest", etag=etag)
    await frail.close()
    assert driver_threads() == 0


async def test_frozen_calls_end_by_themselves(frail: Objects, mortal: Server) -> None:
    """A write that was sent may have been done: `Unknown`. Links are signed meanwhile, and no thread is left."""
    etag = await put(frail, "frozen", bytes(32 * MIB))
    reader = frail.quarantine.read("frozen", etag=etag)
    await anext(reader)
    mortal.send(signal.SIGSTOP)
    try:
        started = time.monotonic()

        async def rest() -> None:
            async for _ in reader:
                pass

        calls = [
            rest(),
            put(frail, "other", b"x"),
            frail.quarantine.head("x"),
            frail.promote("frozen", etag, "x", "a/b"),
            *(frail.clean.head("x") for _ in range(3)),  # more than there are threads
        ]
        frozen = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        url = await frail.presign_download("x", 60, file_name="a", content_type="text/plain")
        assert url
        assert time.monotonic() - started < READ_SECONDS
        ends = await asyncio.gather(*frozen, return_exceptions=True)
        assert time.monotonic() - started < 10
    finally:
        mortal.send(signal.SIGCONT)
    assert [type(end) for end in ends] == [Transient, Unknown, Transient, Unknown, *[Transient] * 3]
    await frail.close()
    assert driver_threads() == 0


async def test_who_stops_early_gives_the_connection_back(objects: Objects, s3: Server) -> None:
    etag = await objects.quarantine.put_stream("early", zeros(32 * MIB), "text/plain", 32 * MIB)
    await objects.ping()
    before = connections_to(s3)
    async with aclosing(objects.quarantine.read("early", etag=etag)) as reader:
        async for _ in reader:
            break
    assert connections_to(s3) < before  # what was half read can serve nobody else


async def test_who_is_cancelled_in_a_read_gives_the_connection_back(frail: Objects, mortal: Server) -> None:
    etag = await put(frail, "cancelled", bytes(32 * MIB))
    before = connections_to(mortal)
    reader = frail.quarantine.read("cancelled", etag=etag)
    await anext(reader)
    mortal.send(signal.SIGSTOP)

    async def rest() -> None:
        async for _ in reader:
            pass

    try:
        # Once what the kernel has is read, it waits for the server. `caught` keeps what the reader had open from being collected.
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(rest(), READ_SECONDS / 2)
    finally:
        mortal.send(signal.SIGCONT)
    async with asyncio.timeout(5):
        while connections_to(mortal) >= before:  # noqa: ASYNC110 the kernel tells nobody
            await asyncio.sleep(0.02)
    del caught


async def test_closing_leaves_no_thread(objects: Objects) -> None:
    await asyncio.gather(*(objects.ping() for _ in range(8)))
    assert driver_threads() > 0
    await objects.close()
    assert driver_threads() == 0
    with pytest.raises(Transient, match="closed"):
        await objects.ping()
