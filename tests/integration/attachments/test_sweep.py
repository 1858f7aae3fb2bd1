"""Each kind of leftover is mended once, at its time, and a second look finds nothing."""

import time
import uuid
from collections.abc import AsyncIterator

import pytest

from backplane.store.attachments import StoredAttachment
from backplane.store.mongo import Store
from consumers.scanning import sweep as sweeping
from consumers.scanning.sweep import LATE_MS, MARGIN_MS, PARTS_MS, Swept
from schemas.ids import AttachmentId, ConversationId, MessageId
from tests.integration.attachments.by_hand import Bench
from tests.integration.attachments.conftest import Sender
from tests.integration.attachments.watching import left_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("storing")]

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
async def nothing_waits(bench: Bench) -> AsyncIterator[None]:
    """After every test all is swept, and the queue is empty."""
    yield
    await drained(bench)
    await bench.sweep(clock=days_later).look()
    assert await bench.sweep(clock=days_later).look() == Swept()


def ago(milliseconds: int) -> int:
    return int(time.time() * 1000) - milliseconds


def days_later() -> float:
    return time.time() + PARTS_MS / 1000 + 60


def soon() -> float:
    return time.time() + MARGIN_MS / 1000 + 5


async def drained(bench: Bench) -> list[str]:
    jobs = await bench.scans.take(100)
    for job in jobs:
        await bench.scans.done(job)
    return [job.attachment_id for job in jobs]


async def clean(bench: Bench, alice: Sender, content: bytes = b"hello") -> str:
    file = await alice.upload(content)
    await bench.do(file)
    assert (await bench.stored(file)).status == "clean"
    await drained(bench)
    return file


async def is_known(store: Store, file: str) -> bool:
    return await store.attachments.get(AttachmentId(file)) is not None


async def is_forgotten_in_an_hour(bench: Bench, file: str) -> bool:
    """Nothing more than that becomes of it."""
    assert await is_known(bench.store, file)
    later = bench.sweep(clock=lambda: time.time() + LATE_MS / 1000 + 5, loose_seconds=10**6)
    assert await later.look() == Swept()
    return not await is_known(bench.store, file)


async def test_a_file_that_no_message_holds_is_deleted_in_the_end(bench: Bench, alice: Sender) -> None:
    old, young = await clean(bench, alice), await clean(bench, alice)
    announced = (await alice.announce(b"never came"))["attachment_id"]
    for file in (old, announced):
        await bench.change(file, loose_ms=ago(HOUR_MS))
    assert await bench.sweep().look() == Swept(loose=2, gone=2)
    for file in (old, announced):
        assert await left_of(bench.objects, file, alice.user_id) == []
    assert await bench.sweep().look() == Swept()
    assert await is_forgotten_in_an_hour(bench, old)
    assert not await is_known(bench.store, announced)
    assert (await alice.fetch(young)).content == b"hello"


async def test_a_file_that_a_message_holds_is_not_loose(bench: Bench, alice: Sender, bob: Sender) -> None:
    file = await clean(bench, alice)
    await bench.change(file, loose_ms=ago(HOUR_MS))
    assert (await alice.send(await alice.group(bob), file)).status_code == 201
    assert await bench.sweep().look() == Swept()
    assert (await bob.fetch(file)).content == b"hello"


async def test_a_file_that_the_queue_has_forgotten_is_asked_for_again(bench: Bench, alice: Sender) -> None:
    lost, young = await alice.upload(b"lost"), await alice.upload(b"young")
    assert await drained(bench) == [lost, young]
    await bench.change(lost, queued_ms=ago(HOUR_MS))
    assert await bench.sweep().look() == Swept(lost=1)
    assert await bench.sweep().look() == Swept(), "once an hour is enough"
    assert await drained(bench) == [lost]


async def test_a_file_that_only_waits_for_long_is_not_asked_for_again(bench: Bench, alice: Sender) -> None:
    waiting = await alice.upload(b"waiting")
    (job,) = await bench.scans.take(1)
    sweep = bench.sweep(clock=lambda: time.time() + 3600, loose_seconds=10**6)
    assert await sweep.look() == Swept()
    assert (await bench.stored(waiting)).status == "pending"
    await bench.scans.done(job)
    assert await sweep.look() == Swept(lost=1)


async def test_a_message_that_was_not_told_is_told(bench: Bench, alice: Sender, bob: Sender) -> None:
    room = await alice.group(bob)
    file = await alice.upload(b"hello")
    await alice.send(room, file)
    await drained(bench)
    await bench.change(file, status="unscannable", reason="too_slow", check_ms=ago(HOUR_MS))
    assert (await bob.page(room))[0]["attachments"][0]["status"] == "pending"
    assert await bench.sweep().look() == Swept(untold=1)
    (message,) = await bob.page_until(room, lambda found: found[0]["attachments"][0]["status"] == "unscannable")
    assert message["attachments"][0]["reason"] == "too_slow"
    assert await bench.sweep().look() == Swept()
    assert (await bench.stored(file)).check_ms is None, "it was seen that the message shows it"


async def test_a_mark_is_taken_off_once_the_message_shows_what_is_known(
    bench: Bench, alice: Sender, bob: Sender
) -> None:
    file = await clean(bench, alice)
    await alice.send(await alice.group(bob), file)
    assert (await bench.stored(file)).check_ms is not None
    await bench.sweep().look()
    assert (await bench.stored(file)).check_ms is not None, "a minute for what is under way"
    await bench.change(file, check_ms=ago(HOUR_MS))
    assert await bench.sweep().look() == Swept()
    assert (await bench.stored(file)).check_ms is None


async def test_a_file_of_a_message_that_never_came_is_deleted(bench: Bench, alice: Sender) -> None:
    file, waiting = await clean(bench, alice), await clean(bench, alice)
    for one, since in ((file, HOUR_MS), (waiting, 300_000)):
        message, room = MessageId(str(uuid.uuid4())), ConversationId(str(uuid.uuid4()))
        await bench.change(one, message_id=message, conversation_id=room, loose_ms=None, check_ms=ago(since))
    await bench.sweep().look()
    assert await left_of(bench.objects, file, alice.user_id) == []
    assert await left_of(bench.objects, waiting, alice.user_id) != []
    assert await is_forgotten_in_an_hour(bench, file)


async def test_a_deleted_messages_files_are_deleted(bench: Bench, alice: Sender, bob: Sender) -> None:
    file = await clean(bench, alice)
    sent = await alice.send(await alice.group(bob), file)
    assert (
        await alice("DELETE", f"/api/messages/{sent.json()['message_id']}", key=str(uuid.uuid4()))
    ).status_code < 300
    assert (await bob("GET", f"/api/attachments/{file}/content")).json()["code"] == "attachment_gone"
    assert await bench.sweep().look() == Swept(gone=1)
    assert await left_of(bench.objects, file, alice.user_id) == []
    assert (await bob("GET", f"/api/attachments/{file}/content")).json()["code"] == "attachment_gone"
    assert await is_forgotten_in_an_hour(bench, file)
    assert (await bob("GET", f"/api/attachments/{file}/content")).json()["code"] == "not_found"


async def test_a_file_that_its_sender_let_go_of_is_deleted(bench: Bench, alice: Sender) -> None:
    file = await clean(bench, alice)
    await alice("DELETE", f"/api/attachments/{file}")
    assert await bench.sweep().look() == Swept(gone=1)
    assert await left_of(bench.objects, file, alice.user_id) == []
    assert await is_forgotten_in_an_hour(bench, file)


async def test_what_s3_copied_late_is_deleted_too(bench: Bench, alice: Sender) -> None:
    """A copy was asked for and given up, its file was withdrawn and its objects deleted: then S3 makes the copy."""
    file = await alice.upload(b"hello")
    await drained(bench)
    stored = await bench.stored(file)
    await bench.change(file, gone_ms=ago(0), loose_ms=None)
    assert await bench.sweep().look() == Swept(gone=1)
    await bench.put(stored.quarantine_key, b"hello")
    there = await bench.objects.quarantine.head(stored.quarantine_key)
    assert there is not None
    await bench.objects.promote(stored.quarantine_key, there.etag, stored.clean_key, "text/plain")
    assert await left_of(bench.objects, file, alice.user_id) != []
    assert (await alice("GET", f"/api/attachments/{file}/content")).json()["code"] == "attachment_gone"
    assert await is_forgotten_in_an_hour(bench, file)
    assert await left_of(bench.objects, file, alice.user_id) == []


async def test_a_message_that_was_deleted_soon_after_its_verdict_changes_nothing_of_that(
    bench: Bench, alice: Sender, bob: Sender
) -> None:
    """Its file is still to be checked against the message when it is withdrawn."""
    file = await alice.upload(b"hello")
    sent = await alice.send(await alice.group(bob), file)
    await bench.do(file)
    await drained(bench)
    assert (
        await alice("DELETE", f"/api/messages/{sent.json()['message_id']}", key=str(uuid.uuid4()))
    ).status_code < 300
    assert (await bench.stored(file)).check_ms is not None
    assert await bench.sweep().look() == Swept(gone=1)
    assert await bench.sweep(clock=soon).look() == Swept()
    stored = await bench.stored(file)
    assert (stored.check_ms, stored.cleared) == (None, True)
    assert await is_forgotten_in_an_hour(bench, file)


async def test_what_was_withdrawn_is_not_looked_for_in_the_queue(bench: Bench, alice: Sender) -> None:
    withdrawn, lost = await alice.upload(b"withdrawn"), await alice.upload(b"lost")
    await drained(bench)
    for file in (withdrawn, lost):
        await bench.change(file, queued_ms=ago(HOUR_MS))
    await alice("DELETE", f"/api/attachments/{withdrawn}")
    assert (await bench.sweep().look()).lost == 1
    assert await drained(bench) == [lost]


async def test_all_that_is_withdrawn_goes_at_one_look(
    bench: Bench, alice: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 2)
    files = [(await alice.announce(b"never came"))["attachment_id"] for _ in range(5)]
    for file in files:
        await bench.change(file, gone_ms=ago(HOUR_MS), loose_ms=None)
    assert await bench.sweep().look() == Swept(gone=5)


async def test_what_lies_in_quarantine_and_is_waited_for_by_nobody_is_deleted(bench: Bench, alice: Sender) -> None:
    done, waiting = await clean(bench, alice), await alice.upload(b"waiting")
    keys = [f"{alice.user_id}/{done}", f"{alice.user_id}/{uuid.uuid4()}", "no/such/file"]
    for key in keys:
        await bench.put(key, b"stray")
    later = bench.sweep(clock=soon)
    assert (await bench.sweep().look()).strays == 0, "they are young"
    assert (await later.look(strays=False)).strays == 0
    assert (await later.look()).strays == len(keys)
    assert [await bench.objects.quarantine.head(key) for key in keys] == [None] * len(keys)
    assert await bench.objects.quarantine.head(f"{alice.user_id}/{waiting}") is not None
    assert (await alice.fetch(done)).content == b"hello"


async def test_looks_that_were_cut_off_are_made_up_for(bench: Bench, alice: Sender) -> None:
    """Objects are deleted before what is known of them: so nothing is left that nobody knows of."""
    file = await clean(bench, alice)
    gone: StoredAttachment = await bench.change(file, gone_ms=ago(HOUR_MS), loose_ms=None)
    await bench.objects.clean.delete(gone.clean_key)
    assert await bench.sweep().look() == Swept(gone=1)
    assert await is_forgotten_in_an_hour(bench, file)
