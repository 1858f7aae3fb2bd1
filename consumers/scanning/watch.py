"""What the scanner is by now, asked every few seconds, for verdicts, for operators, and for gateways."""

import asyncio
import contextlib
from time import time
from typing import Final

from backplane import telemetry
from backplane.errors import Permanent, Transient
from backplane.scanner import Scanner
from backplane.scans import ScannerSeen, Scans

_WATCH_SECONDS: Final = 5.0


class Watch:
    """Knows the scanner's signatures: `signatures` is None until they are known, and of a set without a version."""

    def __init__(self, scanner: Scanner, scans: Scans) -> None:
        self._scanner, self._scans = scanner, scans
        self.signatures: str | None = None

    async def is_there(self) -> bool:
        """Whether the scanner answers now."""
        try:
            await self._scanner.ping()
        except Transient:
            return False
        return True

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            now_ms = int(time() * 1000)
            try:
                version = await self._scanner.version()
            except Transient:
                seen = ScannerSeen(up=False, seen_ms=now_ms)
            else:
                built_ms = int(version.built_at.timestamp() * 1000) if version.built_at else None
                # Before a scan and never after it: a verdict is kept under signatures that are as old, or older.
                self.signatures = f"{version.engine}/{version.number}" if version.number is not None else None
                seen = ScannerSeen(up=True, seen_ms=now_ms, signatures=self.signatures or "", built_ms=built_ms)
            telemetry.scanner_up.set(seen.up)
            if seen.built_ms is not None:
                telemetry.signatures_built.set(seen.built_ms / 1000)
            with contextlib.suppress(Transient, Permanent):
                await self._scans.note(seen)
                depth = await self._scans.depth()
                telemetry.scan_queue.set(depth.entries)
                telemetry.scan_queue_age.set((now_ms - depth.oldest_ms) / 1000 if depth.oldest_ms is not None else 0)
            await asyncio.sleep(_WATCH_SECONDS)
