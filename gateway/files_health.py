"""How attachments are: what an operator should be called for, though messages go on."""

import asyncio
import time
from typing import Final

import msgspec

from backplane.errors import Permanent, Transient
from backplane.objects.s3 import Objects
from backplane.scans import Depth, ScannerSeen, Scans

LOOK_SECONDS: Final = 3.0
LATE_SECONDS: Final = 300
"""A file that waits longer for its scan is late."""
OLD_SIGNATURES_SECONDS: Final = 3 * 86_400
"""clamd's are renewed several times a day."""


class FilesReport(msgspec.Struct, frozen=True):
    """`scanner_up` is None if no process that scans has been heard of; ages in seconds, None where unknown."""

    object_store_up: bool
    scanner_up: bool | None
    signatures_age_seconds: float | None
    queue_entries: int | None
    queue_age_seconds: float | None


class FilesHealth:
    """Asks the object store, and Redis for what the processes that scan have said.

    Args:
        scanner: whether one is configured.
    """

    def __init__(self, objects: Objects, scans: Scans, *, scanner: bool) -> None:
        self._objects, self._scans, self._scanner = objects, scans, scanner

    async def look(self) -> FilesReport:
        """How things are; what does not answer in time is away."""
        up, seen, depth = await asyncio.gather(self._is_up(), self._seen(), self._depth())
        now_ms = time.time() * 1000
        return FilesReport(
            object_store_up=up,
            scanner_up=seen.up if seen else None if self._scanner else False,
            signatures_age_seconds=round((now_ms - seen.built_ms) / 1000) if seen and seen.built_ms else None,
            queue_entries=depth.entries if depth else None,
            queue_age_seconds=_age_seconds(depth, now_ms),
        )

    async def _is_up(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._objects.ping()
        except (Transient, Permanent, TimeoutError):
            return False
        return True

    async def _seen(self) -> ScannerSeen | None:
        try:
            return await self._scans.seen()
        except (Transient, Permanent):
            return None

    async def _depth(self) -> Depth | None:
        try:
            return await self._scans.depth()
        except (Transient, Permanent):
            return None


def alerts(report: FilesReport) -> list[str]:
    """What is wrong, in words. Pure."""
    found: list[str] = []
    if not report.object_store_up:
        found.append("the object store does not answer: files can neither be uploaded nor fetched")
    if report.scanner_up is None:
        found.append("no consumer with the stage `scan` was heard of: files stay pending")
    elif not report.scanner_up:
        found.append("the scanner does not answer: files stay pending")
    if report.signatures_age_seconds is not None and report.signatures_age_seconds > OLD_SIGNATURES_SECONDS:
        found.append(f"the scanner's signatures are {report.signatures_age_seconds / 86_400:.0f} days old")
    if report.queue_age_seconds is not None and report.queue_age_seconds > LATE_SECONDS:
        found.append(f"a file waits for its scan since {report.queue_age_seconds:.0f} s")
    return found


def _age_seconds(depth: Depth | None, now_ms: float) -> float | None:
    if depth is None:
        return None
    return 0.0 if depth.oldest_ms is None else round((now_ms - depth.oldest_ms) / 1000, 1)
