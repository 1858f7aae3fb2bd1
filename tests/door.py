"""A way to a TCP server that can be cut in the middle, closed, and that can answer in the server's place."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

CHUNK = 64 * 1024


@dataclass
class Door:
    """Passes everything on to `127.0.0.1:target`. What is planned happens to one connection each, in order, then no more.

    `cuts`: a connection is reset after so many bytes, up and down together. `silences`: so many connections are reset when the server
    begins to answer. `answers`: said in the server's place, which hears nothing.
    """

    target: int
    port: int = 0
    cuts: deque[int] = field(default_factory=deque[int])
    answers: deque[bytes] = field(default_factory=deque[bytes])
    silences: int = 0
    connections: int = 0
    up: int = 0
    """Bytes that were passed on to the server, ever."""
    down: int = 0
    """And from it."""
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, target: int) -> AsyncIterator["Door"]:
        """An open door."""
        door = cls(target)
        await door.open()
        try:
            yield door
        finally:
            await door.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Let connections in, on the same port as before."""
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Nobody gets in meanwhile."""
        await self.close()
        try:
            yield
        finally:
            await self.open()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self.answers:
                    await self._answer(reader, writer, self.answers.popleft())
                else:
                    await self._pass(reader, writer, self.cuts.popleft() if self.cuts else None)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        while await reader.read(CHUNK):  # a reset would take the answer with it
            pass

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        left, silent = limit, self.silences > 0
        self.silences -= silent

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str) -> None:
            nonlocal left
            while chunk := await source.read(CHUNK):
                if silent and way == "down":
                    raise ConnectionAbortedError
                if left is not None:
                    chunk = chunk[:left]
                    left -= len(chunk)
                sink.write(chunk)
                await sink.drain()
                setattr(self, way, getattr(self, way) + len(chunk))
                if left == 0:
                    raise ConnectionAbortedError
            sink.write_eof()

        try:
            await asyncio.gather(copy(reader, back, "up"), copy(there, writer, "down"))
        finally:
            back.transport.abort()
