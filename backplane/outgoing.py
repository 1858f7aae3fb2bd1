"""Requests to other people's servers: the only import of `httpcore2`.

The connection is made by a network backend of our own, beneath the library's HTTP and TLS: it resolves the name, judges every
address, and connects to one that it has judged. So the URL, the Host header and the certificate's name stay the name's, and no second
resolution can lead elsewhere (DNS rebinding). No redirects, no proxies from the environment, no cookies: the library has none.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

import httpcore2

from backplane.addresses import BadTarget, Target, refusal

TOTAL_SECONDS: Final = 10.0
READ_BYTES: Final = 4096
"""Of an answer's body: nobody looks at it, but a short one read whole leaves the connection usable."""
KEEP_SECONDS: Final = 15.0
_ADDRESSES_TRIED: Final = 3
_RESOLVERS: Final = 16

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@functools.cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, read once."""
    return ssl.create_default_context()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads of its own: a name server that does not answer holds up nothing else of the process."""
    return ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")


class Unreached(Exception):
    """No whole answer came: not resolved, refused by us, not connected, or too late; the message says which."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver.

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _threads(), functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def judged(host: str, port: int, *, allow_private: bool, resolve: Resolve = resolve) -> list[str]:
    """The addresses that may be connected to for a name.

    Raises:
        BadTarget: it has none, or one of them is not out in the public network: a name that mixes both is up to something.
    """
    try:
        addresses = await resolve(host, port)
    except (OSError, UnicodeError):
        addresses = ()
    if not addresses:
        raise BadTarget(f"{host} can not be resolved")
    for address in addresses:
        if not allow_private and (why := refusal(address)):
            raise BadTarget(f"{host} leads to an address that is {why}")
    return list(addresses)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """POSTs to judged addresses. An async context: its connections are closed at the end.

    Args:
        allow_private: take any address; for development and tests.
        total_seconds: limit of a whole exchange, resolution included.
        slots: exchanges at once; more wait, and that time is not the receiver's.
    """

    _pool: httpcore2.AsyncConnectionPool
    _slots: asyncio.Semaphore
    _total_seconds: float

    @classmethod
    def make(
        cls,
        *,
        allow_private: bool,
        total_seconds: float = TOTAL_SECONDS,
        slots: int = 64,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """A pool of its own."""
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or _tls(),
            max_connections=None,
            max_keepalive_connections=slots,
            keepalive_expiry=KEEP_SECONDS,
            network_backend=_Guarded(resolve, allow_private=allow_private),
        )
        return cls(pool, asyncio.Semaphore(slots), total_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> int:
        """POST JSON; returns the status of the answer, whatever it is.

        Raises:
            Unreached: there was no answer within the time, or the target leads where it may not.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._total_seconds):
                    return await self._exchange(target, body, headers)
            except TimeoutError:
                raise Unreached(f"no answer within {self._total_seconds:g} s") from None
            except BadTarget as failure:
                raise Unreached(str(failure)) from None
            except Exception as failure:  # noqa: BLE001 - whatever the library makes of a stranger's bytes, it is no answer
                raise Unreached(f"{type(failure).__name__}: {failure}"[:300]) from None

    async def _exchange(self, target: Target, body: bytes, headers: Mapping[str, str]) -> int:
        default = {"https": 443, "http": 80}[target.scheme]
        url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        host = f"[{target.host}]" if ":" in target.host else target.host
        sent = {
            "Host": host if target.port == default else f"{host}:{target.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        async with self._pool.stream("POST", url, headers=list(sent.items()), content=body) as answer:
            read = 0
            async for piece in answer.aiter_stream():
                read += len(piece)
                if read > READ_BYTES:
                    break
            return answer.status


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Connects to judged addresses only."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._resolve, self._allow_private = resolve, allow_private
        self._backend = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's interface; the whole exchange has a limit
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, judge, connect to what was judged."""
        addresses = await judged(host, port, allow_private=self._allow_private, resolve=self._resolve)
        failure: Exception | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                failure = failed
        raise failure or httpcore2.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        """As the library wants it."""
        await asyncio.sleep(seconds)
