"""The WebSocket protocol class that we give to uvicorn: its own, plus a way to end a connection whose peer does not read.

uvicorn closes a transport only after its buffer has drained, which never happens when the peer stopped reading: the
connection would stay for as long as the peer likes. Here every close is followed by an abort, and the application is given
the transport, to bound its buffer and to abort it.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

from schemas.client_frames import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent
    from websockets.http11 import Request

EXTENSION = "headrace.transport"
"""The scope extension that holds `{"transport": asyncio.Transport}`."""
CLOSE_SECONDS = 5.0
"""How long a closed connection may take to drain and shake hands."""


class AbortableProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol class, with the transport in the scope and an abort behind every close."""

    def handle_connect(self, event: "Request") -> None:
        """The upgrade request: uvicorn starts the application in a task, which sees what we add to the scope here."""
        super().handle_connect(event)
        extensions = self.scope.get("extensions") if self.conn.handshake_exc is None else None
        if extensions is not None:
            extensions[EXTENSION] = {"transport": self.transport}

    def send_receive_event_to_app(self) -> None:
        """A whole message came. uvicorn writes a traceback if it is not UTF-8: anybody could fill the log with them."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def send(self, message: "ASGISendEvent") -> None:
        """Send; a close whose answer does not come ends in an abort instead of a wait for the buffer."""
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application ended; so does the connection, drained or not."""
        super().on_task_complete(task)
        if not self.disconnected:
            self.loop.call_later(CLOSE_SECONDS, self.transport.abort)


def uvicorn_options() -> dict[str, Any]:
    """The settings of `uvicorn.Config` that this gateway's sockets need.

    Pings are frames of our protocol, which browsers can see; compression would cost 34 KiB a connection and forbid sharing
    an event's bytes.
    """
    return {
        "ws": AbortableProtocol,
        "ws_max_size": MAX_FRAME_BYTES,
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,
        "ws_ping_timeout": None,
    }
