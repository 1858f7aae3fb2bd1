"""What surrounds every HTTP request: a bound on its body, security headers on its answer, and a net for bugs.

ASGI layers of our own, because the framework's answer errors in plain text, and because a bug must show as the documented
problem to the client and as a traceback to the operator only.
"""

import re
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.addresses import is_known
from gateway.problems import Problem, render

MAX_BODY = 64 * 1024

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Defaults: an answer that sets one itself (the web client's pages) keeps its own."""

_HSTS = "max-age=63072000; includeSubDomains"

_log = structlog.get_logger(__name__)


class SecurityHeaders:
    """The outermost layer: headers on every answer, whoever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; sockets pass untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", _HSTS)
            await send(message)

        await self._app(scope, receive, send_hardened)


class KnownHost:
    """Refuses names that are not ours: a page of another name must not make this server believe that it is that name (DNS rebinding).

    Health is asked by address, and tells nobody anything.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; of sockets the handshake looks at the name."""
        about_names = scope["type"] == "http" and not scope["path"].startswith("/health")
        if about_names and not is_known(Headers(scope=scope).get("host"), self._allowed):
            await render(Problem("bad_request", "This server is not known by that name."))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class LastNet:
    """Turns a bug into `internal_error`; inside of CORS, so that a browser may read even that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; sockets pass untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except Exception:
            _log.exception("a request failed on a bug", method=scope["method"], path=scope["path"])
            if started:
                raise  # half an answer is out; only a closed connection tells the client
            await render(Problem("internal_error"))(scope, receive, send)


class BodyLimit:
    """Refuses bodies over `MAX_BODY` bytes, by what they declare or by what comes.

    Args:
        uploads: the paths to which a PUT may bring more, and how much.
    """

    def __init__(
        self, app: ASGIApp, max_body: int = MAX_BODY, uploads: tuple[re.Pattern[str], int] | None = None
    ) -> None:
        self._app, self._max_body, self._uploads = app, max_body, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            await render(_too_large(limit), {"Connection": "close"})(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, receive_bounded, send)

    def _limit_of(self, scope: Scope) -> int:
        if self._uploads and scope["method"] == "PUT" and self._uploads[0].fullmatch(scope["path"]):
            return self._uploads[1]
        return self._max_body


def _too_large(limit: int) -> Problem:
    return Problem("payload_too_large", f"The body is larger than {limit} bytes.")
