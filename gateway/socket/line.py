"""One socket as a connection uses it: receive, send, say goodbye, abort. The only code that speaks ASGI's WebSocket."""

import asyncio
from typing import Any, cast

from starlette.websockets import WebSocket, WebSocketDisconnect

from backplane import telemetry
from gateway.socket.session import GRACE_SECONDS, Goodbye
from gateway.socket.transport import EXTENSION
from schemas.server_frames import disconnect, encode_frame


class Hangup(Exception):
    """The socket is closed, by whomever."""


class Line:
    """One accepted WebSocket.

    Args:
        buffer_bytes: high-water mark of the transport's write buffer; `send` waits above it.
    """

    def __init__(self, websocket: WebSocket, *, buffer_bytes: int) -> None:
        self._websocket = websocket
        self._counted = False
        extension = websocket.scope.get("extensions", {}).get(EXTENSION)
        self._transport = cast("asyncio.Transport | None", extension and extension["transport"])
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=buffer_bytes)

    @property
    def waiting_bytes(self) -> int:
        """What the transport has not handed to the kernel yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def accept(self, subprotocol: str | None) -> None:
        """Answer the upgrade.

        Raises:
            Hangup: the client went away.
        """
        try:
            await self._websocket.accept(subprotocol)
        except (WebSocketDisconnect, RuntimeError):
            raise Hangup from None

    async def receive(self) -> str | bytes:
        """The next frame: str for text, bytes for binary.

        Raises:
            Hangup: there is no more.
        """
        try:
            message = await self._websocket.receive()
        except RuntimeError:
            raise Hangup from None
        if message["type"] == "websocket.disconnect":
            raise Hangup
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def send(self, frame: bytes) -> None:
        """Send a text frame; returns once the transport's buffer is below its mark.

        Raises:
            Hangup: the socket is closed.
        """
        await self._send({"type": "websocket.send", "text": frame.decode()})

    async def goodbye(self, goodbye: Goodbye) -> None:
        """Say `disconnect` and close; abort if that does not go out at once."""
        row = goodbye.row
        self._count(goodbye)
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self.send(encode_frame(disconnect(row, goodbye.reason, goodbye.retry_after_ms)))
                await self._send({"type": "websocket.close", "code": row.code, "reason": row.name})
        except (Hangup, TimeoutError):
            self.abort()

    def abort(self, unsaid: Goodbye | None = None) -> None:
        """Drop the socket now, whatever its buffer holds; `unsaid`: the goodbye that could not even be begun."""
        if unsaid is not None:
            self._count(unsaid)
        if self._transport is not None:
            self._transport.abort()

    def _count(self, goodbye: Goodbye) -> None:
        if not self._counted:
            self._counted = True
            telemetry.closes.labels(goodbye.row.name).inc()

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._websocket.send(message)
        except (WebSocketDisconnect, RuntimeError):
            # uvicorn raises RuntimeError for a send after a close that its own parser made (1007, 1009)
            raise Hangup from None
