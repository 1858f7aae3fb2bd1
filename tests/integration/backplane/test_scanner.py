"""The scanner against a clamd that misbehaves, on both event loops: nothing is clean by accident, and nothing is condemned because clamd is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from backplane.errors import Transient
from backplane.scanner import CHUNK_BYTES, Clean, Infected, Scanner, Unscannable
from tests.services import free_port

pytestmark = pytest.mark.anyio

Behaviour = Callable[["Fake", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Fake:
    """A clamd that answers PING, and does with INSTREAM what a test wants."""

    def __init__(self, behaviour: Behaviour, *, alive: bool = True) -> None:
        self.behaviour, self.alive = behaviour, alive
        self.frames: list[bytes] = []
        self.ended = asyncio.Event()
        """Set when an INSTREAM's connection is over."""
        self.release = asyncio.Event()
        """For behaviours that wait: set at the end of the test."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            command = await reader.readuntil(b"\0")
            if command == b"zINSTREAM\0":
                try:
                    await self.behaviour(self, reader, writer)
                finally:
                    self.ended.set()
            elif self.alive:
                writer.write(
                    {b"zPING\0": b"PONG\0", b"zVERSION\0": b"ClamAV 1.4.6/27450/Thu Nov 26 09:30:00 2026\0"}[command]
                )
            else:
                await self.release.wait()
        writer.close()

    async def take_all(self, reader: asyncio.StreamReader) -> None:
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            self.frames.append(await reader.readexactly(size))


@contextlib.asynccontextmanager
async def faking(
    behaviour: Behaviour, *, alive: bool = True, seconds: float = 20.0
) -> AsyncIterator[tuple[Fake, Scanner]]:
    fake = Fake(behaviour, alive=alive)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield fake, Scanner(("127.0.0.1", port), scan_seconds=seconds, alive_seconds=0.3)
    finally:
        fake.release.set()
        server.close()


def says(answer: bytes) -> Behaviour:
    """Takes everything and answers this."""

    async def behaviour(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fake.take_all(reader)
        writer.write(answer)

    return behaviour


async def is_silent(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await fake.take_all(reader)
    await fake.release.wait()


async def of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_everything_is_sent_in_bounded_frames_and_an_empty_chunk_ends_nothing() -> None:
    chunks = [b"", b"abc", b"", bytes(range(256)) * 1000, b"x" * CHUNK_BYTES, b"y", b""]
    async with faking(says(b"stream: OK\0")) as (fake, scanner):
        assert await scanner.scan(of(*chunks)) == Clean()
    assert b"".join(fake.frames) == b"".join(chunks)
    assert max(map(len, fake.frames)) == CHUNK_BYTES


async def test_no_bytes_are_a_stream_too() -> None:
    async with faking(says(b"stream: OK\0")) as (fake, scanner):
        assert await scanner.scan(of()) == Clean()
    assert fake.frames == []


async def test_a_finding_is_a_verdict() -> None:
    async with faking(says(b"stream: Eicar FOUND\0")) as (_, scanner):
        assert await scanner.scan(of(b"x")) == Infected("Eicar")


@pytest.mark.parametrize(
    "answer", [b"\0", b"OK\0", b"stream: OK \0", b"stream: OK\n\0", b"SSH-2.0-OpenSSH_9.2\r\n\0", b"\xff\xfe\0"]
)
async def test_an_answer_that_is_not_understood_is_not_clean(answer: bytes) -> None:
    async with faking(says(answer)) as (_, scanner):
        verdict = await scanner.scan(of(b"x"))
    assert isinstance(verdict, Unscannable)
    assert verdict.why == "not_understood"


@pytest.mark.parametrize("answer", [b"", b"stream: OK", b"stream: Eicar FOUND"])
async def test_half_an_answer_is_none(answer: bytes) -> None:
    async with faking(says(answer)) as (_, scanner):
        with pytest.raises(Transient, match="without an answer"):
            await scanner.scan(of(b"x"))


async def test_an_answer_without_an_end_is_given_up() -> None:
    async with faking(says(b"x" * 10_000)) as (_, scanner):
        with pytest.raises(Transient, match="no end"):
            await scanner.scan(of(b"x"))


async def test_going_away_in_the_middle_says_nothing_of_the_file() -> None:
    async def behaviour(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)

    async with faking(behaviour) as (_, scanner):
        with pytest.raises(Transient):
            await scanner.scan(of(*[b"x" * CHUNK_BYTES] * 200))


async def test_the_size_limit_is_heard_though_clamd_closes_while_more_is_sent() -> None:
    async def behaviour(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        writer.write(b"INSTREAM size limit exceeded. ERROR\0")

    async with faking(behaviour) as (_, scanner):
        for _ in range(20):
            verdict = await scanner.scan(of(*[b"x" * CHUNK_BYTES] * 200))
            assert verdict == Unscannable("too_large", "INSTREAM size limit exceeded. ERROR")


async def test_ok_to_half_a_file_is_not_clean() -> None:
    async def behaviour(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        writer.write(b"stream: OK\0")

    async with faking(behaviour) as (_, scanner):
        with pytest.raises(Transient, match="before it had everything"):
            await scanner.scan(of(*[b"x" * CHUNK_BYTES] * 200))


async def test_a_file_that_takes_too_long_can_not_be_vouched_for() -> None:
    async with faking(is_silent, seconds=0.2) as (_, scanner):
        verdict = await scanner.scan(of(b"x"))
    assert isinstance(verdict, Unscannable)
    assert verdict.why == "too_slow"


async def test_a_clamd_that_answers_nothing_at_all_is_away() -> None:
    async with faking(is_silent, seconds=0.2, alive=False) as (_, scanner):
        with pytest.raises(Transient, match="does not answer"):
            await scanner.scan(of(b"x"))


async def test_clamd_is_given_no_more_than_it_takes() -> None:
    async def behaviour(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await fake.release.wait()

    asked = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal asked
        for asked in range(4000):  # noqa: B007 looked at below
            yield b"x" * CHUNK_BYTES

    async with faking(behaviour, seconds=0.5) as (_, scanner):
        verdict = await scanner.scan(chunks())
    assert isinstance(verdict, Unscannable)
    assert asked * CHUNK_BYTES < 32_000_000, "only what fits into the buffers of the socket was asked for"


async def test_a_slow_clamd_is_waited_for() -> None:
    async def behaviour(fake: Fake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            fake.frames.append(await reader.readexactly(size))
            await asyncio.sleep(0.005)
        for byte in b"stream: OK\0":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.005)

    async with faking(behaviour) as (fake, scanner):
        assert await scanner.scan(of(*[b"x" * CHUNK_BYTES] * 100)) == Clean()
    assert sum(map(len, fake.frames)) == 100 * CHUNK_BYTES


async def test_a_slow_source_costs_clamd_nothing() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0.2)
            yield b"x"

    async with faking(says(b"stream: OK\0"), seconds=0.5) as (_, scanner):
        assert await scanner.scan(chunks()) == Clean()


@pytest.mark.parametrize("failure", [ValueError("bad"), BrokenPipeError(), TimeoutError(), Transient("S3 is away")])
async def test_what_the_source_raises_is_its_own_affair(failure: Exception) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise failure

    async with faking(says(b"stream: OK\0")) as (fake, scanner):
        with pytest.raises(type(failure)) as raised:
            await scanner.scan(chunks())
        assert raised.value is failure
        async with asyncio.timeout(5):
            await fake.ended.wait()  # the connection is closed, and the end of the stream was never sent
    assert fake.frames == [b"x"]


async def test_a_scan_that_is_cancelled_leaves_no_connection() -> None:
    async with faking(is_silent) as (fake, scanner):
        started = asyncio.Event()

        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            started.set()
            await asyncio.Event().wait()

        scan = asyncio.create_task(scanner.scan(chunks()))
        await started.wait()
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
        async with asyncio.timeout(5):
            await fake.ended.wait()


async def test_nobody_there_is_away(tmp_path: Path) -> None:
    for address in [
        ("127.0.0.1", free_port()),
        ("no-such-host.invalid", 3310),
        str(tmp_path / "clamd.ctl"),
        "/" + "x" * 200,
    ]:
        scanner = Scanner(address, scan_seconds=1)
        for ask in (lambda one=scanner: one.scan(of(b"x")), scanner.ping, scanner.version):
            with pytest.raises(Transient):
                await ask()


async def test_ping_and_version_are_answered() -> None:
    async with faking(is_silent) as (_, scanner):
        await scanner.ping()
        version = await scanner.version()
    assert (version.engine, version.number) == ("1.4.6", 27450)
    assert version.built_at is not None
