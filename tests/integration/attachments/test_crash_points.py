"""The work on a file is cut after each of its steps, and done again from the start: the end is that of an uncut run."""

import inspect
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from backplane.objects.s3 import Objects
from backplane.redis import Redis
from backplane.scanner import Scanner
from backplane.scans import Scans
from backplane.settings import Settings
from backplane.store.attachments import StoredAttachment, carried
from backplane.store.mongo import Store
from backplane.streams import Intents
from consumers.inspection.budget import Limits
from consumers.scanning.judging import Judge
from consumers.scanning.telling import Teller
from consumers.scanning.watch import Watch
from consumers.scanning.work import MAX_ATTEMPTS, FileWork
from schemas.ids import AttachmentId, ConversationId, MessageId, UserId
from schemas.intents import SetAttachment, decode_intent
from tests.objects import opened, put
from tests.services import EICAR
from tests.unit.consumers.imaging.photos import halves, saved

pytestmark = pytest.mark.anyio


class Killed(BaseException):
    """The process ends here: nobody's `except` for failures may mend anything."""


@dataclass
class Cut:
    """Counts what is done outside, and ends the process after (or, `before`, instead of) the n-th call."""

    at: int | None = None
    before: bool = False
    done: list[str] = field(default_factory=list)

    def around(self, real: Any) -> Any:
        return _Around(self, real)

    def step(self, name: str, *, before: bool) -> None:
        if not before:
            self.done.append(name)
        if self.before == before and len(self.done) + before == self.at:
            raise Killed(name)


class _Around:
    """Everything that something real does, with a cut at each call. What it only yields is read, and changes nothing."""

    def __init__(self, cut: Cut, real: Any) -> None:
        self._cut, self._real = cut, real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in {"quarantine", "clean"}:
            return _Around(self._cut, found)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._cut.step(name, before=True)
            answer = await found(*args, **kwargs)
            self._cut.step(name, before=False)
            return answer

        return call


@dataclass
class Bench:
    """What the work is done with, and what is left of it."""

    settings: Settings
    redis: Redis
    store: Store
    objects: Objects
    scanner: Scanner

    async def uploaded(self, content: bytes, media: str, *, sent: bool) -> StoredAttachment:
        """A file in quarantine, asked to be scanned; with a message that holds it, if it was `sent`."""
        stored = StoredAttachment(
            attachment_id=AttachmentId(str(uuid.uuid4())),
            owner_id=UserId("ann"),
            name="name",
            content_type=media,
            size=len(content),
            created_ms=1,
            version=2,
            status="pending",
            queued_ms=1,
            message_id=MessageId(str(uuid.uuid4())) if sent else None,
            conversation_id=ConversationId(str(uuid.uuid4())) if sent else None,
        )
        etag = await put(self.objects, stored.quarantine_key, content, media)
        await Scans(self.redis).add(stored.attachment_id)
        return await self.store.attachments.create(msgspec.structs.replace(stored, etag=etag))

    async def process(self, cut: Cut) -> None:
        """A process that takes what there is, also what another one has left, and works until it is killed or done."""
        scans = Scans(self.redis)
        teller = Teller(self.settings.names, Intents(self.redis, limit=100))
        work = FileWork(
            cut.around(self.store.attachments),
            cut.around(self.objects),
            Judge(self.objects, self.scanner, self.store.attachments, Limits()),
            cut.around(teller),
            watch=Watch(self.scanner, scans),
            at_once=2,
        )
        for job in [*await scans.take_over(10, 0), *await scans.take(10)]:
            await work.do(job)
            await cut.around(scans).done(job)

    async def left(self, file: StoredAttachment) -> dict[str, Any]:
        """Everything that the work on a file leaves, but for moments of time and random ids."""
        found = await self.store.attachments.get(file.attachment_id)
        assert found is not None
        clean, thumbnail = [await self.objects.clean.head(key) for key in (found.clean_key, found.thumbnail_key)]
        return {
            "verdict": (found.version, found.status, found.reason, found.served_type, found.width, found.thumbnail),
            "to be seen": found.check_ms is not None,
            "served": (clean.size, clean.content_type) if clean else None,
            "thumbnail": (thumbnail.size, thumbnail.content_type) if thumbnail else None,
            "in quarantine": await self.objects.quarantine.head(found.quarantine_key),
            "told": {(one.client_op_id[-2:], one.carried == carried(found)) for one in await self._told(file)},
            "queue": (await Scans(self.redis).depth()).entries,
        }

    async def _told(self, file: StoredAttachment) -> list[SetAttachment]:
        names = self.settings.names
        streams = [
            await self.redis.command("XRANGE", names.intents(number), "-", "+") for number in range(names.partitions)
        ]
        intents = [decode_intent(fields[1]) for entries in streams for _, fields in entries]
        return [one for one in intents if isinstance(one, SetAttachment) and one.message_id == file.message_id]


@pytest.fixture
async def bench(file_settings: Settings) -> AsyncIterator[Bench]:
    redis, store = await Redis.open(file_settings), await Store.open(file_settings)
    scanner = await Scanner.open(file_settings)
    assert scanner is not None
    async with opened(file_settings) as objects:
        yield Bench(file_settings, redis, store, objects, scanner)
    await redis.close()
    await store.close()


PICTURE = saved(halves(1200, 800), "PNG")


@pytest.mark.parametrize("before", [False, True], ids=["after it", "before it"])
@pytest.mark.parametrize(
    ("content", "media", "sent", "steps"),
    [
        (PICTURE, "image/png", True, "get begin_scan promote sha256 put_stream excuse_scan change tell delete done"),
        (PICTURE, "image/png", False, "get begin_scan promote sha256 put_stream excuse_scan change delete done"),
        (EICAR, "text/plain", True, "get begin_scan excuse_scan change tell delete delete delete done"),
    ],
    ids=["a picture in a message", "a picture in none yet", "a virus in a message"],
)
async def test_work_that_was_cut_at_any_step_ends_as_if_it_was_not(
    bench: Bench, *, content: bytes, media: str, sent: bool, steps: str, before: bool
) -> None:
    """C12: the verdict is written once, told, and nothing is left in quarantine or in the queue."""
    whole, uncut = Cut(), await bench.uploaded(content, media, sent=sent)
    await bench.process(whole)
    assert whole.done == steps.split()
    wanted = await bench.left(uncut)
    assert wanted["verdict"][:2] == (3, "infected" if content is EICAR else "clean")
    assert wanted["told"] == ({(":3", True)} if sent else set())
    assert (wanted["in quarantine"], wanted["queue"]) == (None, 0)
    for number, step in enumerate(whole.done, start=1):
        file = await bench.uploaded(content, media, sent=sent)
        with pytest.raises(Killed, match=step):
            await bench.process(Cut(number, before))
        await bench.process(Cut())
        assert await bench.left(file) == wanted, f"cut at {step}"


async def test_a_process_that_is_killed_each_time_it_scans_is_not_killed_for_ever(bench: Bench) -> None:
    """B1: after as many attempts as are made, nobody can tell what is in the file, and it is let go."""
    file = await bench.uploaded(b"hello", "text/plain", sent=True)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Killed, match="begin_scan"):
            await bench.process(Cut(2))
    await bench.process(Cut())
    left = await bench.left(file)
    assert left["verdict"][:3] == (3, "unscannable", "attempts")
    assert (left["served"], left["in quarantine"], left["queue"]) == (None, None, 0)
