"""The scan stage's loop: some entries of the queue at a time, each worked on, with its claim renewed, until it is done."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final

import structlog

from backplane.errors import Permanent, Transient
from backplane.objects.failures import Misconfigured
from backplane.scans import Job, Scans
from backplane.settings import Settings
from consumers.pace import Pace

STOP_SECONDS: Final = 10.0
_WAIT_MS: Final = 1000

log = structlog.get_logger(__name__)


class ScanStage:
    """One process' part of the queue.

    Args:
        do: the work of an entry; may be done again, whatever became of it before.
    """

    def __init__(self, settings: Settings, scans: Scans, do: Callable[[Job], Awaitable[None]]) -> None:
        self._scans, self._do = scans, do
        self._at_once = settings.scans_at_once
        self._idle_ms = int(settings.scan_claim_seconds * 1000)
        self._jobs: dict[Job, asyncio.Task[None]] = {}
        self._news: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is not done by then is given back."""
        claims = asyncio.create_task(self._keep_claims())
        pace, look_at = Pace(1), 0.0
        try:
            while not stop.is_set():
                try:
                    if look_at <= monotonic():
                        look_at = monotonic() + self._idle_ms / 3000
                        self._begin(await self._scans.take_over(self._free, self._idle_ms) if self._free else [], stop)
                    self._begin(await self._scans.take(self._free) if self._free else [], stop)
                    await self._wait()
                    pace.recovered()
                except (Transient, Permanent) as failure:
                    log.warning("the queue of scans can not be read", error=str(failure))
                    await asyncio.sleep(pace.slower())
        finally:
            await self._stop(claims)

    @property
    def _free(self) -> int:
        return self._at_once - len(self._jobs)

    def _begin(self, jobs: Sequence[Job], stop: asyncio.Event) -> None:
        for job in jobs:
            if job not in self._jobs:
                self._jobs[job] = asyncio.create_task(self._work(job, stop), name=f"scan {job.attachment_id}")

    async def _wait(self) -> None:
        """Until something is done, or there is something to do and somebody to do it; or for a second."""
        if self._news is None and self._free:
            self._news = asyncio.create_task(self._scans.wait(_WAIT_MS))
        waiting = [task for task in (self._news, *self._jobs.values()) if task is not None]
        await asyncio.wait(waiting, timeout=_WAIT_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
        if self._news is not None and self._news.done():
            news, self._news = self._news, None
            news.result()

    async def _stop(self, claims: asyncio.Task[None]) -> None:
        """Finish what is nearly done, give the rest back. One deadline: STOP_SECONDS."""
        held = list(self._jobs)
        if self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=STOP_SECONDS)
        cut = [claims, *self._jobs.values(), *([self._news] if self._news else [])]
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        with contextlib.suppress(Transient, Permanent):
            await self._scans.release(held, self._idle_ms)  # those that are done by now are not in the queue

    async def _work(self, job: Job, stop: asyncio.Event) -> None:
        """Do it until it is done; what is away is waited for."""
        pace = Pace(1)
        try:
            while not await self._did(job) and not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pace.slower())
        finally:
            del self._jobs[job]

    async def _did(self, job: Job) -> bool:
        try:
            await self._do(job)
            await self._scans.done(job)
        except (Transient, Misconfigured) as failure:
            log.warning("a scan waits", attachment_id=job.attachment_id, error=str(failure))
        except Exception:
            log.exception("a scan failed", attachment_id=job.attachment_id)
        else:
            return True
        return False

    async def _keep_claims(self) -> None:
        while True:
            await asyncio.sleep(self._idle_ms / 3000)
            with contextlib.suppress(Transient, Permanent):
                await self._scans.renew(list(self._jobs))
