"""A WebSocket client of a hundred lines: text frames, no fragments, no compression (RFC 6455).

Client frames are masked with a key of zeros, which the RFC allows a client to choose and which leaves the payload as it is.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

OnFrame = Callable[[bytes, float], None]
"""Payload, and when it was read (`time.perf_counter`)."""

_TEXT, _CLOSE, _PING = 1, 8, 9
_NO_MASK = bytes(4)


class Socket(asyncio.Protocol):
    """One connection. `closed` resolves when it ends."""

    def __init__(self, on_frame: OnFrame, host: str) -> None:
        self._on_frame, self._host = on_frame, host
        self._buffer = bytearray()
        self._upgraded = False
        self._transport: asyncio.Transport
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: headrace.v1\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        now = time.perf_counter()
        self._buffer += data
        if not self._upgraded and not self._upgrade():
            return
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= 2:
            opcode, length, start = buffer[at] & 15, buffer[at + 1], at + 2
            if length == 126:
                start, length = at + 4, int.from_bytes(buffer[at + 2 : at + 4])
            elif length == 127:
                start, length = at + 10, int.from_bytes(buffer[at + 2 : at + 10])
            if end < start + length or end < start:
                break
            payload = bytes(buffer[start : start + length])
            at = start + length
            if opcode == _TEXT:
                self._on_frame(payload, now)
            elif opcode == _PING:
                self._write(0x8A, payload)
            elif opcode == _CLOSE:
                self._transport.close()
                return
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        del exc
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server ended the handshake"))
        if not self.closed.done():
            self.closed.set_result(None)

    def send(self, payload: bytes) -> None:
        """Write one text frame."""
        self._write(0x81, payload)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _upgrade(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = self._buffer[: self._buffer.find(b"\r\n")].decode()
        del self._buffer[: end + 4]
        if " 101 " not in status:
            self.ready.set_exception(ConnectionError(f"no upgrade: {status}"))
            self._transport.close()
            return False
        self._upgraded = True
        self.ready.set_result(None)
        return True

    def _write(self, first: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = bytes((first, 0x80 | length))
        elif length < 65536:
            head = bytes((first, 0x80 | 126)) + length.to_bytes(2)
        else:
            head = bytes((first, 0x80 | 127)) + length.to_bytes(8)
        self._transport.write(head + _NO_MASK + payload)


async def dial(url: str, on_frame: OnFrame) -> Socket:
    """Connect to a server's `/ws`.

    Raises:
        OSError: it can not be reached, or does not upgrade.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(on_frame, parts.netloc), host, port)
    await asyncio.wait_for(socket.ready, 15)
    return socket
