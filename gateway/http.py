"""A thin subclass of uvicorn's HTTP protocol: the head of a request must end, in time and in size.

uvicorn waits for ever for a first request, and collects headers without a bound; so whoever opens connections and says nothing, or never
stops, would keep sockets and memory (“slowloris”).
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 10.0
"""From when a connection is made, or says the first of a further request, until that request's headers are here."""
IDLE_SECONDS: Final = 75
"""How long a connection that was served may wait for its next request. Longer than load balancers (60 s) and clients (5 s) keep theirs:
else a request would now and then meet the end of its connection."""
MAX_HEAD: Final = 64 * 1024


class PunctualProtocol(HttpToolsProtocol):
    """uvicorn's protocol class, which drops a connection whose next request does not get through its headers."""

    _head_bytes: int | None = None
    """Of the head that is awaited; None while a request is served."""
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A client is there."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It says something."""
        if self._head_bytes is not None:
            if self._head_timer is None:
                self._start_timer()
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD + len(data):  # what came with the last of it may be a body
                self.transport.abort()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """A request's headers are here."""
        self._have_head()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A request is served; another may be waiting. Who is silent from here on is uvicorn's to end (`IDLE_SECONDS`)."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._head_bytes = 0

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _have_head(self) -> None:
        self._head_bytes = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
