"""The queue of files to be scanned: one stream, one group, no order, and so no owners (hole D8).

An entry is in the stream until its file is judged, so the stream's length is the work that is left. Who takes an entry renews its claim
while the work goes on; when nobody does, another process takes it over. A claim keeps nobody else out: the verdict is written by compare
and set, and a process that was away for too long finds itself too late.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import msgspec

from backplane.errors import Permanent, Unknown
from backplane.redis import Command, Redis
from schemas.ids import AttachmentId, StreamId
from schemas.names import CONSUMER, FILE_FIELD, KIND_FIELD
from schemas.stages import SCAN

Kind = Literal["scan", "rescan", "sweep"]
"""A file for the first time, one that was clean, or none: a look for what was left."""
_KINDS: Final[dict[bytes | None, Kind]] = {b"rescan": "rescan", b"sweep": "sweep"}
MAX_BLOCK_MS: Final = 2000
SEEN_SECONDS: Final = 120
"""How long what was last heard of the scanner counts."""


@dataclass(frozen=True, slots=True)
class Job:
    """One entry: which file, and what is to be done with it. An entry of which nothing can be made has no file."""

    id: StreamId
    attachment_id: AttachmentId
    kind: Kind


class Depth(NamedTuple):
    """How many files wait or are being scanned, and since when the first one does: ms since 1970, None without any."""

    entries: int
    oldest_ms: int | None


class ScannerSeen(msgspec.Struct, frozen=True):
    """The scanner as a scanning process last heard of it; `signatures` is what verdicts are kept under, "" if it has no version."""

    up: bool
    seen_ms: int
    signatures: str = ""
    built_ms: int | None = None


class Scans:
    """Operations on the queue. Methods raise as `Redis` does."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self._stream = redis, redis.names.scans()
        self._last: bytes = b"0"

    async def add(self, attachment_id: AttachmentId, kind: Kind = "scan") -> StreamId:
        """Ask for a scan, or something else. To ask twice does no harm."""
        words: Command = ("XADD", self._stream, "*", FILE_FIELD, attachment_id, KIND_FIELD, kind)
        (entry_id,) = await self._redis.all([words], append=True)
        return StreamId.parse(entry_id)

    async def waits(self, entry_id: StreamId) -> bool:
        """Whether an entry is not done yet."""
        return bool(await self._redis.command("XRANGE", self._stream, str(entry_id), str(entry_id)))

    async def take(self, count: int) -> list[Job]:
        """Take up to `count` entries that nobody has taken."""
        found: Any = await self._grouped(
            ("XREADGROUP", "GROUP", SCAN, CONSUMER, "COUNT", count, "STREAMS", self._stream, ">")
        )
        jobs = [_job(*raw) for raw in found[0][1]] if found else []
        if jobs:
            self._last = str(jobs[-1].id).encode()
        return jobs

    async def take_over(self, count: int, idle_ms: int) -> list[Job]:
        """Take up to `count` entries whose claim was not renewed for so long."""
        start: bytes = b"0-0"
        while True:
            start, found, _ = await self._grouped(
                ("XAUTOCLAIM", self._stream, SCAN, CONSUMER, idle_ms, start, "COUNT", count)
            )
            if found or start == b"0-0":
                return [_job(*raw) for raw in found]

    async def renew(self, jobs: Sequence[Job]) -> None:
        """Say that these are being worked on."""
        await self._claim(jobs, "IDLE", 0)

    async def release(self, jobs: Sequence[Job], idle_ms: int) -> None:
        """Give these back: whoever looks for what is idle for so long takes them at once."""
        await self._claim(jobs, "IDLE", idle_ms)

    async def done(self, job: Job) -> None:
        """Take an entry out of the queue. Safe to repeat."""
        await self._redis.all([("XACK", self._stream, SCAN, str(job.id)), ("XDEL", self._stream, str(job.id))])

    async def wait(self, block_ms: int) -> None:
        """Return when there may be something new, or after `block_ms` (≤ 2 000). Takes nothing."""
        block_ms = max(1, min(block_ms, MAX_BLOCK_MS))
        found: Any = await self._redis.block(
            "XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", self._stream, self._last, seconds=block_ms / 1000
        )
        if found:  # perhaps others were quicker: the next wait is for what comes after it
            self._last = found[0][1][0][0]

    async def depth(self) -> Depth:
        """How much there is to do."""
        count, oldest = await self._redis.all([("XLEN", self._stream), ("XRANGE", self._stream, "-", "+", "COUNT", 1)])
        return Depth(count, StreamId.parse(oldest[0][0]).ms if oldest else None)

    async def turn(self, seconds: float) -> bool:
        """Whether it is this caller's turn to look for what was left; nobody else's for so many seconds then."""
        taken = await self._redis.command(
            "SET", self._redis.names.sweeping(), 1, "NX", "PX", max(1, int(seconds * 1000))
        )
        return taken is not None

    async def note(self, seen: ScannerSeen) -> None:
        """Tell everybody what the scanner is."""
        await self._redis.command("SET", self._redis.names.scanner(), msgspec.json.encode(seen), "EX", SEEN_SECONDS)

    async def seen(self) -> ScannerSeen | None:
        """What the scanner is; None if no process that scans has said so lately."""
        raw: bytes | None = await self._redis.command("GET", self._redis.names.scanner())
        if raw is None:
            return None
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(raw, type=ScannerSeen)
        return None

    async def note_swept(self, counts: Mapping[str, int]) -> None:
        """Tell operators what the last look for leftovers found."""
        await self._redis.command("SET", self._redis.names.swept(), msgspec.json.encode(counts), "EX", SEEN_SECONDS)

    async def swept(self) -> dict[str, int]:
        """What the last look for leftovers found, if it was lately."""
        raw: bytes | None = await self._redis.command("GET", self._redis.names.swept())
        return msgspec.json.decode(raw, type=dict[str, int]) if raw else {}

    async def _claim(self, jobs: Sequence[Job], *words: str | int) -> None:
        if jobs:
            ids = [str(job.id) for job in jobs]
            await self._redis.command("XCLAIM", self._stream, SCAN, CONSUMER, 0, *ids, *words, "JUSTID")

    async def _grouped(self, command: Command) -> Any:
        """A command that needs the group; made on the first one, or when Redis has forgotten it."""
        try:
            return await self._redis.command(*command)
        except Permanent as failure:
            if "NOGROUP" not in str(failure):
                raise
        with contextlib.suppress(Permanent, Unknown):  # somebody else was quicker
            await self._redis.command("XGROUP", "CREATE", self._stream, SCAN, "0", "MKSTREAM")
        return await self._redis.command(*command)


def _job(entry_id: bytes, fields: Sequence[bytes] | None) -> Job:
    pairs = iter(fields or ())
    said = dict(zip(pairs, pairs, strict=True))
    kind = _KINDS.get(said.get(KIND_FIELD), "scan")
    return Job(StreamId.parse(entry_id), AttachmentId(said.get(FILE_FIELD, b"").decode(errors="replace")), kind)
