"""The scan stage of a process, made of what is configured: without an object store there is nothing to do, without a scanner only to sweep."""

import asyncio
import contextlib
from time import monotonic

import structlog

from backplane.errors import Permanent, Transient
from backplane.objects.s3 import Objects
from backplane.redis import Redis
from backplane.scanner import Scanner
from backplane.scans import Job, Scans
from backplane.settings import Settings
from backplane.store.mongo import Store
from backplane.streams import Intents
from consumers.inspection.budget import Limits
from consumers.scanning.judging import Judge
from consumers.scanning.stage import ScanStage
from consumers.scanning.sweep import Sweep
from consumers.scanning.telling import Teller
from consumers.scanning.watch import Watch
from consumers.scanning.work import FileWork

INTENTS: int = 1000
_STRAYS_SECONDS = 3600.0

log = structlog.get_logger(__name__)


async def scan(settings: Settings, redis: Redis, store: Store, stop: asyncio.Event) -> None:
    """Scan and sweep until `stop` is set."""
    if settings.s3_url is None:
        return
    objects = await Objects.open(settings)
    scans, teller = Scans(redis), Teller(settings.names, Intents(redis, limit=INTENTS))
    scanner = await Scanner.open(settings)
    loose_seconds = settings.attachment_loose_seconds
    sweep = Sweep(store.attachments, store.messages, objects, scans, teller, loose_seconds=loose_seconds)
    try:
        async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
            group.create_task(_keep_swept(settings, scans, sweep, stop))
            if scanner is None:
                log.warning("there is no scanner: no file is scanned", setting="HEADRACE_SCANNER_URL")
                do = _nothing
            else:
                watch = Watch(scanner, scans)
                judge = Judge(objects, scanner, store.attachments, Limits())
                at_once = settings.scans_at_once
                do = FileWork(store.attachments, objects, judge, teller, watch=watch, at_once=at_once).do
                watching = group.create_task(watch.run())
                stack.callback(watching.cancel)

            async def work(job: Job) -> None:
                await (sweep.look() if job.kind == "sweep" else do(job))

            await ScanStage(settings, scans, work).run(stop)
    finally:
        await objects.close()


async def _nothing(job: Job) -> None:
    raise Transient(f"there is no scanner for {job.attachment_id}")


async def _keep_swept(settings: Settings, scans: Scans, sweep: Sweep, stop: asyncio.Event) -> None:
    """Look every `attachment_sweep_seconds`, one process of the deployment at a time."""
    seconds, strays_at = settings.attachment_sweep_seconds, monotonic()
    while not stop.is_set():
        try:
            if await scans.turn(seconds * 0.9):
                strays = monotonic() >= strays_at
                await sweep.look(strays=strays)
                strays_at = monotonic() + _STRAYS_SECONDS if strays else strays_at
        except (Transient, Permanent) as failure:
            log.warning("files can not be swept now", error=str(failure))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
