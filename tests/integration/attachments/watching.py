"""Somebody who tries all the time to get at files: with each person's token, and straight at the object store."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import httpx2

from backplane.objects.s3 import Objects
from backplane.settings import Settings
from tests.integration.attachments.conftest import Sender

WHATS = ("content", "thumbnail")


class Watcher:
    """`got`: every answer that was a link or a content."""

    def __init__(self, settings: Settings, people: Sequence[Sender]) -> None:
        self._settings, self._people = settings, people
        self._files: list[tuple[str, str]] = []
        self._around = asyncio.Condition()
        self.stopping = asyncio.Event()
        self.got: list[str] = []
        self.asked = 0

    def watch(self, attachment_id: str, owner: Sender) -> None:
        """From now on this file, too."""
        self._files.append((attachment_id, owner.user_id))

    async def run(self) -> None:
        """Ask until `stopping` is set."""
        async with httpx2.AsyncClient(trust_env=False) as anybody:
            while not self.stopping.is_set():
                for attachment_id, owner_id in list(self._files):
                    await self._try(anybody, attachment_id, owner_id)
                async with self._around:
                    self._around.notify_all()
                await asyncio.sleep(0.01)

    async def once_more(self) -> None:
        """Until everything was asked for at least once from now on."""
        async with asyncio.timeout(30), self._around:
            await self._around.wait()
            await self._around.wait()

    async def _try(self, anybody: httpx2.AsyncClient, attachment_id: str, owner_id: str) -> None:
        for person in self._people:
            for what in WHATS:
                answer = await person("GET", f"/api/attachments/{attachment_id}/{what}")
                self._note(answer, f"{person.username} {attachment_id} {what}")
        settings = self._settings
        keys = [f"{settings.s3_quarantine_bucket}/{owner_id}/{attachment_id}"]
        keys += [f"{settings.s3_bucket}/{attachment_id}/{what}" for what in WHATS]
        for key in keys:
            self._note(await anybody.get(f"{settings.s3_url}/{key}"), key)

    def _note(self, answer: httpx2.Response, asked: str) -> None:
        self.asked += 1
        if answer.status_code < 400:
            self.got.append(f"{answer.status_code} {asked}")


@contextlib.asynccontextmanager
async def watching(settings: Settings, *people: Sender) -> AsyncGenerator[Watcher]:
    """A watcher at work."""
    watcher = Watcher(settings, people)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        watcher.stopping.set()
        await task


async def left_of(objects: Objects, attachment_id: str, owner_id: str) -> list[str]:
    """What the object store still holds of a file."""
    places = [(objects.quarantine, f"{owner_id}/{attachment_id}")]
    places += [(objects.clean, f"{attachment_id}/{what}") for what in WHATS]
    return [f"{bucket.name}/{key}" for bucket, key in places if await bucket.head(key) is not None]


async def when_nothing_is_left(objects: Objects, attachment_id: str, owner_id: str) -> None:
    """Objects are deleted after the verdict is written: so it may take a moment."""
    async with asyncio.timeout(10):
        while await left_of(objects, attachment_id, owner_id):  # noqa: ASYNC110 - S3 tells nobody
            await asyncio.sleep(0.02)
