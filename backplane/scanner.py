"""The virus scanner: the only import of `clamd`.

clamd's protocol (clamd(8)): a connection for each command. `INSTREAM` takes chunks, each behind its length in four bytes, and a length of
zero ends them; then comes one line. Commands begin with `z`, so lines end with NUL.

The exchange is written here on plain sockets of the event loop, and only the reading of a line is left to the package `clamd` (1.0.2, of
2014). That one sends with `send`, and a short write breaks the framing; blocks a thread for each scan; connects without a limit of time and
only over IPv4; answers None when nothing came; and when clamd refuses in the middle it fails with a broken pipe and never sees why. asyncio's
streams would not see that either: a write that fails throws away what was not read yet.

Nothing is clean but an exact `stream: OK` to a stream that was sent whole.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Self, TypeVar
from urllib.parse import unquote, urlsplit

import clamd

from backplane.errors import Transient
from backplane.settings import Settings, SettingsError

CHUNK_BYTES: Final = 65_536
CONNECT_SECONDS: Final = 5.0
ALIVE_SECONDS: Final = 5.0
MAX_ANSWER: Final = 4096

Why = Literal["too_large", "too_complex", "encrypted", "too_slow", "not_understood"]
"""`too_large`, `too_complex`: over clamd's limits for a stream, or while it looked inside. `too_slow`: over its limit of time, or ours."""

Address = str | tuple[str, int]
"""The path of a UNIX socket, or host and port."""

_T = TypeVar("_T")

_CLEAN: Final = b"stream: OK"
_HEURISTICS: Final[tuple[tuple[str, Why], ...]] = (
    ("Heuristics.Limits.Exceeded.MaxScanTime", "too_slow"),
    ("Heuristics.Limits.Exceeded", "too_complex"),
    ("Heuristics.Encrypted.", "encrypted"),
)
"""What clamd calls a finding (`AlertExceedsMax`, `AlertEncrypted`) and means that it did not look."""
_ERRORS: Final[dict[str, Why]] = {
    "INSTREAM size limit exceeded. ERROR": "too_large",
    "stream: Exceeded time limit ERROR": "too_slow",
}
_OWN_TROUBLE: Final = re.compile(
    r"Can't (access|allocate|create|duplicate|get|map|open|set|unlink|write)|[Tt]emporary|gentempfd|TIMED OUT|timeout|shutting down"
)
"""What clamd says of itself, not of the file: no memory, a full disk, bytes that did not come."""
_DETAIL: Final = re.compile(r"\([0-9a-f]{32,64}:\d+\)$")
"""Hash and size, which `ExtendedDetectionInfo` puts behind the name of a signature."""
_VERSION: Final = re.compile(r"ClamAV (?P<engine>[^/\s]+)(?:/(?P<number>\d+)/(?P<built>.+))?")


@dataclass(frozen=True, slots=True)
class Clean:
    """All of it was looked at, within all limits, and nothing was found."""


@dataclass(frozen=True, slots=True)
class Infected:
    """A signature fits."""

    signature: str


@dataclass(frozen=True, slots=True)
class Unscannable:
    """It can not be vouched for; `said` is what clamd said, for operators."""

    why: Why
    said: str = ""


Verdict = Clean | Infected | Unscannable


@dataclass(frozen=True, slots=True)
class SignatureVersion:
    """What clamd looks with; a set of one's own has neither number nor time.

    `built_at` is written by clamd in its local time without saying which; it is read as UTC.
    """

    engine: str
    number: int | None
    built_at: datetime | None


class BrokeOff(Transient):
    """It ended in the middle of a file without a verdict: it went away, or the file has made it."""


class Scanner:
    """Operations on clamd; any number at once, each on a connection of its own. All raise `Transient` when clamd is away.

    Args:
        scan_seconds: that clamd may take for one file.
        alive_seconds: for the commands that clamd answers at once, whatever its threads do.
    """

    def __init__(self, address: Address, *, scan_seconds: float, alive_seconds: float = ALIVE_SECONDS) -> None:
        self._address, self._seconds, self._alive_seconds = address, scan_seconds, alive_seconds

    @classmethod
    async def open(cls, settings: Settings) -> Self | None:
        """The scanner of this deployment; None if it has none. Connects for each command, so this succeeds while clamd is away.

        Raises:
            SettingsError: the URL can not be used.
        """
        if not settings.scanner_url:
            return None
        return cls(parse_address(settings.scanner_url), scan_seconds=settings.scan_seconds)

    async def scan(self, chunks: AsyncIterator[bytes]) -> Verdict:
        """What clamd says of these bytes; what `chunks` raises is passed on.

        Asks for a chunk when clamd has taken the one before, and for none when clamd takes no more: `chunks` may not be at its end.
        Only the time that clamd takes counts. When that is over, one that still answers has met a file that takes too long; one that
        does not is away.

        Raises:
            Transient: clamd is away, has trouble of its own, or went away without an answer: nothing is known of these bytes.
        """
        with await self._connected() as connection:
            exchange = _Exchange(connection, self._seconds)
            try:
                whole = await exchange.send(chunks)
                answer = await exchange.answer()
            except _Late:
                await self.ping()
                return Unscannable("too_slow", f"no answer in {self._seconds:g} s")
        verdict = read_verdict(answer)
        if isinstance(verdict, Clean) and not whole:
            raise BrokeOff("clamd answered before it had everything")
        return verdict

    async def version(self) -> SignatureVersion:
        """The engine and its signatures."""
        return parse_version(await self._ask(b"VERSION"))

    async def ping(self) -> None:
        """Return if clamd is there."""
        if (answer := await self._ask(b"PING")) != b"PONG":
            raise Transient(f"this is no clamd: it answered {_shown(answer)!r}")

    async def _ask(self, command: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._alive_seconds):
                with await self._connected() as connection:
                    await asyncio.get_running_loop().sock_sendall(connection, b"z" + command + b"\0")
                    return await _read(connection)
        except TimeoutError:
            raise Transient("clamd does not answer") from None
        except OSError as failure:
            raise Transient(f"clamd broke off: {failure}") from failure

    async def _connected(self) -> socket.socket:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await _connect(self._address)
        except TimeoutError:
            raise Transient("clamd takes no connection") from None
        except OSError as failure:
            raise Transient(f"clamd can not be reached: {failure}") from failure


def parse_address(url: str) -> Address:
    """Read `unix:///run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`.

    Raises:
        SettingsError: it is neither.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if not (parts.query or parts.fragment or parts.username or parts.password):
            if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1:
                return unquote(parts.path)
            if parts.scheme == "tcp" and parts.hostname and parts.port and parts.path in {"", "/"}:
                return (parts.hostname, parts.port)
    raise SettingsError(
        "HEADRACE_SCANNER_URL must be like unix:///run/clamav/clamd.ctl or tcp://127.0.0.1:3310, with a port"
    )


def read_verdict(answer: bytes) -> Verdict:
    """What a whole answer to INSTREAM means, without its NUL. Pure.

    Raises:
        Transient: it speaks of clamd's own trouble.
    """
    if answer == _CLEAN:
        return Clean()
    said = _shown(answer)
    line = clamd.scan_response.fullmatch(said)
    if line and line["status"] == "FOUND" and line["virus"]:
        why: Why | None = next((why for name, why in _HEURISTICS if line["virus"].startswith(name)), None)
        return Unscannable(why, said) if why else Infected(_DETAIL.sub("", line["virus"]))
    if said.endswith(" ERROR"):
        if _OWN_TROUBLE.search(said):
            raise Transient(f"clamd has trouble: {said}")
        return Unscannable(_ERRORS.get(said, "not_understood"), said)
    return Unscannable("not_understood", said)


def parse_version(answer: bytes) -> SignatureVersion:
    """Read `ClamAV 1.4.6/27450/Thu Nov 26 09:30:00 2026`. Pure.

    Raises:
        Transient: it is something else.
    """
    found = _VERSION.fullmatch(_shown(answer.strip()))
    if not found:
        raise Transient(f"this is no clamd: it answered {_shown(answer)!r}")
    if found["number"] is None:
        return SignatureVersion(found["engine"], None, None)
    try:
        built = datetime.strptime(found["built"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        built = None
    return SignatureVersion(found["engine"], int(found["number"]), built)


class _Late(Exception):
    """No time is left for clamd."""


class _Exchange:
    """One INSTREAM. Only waiting for clamd costs of its seconds, and only clamd's failures are translated here."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._left = connection, seconds
        self._loop = asyncio.get_running_loop()

    async def send(self, chunks: AsyncIterator[bytes]) -> bool:
        """Whether clamd took all of it; if not, it has answered already, or is gone."""
        if not await self._put(b"zINSTREAM\0"):
            return False
        async for chunk in chunks:
            view = memoryview(chunk)  # an empty one sends nothing: a length of zero would end the stream
            for start in range(0, len(view), CHUNK_BYTES):
                piece = view[start : start + CHUNK_BYTES]
                if not await self._put(len(piece).to_bytes(4, "big") + piece):
                    return False
        return await self._put(bytes(4))

    async def answer(self) -> bytes:
        """The answer, without its NUL."""
        try:
            return await self._spend(_read(self._connection))
        except (OSError, Transient) as failure:
            raise BrokeOff(f"clamd broke off: {failure}") from failure

    async def _put(self, data: bytes) -> bool:
        try:
            await self._spend(self._loop.sock_sendall(self._connection, data))
        except OSError:
            return False  # what it has said before it closed can still be read
        return True

    async def _spend(self, work: Awaitable[_T]) -> _T:
        started, limit = self._loop.time(), asyncio.timeout(max(self._left, 0))
        try:
            async with limit:
                return await work
        except TimeoutError:
            if limit.expired():
                raise _Late from None
            raise
        finally:
            self._left -= self._loop.time() - started


async def _connect(address: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    if isinstance(address, str):
        return await _joined(socket.AF_UNIX, address)
    failure: OSError | None = None
    for family, _, _, _, found in await loop.getaddrinfo(*address, type=socket.SOCK_STREAM):
        try:
            return await _joined(family, found)
        except OSError as one:
            failure = one
    raise failure or OSError("its name leads nowhere")


async def _joined(family: int, address: object) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)  # pyright: ignore[reportArgumentType] whatever the family takes
    except BaseException:
        connection.close()
        raise
    return connection


async def _read(connection: socket.socket) -> bytes:
    """One answer, without its NUL.

    Raises:
        Transient: the connection ended before it was whole, or it has no end.
    """
    loop = asyncio.get_running_loop()
    answer = b""
    while len(answer) < MAX_ANSWER:
        more = await loop.sock_recv(connection, MAX_ANSWER - len(answer))
        if not more:
            raise Transient("clamd went away without an answer")
        answer += more
        line, end, _ = answer.partition(b"\0")
        if end:
            return line
    raise Transient("this is no clamd: its answer has no end")


def _shown(answer: bytes) -> str:
    """As text without control characters, short enough for a log."""
    text = answer[:256].decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else "�" for one in text)
