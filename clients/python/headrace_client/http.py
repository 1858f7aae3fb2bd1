"""One HTTP request at a time, in a thread: enough for REST beside a socket, without another dependency."""

import asyncio
import http.client
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from headrace_client.errors import ApiError, Unreachable


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: made from `http://…`, `https://…`, `ws://…` or `wss://…`, with or without a path before `/api` and `/ws`."""

    secure: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL.

        Raises:
            ValueError: it is not the URL of a server.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
            raise ValueError(f"not a server's URL: {url!r}; expected e.g. http://127.0.0.1:8000")
        secure = parts.scheme in {"https", "wss"}
        prefix = parts.path.rstrip("/").removesuffix("/ws")
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80), prefix)

    @property
    def socket_url(self) -> str:
        """Where the WebSocket is."""
        return f"{'wss' if self.secure else 'ws'}://{self._authority}{self.prefix}/ws"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""
    title: str = ""
    temporary: bool | None = None
    retry_after_ms: int | None = None


async def request(
    address: Address,
    method: str,
    path: str,
    *,
    token: str | None = None,
    body: object = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 15.0,
) -> tuple[int, bytes]:
    """One JSON request. Returns status and body of a 2xx answer.

    Raises:
        ApiError: any other answer.
        Unreachable: no answer, or half of one; what the request asked for may have happened.
    """
    sent = {"Accept": "application/json", **(headers or {})}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    payload = None
    if body is not None:
        payload = msgspec.json.encode(body)
        sent["Content-Type"] = "application/json"
    return await asyncio.to_thread(_exchange, address, timeout_s, (method, address.prefix + path, payload, sent))


def _exchange(
    address: Address, timeout_s: float, sent: tuple[str, str, bytes | None, dict[str, str]]
) -> tuple[int, bytes]:
    connection = open_connection(address, timeout_s)
    try:
        connection.request(*sent)
        response = connection.getresponse()
        content = response.read()
        retry_after = response.getheader("Retry-After")
    except (OSError, http.client.HTTPException) as failure:
        raise Unreachable(
            f"{address.host}:{address.port} does not answer: {failure or type(failure).__name__}"
        ) from None
    finally:
        connection.close()
    if 200 <= response.status < 300:
        return response.status, content
    raise error_of(response.status, response.reason, content, retry_after)


def open_connection(address: Address, timeout_s: float) -> http.client.HTTPConnection:
    """A connection that opens with its first use."""
    host, port = address.host, address.port
    if address.secure:
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def error_of(status: int, reason: str, content: bytes, retry_after: str | None) -> ApiError:
    """What an answer that is not 2xx says."""
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:  # a proxy's page
        problem = _Problem()
    wait = problem.retry_after_ms / 1000 if problem.retry_after_ms is not None else None
    if wait is None and retry_after is not None and retry_after.isdecimal():
        wait = float(retry_after)
    return ApiError(
        status,
        problem.code or f"http_{status}",
        problem.detail or problem.title or reason,
        temporary=problem.temporary if problem.temporary is not None else status in {429, 500, 502, 503, 504},
        retry_after_s=wait,
    )
