"""What a consumer's process shows on `HEADRACE_METRICS_PORT`: `/metrics`, and `/health` for whoever restarts it.

It is served by threads of its own, so that figures can be read also while the event loop stands still; `/health` says whether it does.
Like a gateway's, it asks nothing of Redis or MongoDB: one that blinks must not restart the whole fleet.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from socketserver import ThreadingMixIn
from time import monotonic
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec

from backplane import telemetry

STUCK_SECONDS: Final = 30.0
"""Far longer than anything that a loop of ours does without a pause, and shorter than people's patience."""
_BEAT_SECONDS: Final = 1.0
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

Start = Callable[[str, list[tuple[str, str]]], Any]


class Pulse:
    """When the event loop last turned."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._beat_at = clock, clock()

    def beat(self) -> None:
        """It turns now."""
        self._beat_at = self._clock()

    @property
    def silent_seconds(self) -> float:
        """How long it has not."""
        return self._clock() - self._beat_at

    async def keep(self) -> None:
        """Beat once a second, until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(_BEAT_SECONDS)


class Pages:
    """The WSGI application (PEP 3333)."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        status, kind, body = self.answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def answer(self, method: str, path: str) -> tuple[str, str, bytes]:
        """Status, content type and body."""
        if path not in {"/health", "/metrics"}:
            return "404 Not Found", _JSON, b'{"status":"not_found"}'
        if method not in {"GET", "HEAD"}:
            return "405 Method Not Allowed", _JSON, b'{"status":"method_not_allowed"}'
        if path == "/metrics":
            return "200 OK", _TEXT, telemetry.render_metrics()
        silent_seconds = self._pulse.silent_seconds
        if silent_seconds > STUCK_SECONDS:
            report = {"status": "stuck", "silent_seconds": round(silent_seconds, 1)}
            return "503 Service Unavailable", _JSON, msgspec.json.encode(report)
        return "200 OK", _JSON, b'{"status":"ok"}'


@contextlib.asynccontextmanager
async def shown(host: str, port: int) -> AsyncGenerator[None]:
    """Serve the pages while this goes on; port 0: nothing is served.

    Raises:
        OSError: the port is taken.
    """
    if not port:
        yield
        return
    pulse = Pulse()
    server = make_server(host, port, Pages(pulse), _server_class(host), _Silent)
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()
    keeping = asyncio.create_task(pulse.keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    timeout = 10  # seconds; a peer that says nothing holds no thread for ever

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        del format, args


def _server_class(host: str) -> type[_Server]:
    return _Server6 if ":" in host else _Server
