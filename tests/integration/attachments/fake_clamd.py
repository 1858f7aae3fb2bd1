"""A clamd that does what a test wants: breaks off on one content, finds another, waits, and has a version."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from backplane.settings import Settings


class FakeClamd:
    """Speaks clamd's protocol; `scanned` are the contents that came whole."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.infected: set[bytes] = set()
        self.breaks_on: set[bytes] = set()
        self.holds: set[bytes] = set()
        """What it answers only once `release` is set."""
        self.release = asyncio.Event()
        self.scanned: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self.changed = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            match await reader.readuntil(b"\0"):
                case b"zPING\0":
                    writer.write(b"PONG\0")
                case b"zVERSION\0":
                    version = f"/{self.number}/Thu Nov 26 09:30:00 2026" if self.number else ""
                    writer.write(f"ClamAV 1.4.6{version}\0".encode())
                case _:
                    await self._scan(reader, writer)
        writer.close()

    async def holding(self, count: int) -> None:
        """Until so many scans are under way."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: self.at_once >= count)

    async def _scan(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = b""
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            content += await reader.readexactly(size)
        self.scanned.append(content)
        await self._note(1)
        try:
            if content in self.holds:
                await self.release.wait()
            if content not in self.breaks_on:
                writer.write(b"stream: Bad FOUND\0" if content in self.infected else b"stream: OK\0")
        finally:
            await self._note(-1)

    async def _note(self, by: int) -> None:
        async with self.changed:
            self.at_once += by
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.changed.notify_all()


@contextlib.asynccontextmanager
async def listening(fake: FakeClamd, port: int = 0) -> AsyncGenerator[int]:
    """The fake on a port."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        fake.release.set()
        server.close()


def scanned_by(settings: Settings, port: int, **more: object) -> Settings:
    """The deployment, with this scanner."""
    return settings.model_copy(update={"scanner_url": f"tcp://127.0.0.1:{port}", "scan_claim_seconds": 1.0} | more)
