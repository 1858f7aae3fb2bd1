"""A thread of its own for one transfer, and what is between it and the loop.

`http` is for small requests, and shares the loop's threads; a transfer may take an hour, and would keep one of them from everybody.
"""

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

from headrace_client.errors import Unreachable
from headrace_client.http import Address, open_connection

CONNECT_S = 5.0
SILENCE_S = 60.0
"""Without a byte for this long a connection counts as lost."""

T = TypeVar("T")


class Unconnected(Unreachable):
    """Nobody is there: not one byte has gone out."""


class GivenUp(Exception):
    """Whoever wanted this has gone."""


class Told(Protocol):
    """Hears in the loop how many bytes of a file are through."""

    def __call__(self, count: int, total: int | None, /) -> None:
        """So many of so many."""
        ...


class Carrier:
    """Between a transfer's thread and the loop: what is told there, and that it is to end."""

    def __init__(self, told: Told) -> None:
        self._loop, self._told = asyncio.get_running_loop(), told
        self._given_up = threading.Event()
        self._socket: socket.socket | None = None

    def give_up(self) -> None:
        """End it, whatever it waits for."""
        self._given_up.set()
        if (waiting := self._socket) is not None:
            with suppress(OSError):
                socket.socket.shutdown(waiting, socket.SHUT_RDWR)  # also under TLS, whose own would wait

    def check(self) -> None:
        """Go on, if anybody still wants it.

        Raises:
            GivenUp: nobody does.
        """
        if self._given_up.is_set():
            raise GivenUp

    def tell(self, count: int, total: int | None) -> None:
        """So many bytes are through."""
        self._loop.call_soon_threadsafe(self._told, count, total)

    def connect(self, address: Address) -> http.client.HTTPConnection:
        """An open connection.

        Raises:
            Unconnected: nobody is there.
        """
        connection = open_connection(address, CONNECT_S)
        try:
            connection.connect()
            self._socket = connection.sock
            connection.sock.settimeout(SILENCE_S)
            self.check()
        except (OSError, ValueError, http.client.HTTPException) as failure:  # ValueError: a host that is no name
            connection.close()
            what = failure or type(failure).__name__
            raise Unconnected(f"{address.host}:{address.port} can not be reached: {what}") from None
        except GivenUp:
            connection.close()
            raise
        return connection


async def in_thread(work: Callable[[Carrier], T], told: Told) -> T:
    """Run this in a thread of its own. If we are cancelled, it is ended first: it has somebody's file in its hands."""
    carrier = Carrier(told)
    executor = ThreadPoolExecutor(1, "headrace-file")
    future = asyncio.get_running_loop().run_in_executor(executor, work, carrier)
    executor.shutdown(wait=False)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        carrier.give_up()
        await asyncio.wait([future])
        with suppress(asyncio.CancelledError):
            future.exception()  # nobody else looks at it
        raise
