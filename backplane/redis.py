"""Redis: the three clients of a process, and the atomic operations as function libraries. The only import of `redis`.

Three clients, because one policy does not fit all (design §9):

* `append`: no retries, short time-out. An error after sending means `Unknown`; the caller answers so.
* `block()`: a connection of its own for each read, time-out above BLOCK, no retries.
* `general`: one retry, for idempotent calls.

The first thing on every new connection is `adopt` for every user shard: a server whose `run_id` is not the one kept
beside the data may have forgotten its tail, so the shard gets a new era, and logs of another era count as lost (hole
A5). Partitions are adopted by their owner, inside `fetch` (hole A6).

redis-py gives the connection: URL, TLS, authentication, the hiredis parser. Pooling, time-outs and retries are here, in the
open, because only whoever writes the bytes knows whether a failed call was sent.
"""

import asyncio
import contextlib
import functools
import importlib.resources
import math
import os
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, Self, cast

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as ConnectionLost

from backplane.errors import Fenced, Permanent, Transient, Unknown
from backplane.settings import Settings, SettingsError
from schemas.names import Names

Word = bytes | str | int | float
Command = Sequence[Word]

VERSION: Final = "hr1"
"""What every function's name begins with. Another behaviour is another version beside it: nothing is replaced (hole C3)."""

CONNECT_SECONDS: Final = 2.0
APPEND_SECONDS: Final = 2.0
GENERAL_SECONDS: Final = 2.5
BLOCK_MARGIN_SECONDS: Final = 5.0
POOL_WAIT_SECONDS: Final = 5.0
CONNECTIONS: Final = 32
BLOCKING_CONNECTIONS: Final = 1024

# Each is said before anything of the call is run. TRYAGAIN, ASK and MOVED are of a slot that moves (hole C1).
_REFUSED: Final = frozenset(
    {
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "NOREPLICAS",
        "MISCONF",
        "OOM",
        "TRYAGAIN",
        "ASK",
        "MOVED",
        "BUSY",
        "UNBLOCKED",
    }
)
_WRONG_NODE: Final = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED"})
"""Refusals that another connection may not meet: after a failover the address leads elsewhere."""

_CERTIFICATES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


# The drivers' own annotations are too loose (redis-py) or wrong (hiredis) for strict checking.
_pack: Final[Callable[[tuple[Word, ...]], bytes]] = cast("Any", hiredis).pack_command


class Redis:
    """The connections of one process to Redis. Made once, closed once.

    Every method raises `Transient` when Redis is away, loading, read-only or refuses for lack of memory, `Unknown` when a write
    was sent and no answer came, and `Permanent` on an error of ours.
    """

    def __init__(self, settings: Settings) -> None:
        self.names: Names = settings.names
        self.lossless: bool = settings.redis_lossless_restart
        self._driver = _driver(settings.redis_url.get_secret_value())
        self._append = _Pool(self.connection, CONNECTIONS)
        self._general = _Pool(self.connection, CONNECTIONS)
        self._blocking = _Pool(self.connection, BLOCKING_CONNECTIONS)

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Make the clients; connects lazily, so this succeeds while Redis is away.

        Raises:
            SettingsError: the URL can not be used.
        """
        return cls(settings)

    async def close(self) -> None:
        """Close every connection."""
        for pool in (self._append, self._general, self._blocking):
            await pool.close()

    async def call(self, function: str, keys: Sequence[str], args: Sequence[Word], *, append: bool = False) -> Any:
        """Run a library function (`settle` → `hr1_settle`); loads its library on “not found” on that node, never replaces.

        With `append` over the client without retries: for calls that are not idempotent.
        """
        return _definite(await self.pipeline([fcall(function, keys, args)], append=append))[0]

    async def command(self, *words: Word) -> Any:
        """Run one idempotent command on the general client; replies are bytes."""
        return _definite(await self.pipeline([words]))[0]

    async def pipeline(self, commands: Sequence[Command], *, append: bool = False) -> list[Any]:
        """Run commands in one round trip, not a transaction; an entry of the answer may be an exception of `backplane.errors`."""
        if not commands:
            return []
        if append:
            async with self._append.borrow() as connection:
                return await connection.exchange(commands, APPEND_SECONDS)
        try:
            async with self._general.borrow() as connection:
                return await connection.exchange(commands, GENERAL_SECONDS)
        except Unknown as first:
            try:
                async with self._general.borrow() as connection:
                    return await connection.exchange(commands, GENERAL_SECONDS)
            except Transient:
                raise first from None  # the second failed for sure, but the first may have been done

    async def all(self, commands: Sequence[Command], *, append: bool = False) -> list[Any]:
        """As `pipeline`, but the first refused command raises."""
        return _definite(await self.pipeline(commands, append=append))

    async def block(self, *words: Word, seconds: float) -> Any:
        """Run one reading command that blocks for up to `seconds`, on a connection that nothing else waits behind.

        When the caller is cancelled the connection is closed: no reply is ever taken for that of a later command.
        """
        async with self._blocking.borrow() as connection:
            return _definite(await connection.exchange([words], seconds + BLOCK_MARGIN_SECONDS))[0]

    async def ping(self) -> float:
        """Round-trip time in seconds."""
        start = time.perf_counter()
        await self.command("PING")
        return time.perf_counter() - start

    def connection(self) -> "Connection":
        """A connection of the caller's own, not yet open."""
        return Connection(self._driver.make_connection(), self._greeting)

    def plain_connection(self) -> "Connection":
        """One that adopts nothing and asks for no function, not yet open: to look at a server that may be none of ours."""
        return Connection(self._driver.make_connection(), lambda: [("PING",)])

    def _greeting(self) -> list[Command]:
        era, tags = secrets.token_hex(8), map(self.names.shard_tag, range(self.names.shards))
        return [fcall("adopt", [self.names.run(tag), self.names.era(tag)], [era, int(self.lossless)]) for tag in tags]

    def adopt_partition(self, partition: int) -> Command:
        """The command that notes the server's run under a partition; only for its owner, after the shards (hole A6)."""
        tag = self.names.partition_tag(partition)
        return fcall("adopt", [self.names.run(tag), self.names.era(tag)], [secrets.token_hex(8), int(self.lossless)])


class Connection:
    """One connection to one server, opened with `adopt` before anything else. Used by one task at a time."""

    def __init__(self, raw: Any, greeting: Callable[[], Sequence[Command]]) -> None:
        self._raw = raw
        self._greeting = greeting

    async def open(self) -> None:
        """Connect, authenticate and adopt, unless that was done and the connection still stands.

        Raises:
            Transient: Redis is away or refuses; nothing of the caller's was sent.
            Permanent: the address or the credentials are wrong.
        """
        if self._raw.is_connected:
            if not await self._raw.can_read():
                return
            await self.close()  # closed by the server, or it holds a reply that nobody waits for
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._raw.connect()
                _definite(await self._run(self._greeting()))
        except (RedisError, OSError, TimeoutError) as failure:
            await self.close()
            if isinstance(failure, AuthenticationError):
                raise Permanent(f"Redis refuses the credentials: {failure}") from failure
            if isinstance(failure, ResponseError):
                raise _translate(failure) from failure
            raise Transient(f"Redis is away: {str(failure) or 'no answer'}") from failure
        except BaseException:
            await self.close()
            raise

    async def exchange(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Send commands and read their replies; a refused one is an exception of `backplane.errors` in its place.

        Raises:
            Transient: as `open`.
            Unknown: the commands were sent, and not all answers came within `seconds`.
        """
        await self.open()
        try:
            async with asyncio.timeout(seconds):
                return await self._run(commands)
        except BusyLoadingError as failure:
            raise Transient("Redis is loading its data") from failure
        except (RedisError, OSError, TimeoutError) as failure:
            await self.close()
            raise Unknown(f"no answer from Redis: {str(failure) or f'within {seconds} s'}") from failure

    async def send(self, commands: Sequence[Command]) -> None:
        """Write commands whose replies come out of `receive`.

        Raises:
            Transient: the connection is lost.
        """
        try:
            await self._raw.send_packed_command([_pack(tuple(words)) for words in commands], False)
        except (RedisError, OSError) as failure:
            raise Transient(f"the connection to Redis is lost: {failure}") from failure

    async def receive(self) -> Any:
        """The next reply or message, however long it takes. Raises as `send`."""
        try:
            return await self._raw.read_response(disable_decoding=True, timeout=math.inf)
        except ResponseError as failure:
            raise _translate(failure) from failure
        except (RedisError, OSError) as failure:
            raise Transient(f"the connection to Redis is lost: {failure}") from failure

    async def close(self) -> None:
        """Close; a reader that waits gets `Transient`."""
        with contextlib.suppress(RedisError, OSError):
            await self._raw.disconnect(nowait=True)

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._round_trip(commands)
        if missing := [index for index, reply in enumerate(replies) if _is_missing_function(reply)]:
            await self._load()
            again = await self._round_trip([commands[index] for index in missing])
            for index, reply in zip(missing, again, strict=True):
                replies[index] = reply
        for index, reply in enumerate(replies):
            if isinstance(reply, ResponseError):
                if _code(reply) in _WRONG_NODE:
                    await self.close()
                replies[index] = _translate(reply)
        return replies

    async def _load(self) -> None:
        for reply in await self._round_trip([("FUNCTION", "LOAD", source) for source in libraries().values()]):
            # Somebody else was faster, or a library of this version is there: it stays as it is (hole C3).
            if isinstance(reply, ResponseError) and "already exists" not in str(reply):
                raise reply

    async def _round_trip(self, commands: Sequence[Command]) -> list[Any]:
        raw = self._raw
        await raw.send_packed_command([_pack(tuple(words)) for words in commands], False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await raw.read_response(disable_decoding=True, timeout=math.inf))
            except BusyLoadingError as failure:
                if replies:  # what went before was done, and is lost with the connection
                    raise ConnectionLost("Redis began to load its data") from failure
                raise
            except ResponseError as failure:
                replies.append(failure)
        return replies


def _driver(url: str) -> Any:
    """What makes the driver's connections."""
    try:
        driver: Any = cast("Any", ConnectionPool).from_url(
            url,
            protocol=2,
            socket_timeout=None,  # time-outs are set per exchange, here
            socket_connect_timeout=CONNECT_SECONDS,
            driver_info=None,
        )
        driver.make_connection()  # only here are the options looked at
    except ValueError:  # its words may hold a piece of the password
        raise SettingsError(
            "HEADRACE_REDIS_URL can not be read; in a password, / is written %2F, @ %40, : %3A (e.g. rediss://user:p%40ss@redis:6379/0)"
        ) from None
    except (RedisError, TypeError) as failure:
        raise SettingsError(f"HEADRACE_REDIS_URL has an option that can not be used: {failure}") from None
    for option in _CERTIFICATES:
        path = driver.connection_kwargs.get(option)
        if path and not os.access(path, os.R_OK):  # else each connection would fail, without a word of which file
            raise SettingsError(f"HEADRACE_REDIS_URL: {option}={path} can not be read")
    return driver


class _Pool:
    """Up to `size` connections, the last used first; who waits too long for one gets `Transient`."""

    def __init__(self, make: Callable[[], Connection], size: int) -> None:
        self._make = make
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._every: set[Connection] = set()

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncGenerator[Connection]:
        if self._slots.locked():
            try:
                async with asyncio.timeout(POOL_WAIT_SECONDS):
                    await self._slots.acquire()
            except TimeoutError:
                raise Transient("every connection to Redis is busy") from None
        else:
            await self._slots.acquire()
        connection = self._idle.pop() if self._idle else self._make()
        self._every.add(connection)
        try:
            yield connection
        finally:
            self._idle.append(connection)
            self._slots.release()

    async def close(self) -> None:
        for connection in self._every:
            await connection.close()


def fcall(function: str, keys: Sequence[str], args: Sequence[Word]) -> Command:
    """The command that runs a library function."""
    return ("FCALL", f"{VERSION}_{function}", len(keys), *keys, *args)


@functools.cache
def libraries() -> dict[str, str]:
    """The source of every function library, by name; read from the package once."""
    folder = importlib.resources.files("backplane") / "lua"
    return {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".lua")
    }


def _definite(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _is_missing_function(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)


def _code(failure: ResponseError) -> str:
    return failure.status_code or str(failure).partition(" ")[0]


def _translate(failure: ResponseError) -> Exception:
    code = _code(failure)
    if code == "FENCED":
        return Fenced(str(failure))
    if code in _REFUSED:
        return Transient(f"Redis refuses: {code} {failure}")
    return Permanent(f"Redis: {failure}")
