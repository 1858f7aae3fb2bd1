"""One pass over a file in quarantine: our own look, the scanner's, and the picture of an image."""

import asyncio
import contextlib
import tempfile
from collections.abc import Generator
from contextlib import aclosing
from typing import BinaryIO

from backplane.errors import Transient
from backplane.objects.s3 import Objects
from backplane.scanner import Clean, Scanner, Verdict
from backplane.store.attachments import Attachments, StoredAttachment
from consumers.imaging.pictures import Picture, picture_of
from consumers.inspection.budget import Limits
from consumers.inspection.intake import Intake
from consumers.inspection.problems import Refused
from consumers.inspection.promise import Promise
from consumers.scanning.verdict import Judgement, heard, not_clean, refused, said


class Judge:
    """Looks; changes nothing. Raises as the object store and the scanner do."""

    def __init__(self, objects: Objects, scanner: Scanner, attachments: Attachments, limits: Limits) -> None:
        self._objects, self._scanner, self._attachments, self._limits = objects, scanner, attachments, limits
        self._drawing = asyncio.Semaphore()  # one picture may take a gigabyte

    async def judge(self, attachment: StoredAttachment, signatures: str | None) -> Judgement:
        """The verdict on the very content that was there when its upload was completed.

        Raises:
            Changed: another one is there by now.
            Absent: there is none.
            Transient: the object store or the scanner is away, or this machine has no room; nothing is known.
        """
        with _of_this_machine():
            return await self._judge(attachment, signatures)

    async def _judge(self, attachment: StoredAttachment, signatures: str | None) -> Judgement:
        announced = bytes.fromhex(attachment.sha256) if attachment.sha256 else None
        with tempfile.TemporaryFile() as aside:
            intake = Intake(Promise(attachment.size, announced), attachment.content_type, aside)
            try:
                verdict = await self._verdict(attachment, intake, signatures)
            except Refused as stopped:
                return refused(stopped.problem)
            if not isinstance(verdict, Clean):
                return not_clean(verdict, _digest(intake))
            if problem := await asyncio.to_thread(intake.finish, self._limits):
                return refused(problem)
            picture = await self._picture(aside) if intake.is_image else None
            return Judgement("clean", None, _digest(intake), said(verdict), intake.served_type, picture)

    async def look_again(self, attachment: StoredAttachment) -> Verdict:
        """What the scanner says by now of a file that was clean. Raises as `judge`."""
        there = await self._objects.clean.head(attachment.clean_key)
        async with aclosing(self._objects.clean.read(attachment.clean_key, etag=there.etag if there else "")) as chunks:
            return await self._scanner.scan(chunks)

    async def _picture(self, aside: BinaryIO) -> Picture | None:
        async with self._drawing:
            return await picture_of(aside)

    async def _verdict(self, attachment: StoredAttachment, intake: Intake, signatures: str | None) -> Verdict:
        known = None
        if attachment.sha256 and signatures:
            known = heard(await self._attachments.scanned_before(attachment.sha256, signatures) or "")
        async with (
            aclosing(self._objects.quarantine.read(attachment.quarantine_key, etag=attachment.etag or "")) as chunks,
            aclosing(intake.through(chunks)) as looked_at,
        ):
            if known is None:
                return await self._scanner.scan(looked_at)
            async for _ in looked_at:  # that it is the same file is seen at its end
                pass
            return known


@contextlib.contextmanager
def _of_this_machine() -> Generator[None]:
    """What goes wrong with temporary files and processes is not the file's fault: no disk, no memory, no descriptors."""
    try:
        yield
    except OSError as failure:
        raise Transient(f"a file can not be looked at here: {failure.strerror or type(failure).__name__}") from failure


def _digest(intake: Intake) -> str | None:
    return intake.sha256.hex() if intake.ended else None
