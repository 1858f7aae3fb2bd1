"""The work of the scan stage on one file, by hand, and with something that happens in the middle of it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from backplane.objects.s3 import Objects
from backplane.redis import Redis
from backplane.scanner import Scanner
from backplane.scans import Job, Kind, Scans
from backplane.settings import Settings
from backplane.store.attachments import StoredAttachment, next_version
from backplane.store.mongo import Store
from backplane.streams import Intents
from consumers.inspection.budget import Limits
from consumers.scanning.judging import Judge
from consumers.scanning.sweep import LATE_MS, Sweep
from consumers.scanning.telling import Teller
from consumers.scanning.verdict import Judgement
from consumers.scanning.watch import Watch
from consumers.scanning.work import FileWork
from schemas.ids import AttachmentId, StreamId
from tests.objects import put

Happening = Callable[[StoredAttachment], Awaitable[None]]


class Interrupted(Judge):
    """A judge behind whose back something happens, between its look and what is made of it."""

    happening: Happening

    async def judge(self, attachment: StoredAttachment, signatures: str | None) -> Judgement:
        judgement = await super().judge(attachment, signatures)
        await self.happening(attachment)
        return judgement


@dataclass
class Bench:
    """The work on one file, by hand."""

    settings: Settings
    objects: Objects
    store: Store
    redis: Redis
    scanner: Scanner

    def __post_init__(self) -> None:
        self.scans = Scans(self.redis)
        self.teller = Teller(self.settings.names, Intents(self.redis, limit=1000))
        self.watch = Watch(self.scanner, self.scans)

    def judge(self) -> Judge:
        return Judge(self.objects, self.scanner, self.store.attachments, Limits())

    def interrupted(self, happening: Happening) -> Judge:
        judge = Interrupted(self.objects, self.scanner, self.store.attachments, Limits())
        judge.happening = happening
        return judge

    def work(self, judge: Judge | None = None, objects: Objects | None = None, at_once: int = 2) -> FileWork:
        return FileWork(
            self.store.attachments,
            objects or self.objects,
            judge or self.judge(),
            self.teller,
            watch=self.watch,
            at_once=at_once,
        )

    def job(self, file: str, kind: Kind = "scan") -> Job:
        return Job(StreamId(1, 0), AttachmentId(file), kind)

    async def put(self, key: str, content: bytes) -> None:
        """Into quarantine, with the server's own keys."""
        await put(self.objects, key, content)

    async def do(
        self, file: str, judge: Judge | None = None, objects: Objects | None = None, kind: Kind = "scan"
    ) -> None:
        await self.work(judge, objects).do(self.job(file, kind))

    def sweep(self, **more: Any) -> Sweep:
        given = {"loose_seconds": 600} | more
        return Sweep(self.store.attachments, self.store.messages, self.objects, self.scans, self.teller, **given)

    async def stored(self, file: str) -> StoredAttachment:
        found = await self.store.attachments.get(AttachmentId(file))
        assert found
        return found

    async def change(self, file: str, **fields: object) -> StoredAttachment:
        """As if somebody had written this."""
        before = await self.stored(file)
        after = next_version(before, **fields)
        assert await self.store.attachments.change([(before, after)])
        return after

    async def forget(self, attachment: StoredAttachment) -> None:
        """Its sender deletes it, and the sweep comes by, and in an hour again."""
        await self.change(attachment.attachment_id, gone_ms=1, loose_ms=None)
        await self.sweep().look(strays=False)
        await self.sweep(clock=lambda: time.time() + LATE_MS / 1000 + 1).look(strays=False)
        assert await self.store.attachments.get(attachment.attachment_id) is None
