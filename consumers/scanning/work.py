"""The work on one file, from quarantine to its verdict.

Where the scanner or the object store is away, no attempt is counted. A scan that the scanner broke off, and is there again, is the file's
attempt; so is one that ended the process. After `MAX_ATTEMPTS` nobody can tell what is in the file; from the fourth on it is scanned alone,
so that those beside it do not pay for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from time import time
from typing import Final

import structlog

from backplane import telemetry
from backplane.errors import Transient
from backplane.objects.failures import Absent, Changed, Misconfigured
from backplane.objects.s3 import Objects
from backplane.scanner import BrokeOff
from backplane.scans import Job
from backplane.store.attachments import Attachments, StoredAttachment, clean_key, thumbnail_key
from consumers.scanning.judging import Judge
from consumers.scanning.telling import Teller
from consumers.scanning.turns import Turns
from consumers.scanning.verdict import Judgement, decided, rescanned
from consumers.scanning.watch import Watch
from schemas.attachments import REFUSED
from schemas.ids import AttachmentId

MAX_ATTEMPTS: Final = 10
ALONE_FROM: Final = 4
_ROUNDS: Final = 10

log = structlog.get_logger(__name__)


class FileWork:
    """Everything that one entry of the queue asks for. Raises as the stores do: then it is to be done again."""

    def __init__(
        self, attachments: Attachments, objects: Objects, judge: Judge, teller: Teller, *, watch: Watch, at_once: int
    ) -> None:
        self._attachments, self._objects = attachments, objects
        self._judge, self._teller, self._watch = judge, teller, watch
        self._turns = Turns(at_once)

    async def do(self, job: Job) -> None:
        """Bring a file to its verdict, tell it, and clear up; what is done already is passed over."""
        found = await self._attachments.get(job.attachment_id)
        if found is None or found.gone_ms is not None:
            await self._forget(job.attachment_id)
            return
        if found.status == "pending":
            signatures = self._watch.signatures  # before the scan: what was looked with is as new, or newer
            found = await self._conclude(found, await self._attempt(found, signatures), signatures)
        elif job.kind == "rescan" and found.status == "clean":
            found = await self._look_again(found)
        if found.check_ms is not None:
            await self._teller.tell(found)
        await self._clear(found)

    async def _attempt(self, found: StoredAttachment, signatures: str | None) -> Judgement:
        if found.attempts >= MAX_ATTEMPTS:
            log.error("nobody can tell what is in a file", attachment_id=found.attachment_id, attempts=found.attempts)
            return Judgement("unscannable", "attempts")
        async with self._turn(found):
            return await self._judged(found, signatures)

    @contextlib.asynccontextmanager
    async def _turn(self, found: StoredAttachment) -> AsyncGenerator[None]:
        """One scan of a file at its turn, counted unless it ends or something that is away is to blame."""
        async with self._turns.whole() if found.attempts + 1 >= ALONE_FROM else self._turns.share():
            # Not before its turn: of those that wait, none is to blame for a process that ends.
            await self._attachments.begin_scan(found.attachment_id)
            try:
                yield
            except (Transient, Misconfigured, asyncio.CancelledError) as failure:
                if not (isinstance(failure, BrokeOff) and await self._watch.is_there()):
                    await asyncio.shield(self._attachments.excuse_scan(found.attachment_id))
                raise
            await self._attachments.excuse_scan(found.attachment_id)

    async def _judged(self, found: StoredAttachment, signatures: str | None) -> Judgement:
        with telemetry.scan_seconds.time():
            try:
                judgement = await self._judge.judge(found, signatures)
                if judgement.status == "clean" and not await self._promote(found, judgement):
                    return Judgement("error", "changed")
            except Absent:
                return Judgement("error", "missing")
            except Changed:
                return Judgement("error", "changed")
        return judgement

    async def _promote(self, found: StoredAttachment, judgement: Judgement) -> bool:
        """Copy what was looked at to where it may be served from, and the picture that was made of it. False if the copy is something else.

        The copy is made by ETag, which is an MD5 for most: two files can be made that share one. So the copy's own digest decides, before
        anybody may fetch it.
        """
        copied = await self._objects.promote(
            found.quarantine_key, found.etag or "", found.clean_key, judgement.served_type or "application/octet-stream"
        )
        if await self._objects.clean.sha256(found.clean_key, etag=copied.etag) != judgement.digest:
            await self._objects.clean.delete(found.clean_key)
            return False
        if picture := judgement.picture:
            content, size = _one(picture.thumbnail), len(picture.thumbnail)
            await self._objects.clean.put_stream(found.thumbnail_key, content, picture.thumbnail_type, size)
        return True

    async def _conclude(
        self, found: StoredAttachment, judgement: Judgement, signatures: str | None
    ) -> StoredAttachment:
        """Write the verdict, unless there is one by now; returns the file as it is then."""
        for _ in range(_ROUNDS):
            after = decided(found, judgement, signatures, int(time() * 1000))
            if await self._attachments.change([(found, after)]):
                telemetry.scans.labels(judgement.status).inc()
                if judgement.status != "clean":
                    log.warning(
                        "a file was refused",
                        attachment_id=found.attachment_id,
                        status=judgement.status,
                        reason=judgement.reason,
                    )
                return after
            again = await self._attachments.get(found.attachment_id)  # a message has bound it, or somebody was quicker
            if again is None or again.gone_ms is not None:
                await self._forget(found.attachment_id)
                return again or found
            if again.status != "pending":
                return again
            found = again
        raise Transient("a file changes again and again")

    async def _look_again(self, found: StoredAttachment) -> StoredAttachment:
        signatures = self._watch.signatures
        if found.attempts >= MAX_ATTEMPTS:
            log.error("a clean file can not be scanned again", attachment_id=found.attachment_id)
            return found
        try:
            async with self._turn(found):
                verdict = await self._judge.look_again(found)
        except (Absent, Changed):  # it was withdrawn meanwhile
            return found
        for _ in range(_ROUNDS):
            after = rescanned(found, verdict, signatures, int(time() * 1000))
            if after is None:
                log.warning("a clean file could not be scanned again", attachment_id=found.attachment_id)
                return found
            if await self._attachments.change([(found, after)]):
                if after.status != "clean":
                    telemetry.scans.labels(after.status).inc()
                    log.error("a file was withdrawn", attachment_id=found.attachment_id, reason=after.reason)
                return after
            again = await self._attachments.get(found.attachment_id)
            if again is None or again.status != "clean":
                return again or found
            found = again
        raise Transient("a file changes again and again")

    async def _clear(self, found: StoredAttachment) -> None:
        """Delete what is not needed any more: of a refused file, everything."""
        await self._objects.quarantine.delete(found.quarantine_key)
        if found.status in REFUSED:
            await self._objects.clean.delete(found.clean_key)
            await self._objects.clean.delete(found.thumbnail_key)

    async def _forget(self, attachment_id: AttachmentId) -> None:
        """Delete what was copied of a file that was withdrawn: the sweep may have been there before the copy was."""
        await self._objects.clean.delete(clean_key(attachment_id))
        await self._objects.clean.delete(thumbnail_key(attachment_id))


async def _one(content: bytes) -> AsyncGenerator[bytes]:
    yield content
