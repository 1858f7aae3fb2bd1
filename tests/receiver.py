"""A real HTTP server that takes webhooks: answers as it is told, and keeps what came."""

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Got:
    """One request."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.json["data"]["content"]["text"]


@dataclass
class Receiver:
    port: int = 0
    status: int = 204
    got: list[Got] = field(default_factory=list)
    script: deque[int | Answer] = field(default_factory=deque)
    """Answers to come, before `status` is the answer to everything."""
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def texts(self) -> list[str]:
        return [one.text for one in self.got if one.json["event"] == "message.created"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.got.append(Got(head[0].split(" ")[1], headers, body))
                answer = self.script.popleft() if self.script else self.status
                if isinstance(answer, int):
                    writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % answer)
                    await writer.drain()
                else:
                    await answer(writer)


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, **given: Any) -> AsyncIterator[Receiver]:
    receiver = Receiver(**given)
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
