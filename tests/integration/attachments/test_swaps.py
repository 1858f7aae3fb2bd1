"""An object that is swapped at any moment between its upload and its verdict: what was looked at is served, or nothing."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from backplane.objects.s3 import Objects
from backplane.objects.shapes import ObjectInfo
from backplane.store.attachments import StoredAttachment
from tests.integration.attachments.by_hand import Bench
from tests.integration.attachments.conftest import Sender
from tests.integration.attachments.watching import left_of, watching, when_nothing_is_left
from tests.objects import opened, put, stream
from tests.services import EICAR

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("storing")]

TWIN = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
"""X. Wang, D. Feng, X. Lai, H. Yu, “Collisions for Hash Functions MD4, MD5, HAVAL-128 and RIPEMD” (2004); with six bits changed its MD5 is the same."""
GOOD, EVIL = b"hello".ljust(len(EICAR)), EICAR


class InterruptedCopy(Objects):
    """An object store in which something happens right behind the copy."""

    happening: Callable[[], Awaitable[None]]

    async def promote(self, source_key: str, etag: str, target_key: str, content_type: str) -> ObjectInfo:
        copied = await super().promote(source_key, etag, target_key, content_type)
        await self.happening()
        return copied


@asynccontextmanager
async def nothing_to_be_had(bench: Bench, file: str, owner: Sender, member: Sender) -> AsyncGenerator[None]:
    async with watching(bench.settings, owner, member) as watcher:
        watcher.watch(file, owner)
        await watcher.once_more()
        yield
        await watcher.once_more()
        await when_nothing_is_left(bench.objects, file, owner.user_id)
    assert watcher.got == []


async def sent(alice: Sender, bob: Sender) -> str:
    file = await alice.upload(GOOD)
    assert (await alice.send(await alice.group(bob), file)).status_code == 201
    return file


async def test_swapped_before_the_scan(bench: Bench, alice: Sender, bob: Sender) -> None:
    file = await sent(alice, bob)
    async with nothing_to_be_had(bench, file, alice, bob):
        await put(bench.objects, f"{alice.user_id}/{file}", EVIL)
        await bench.do(file, bench.judge())
    verdict = await bob.verdict(file)
    assert (verdict["status"], verdict["reason"]) == ("error", "changed")


async def test_swapped_between_scan_and_copy(bench: Bench, alice: Sender, bob: Sender) -> None:
    file = await sent(alice, bob)
    async with nothing_to_be_had(bench, file, alice, bob):
        await bench.do(file, bench.interrupted(lambda one: _ignored(put(bench.objects, one.quarantine_key, EVIL))))
    verdict = await bob.verdict(file)
    assert (verdict["status"], verdict["reason"]) == ("error", "changed")


async def test_swapped_between_scan_and_copy_for_one_with_the_same_etag(
    bench: Bench, alice: Sender, bob: Sender
) -> None:
    """An ETag is an MD5, and of those two files can be made that share one."""
    other = bytearray(TWIN)
    for at in (19, 45, 59, 83, 109, 123):
        other[at] ^= 0x80
    file = await alice.upload(TWIN, "a.bin", "application/octet-stream", sha256=None)
    assert (await alice.send(await alice.group(bob), file)).status_code == 201
    async with nothing_to_be_had(bench, file, alice, bob):
        await bench.do(
            file, bench.interrupted(lambda one: _ignored(put(bench.objects, one.quarantine_key, bytes(other))))
        )
    verdict = await bob.verdict(file)
    assert (verdict["status"], verdict["reason"]) == ("error", "changed")


async def test_deleted_between_scan_and_copy(bench: Bench, alice: Sender, bob: Sender) -> None:
    file = await sent(alice, bob)
    async with nothing_to_be_had(bench, file, alice, bob):
        await bench.do(file, bench.interrupted(lambda one: bench.objects.quarantine.delete(one.quarantine_key)))
    verdict = await bob.verdict(file)
    assert (verdict["status"], verdict["reason"]) == ("error", "missing")


async def test_swapped_behind_the_copy_what_was_looked_at_is_served(bench: Bench, alice: Sender, bob: Sender) -> None:
    file = await sent(alice, bob)
    objects = await InterruptedCopy.open(bench.settings)
    objects.happening = lambda: _ignored(put(bench.objects, f"{alice.user_id}/{file}", EVIL))
    await bench.do(file, bench.judge(), objects)
    await objects.close()
    assert (await bob.verdict(file))["status"] == "clean"
    assert (await bob.fetch(file)).content == GOOD
    assert await left_of(bench.objects, file, alice.user_id) == [f"{bench.settings.s3_bucket}/{file}/content"]


async def test_a_form_that_is_used_again_after_the_verdict_changes_nothing(
    bench: Bench, alice: Sender, bob: Sender
) -> None:
    announced = await alice.announce(GOOD, sha256=None)
    file = announced["attachment_id"]
    await alice.post(announced, GOOD)
    await alice.complete(file)
    await bench.do(file, bench.judge())
    assert await alice.post(announced, EVIL) == 204, "the form is still good, and bound to no checksum"
    await bench.do(file, bench.judge())
    assert (await alice.complete(file)).json()["status"] == "clean"
    assert (await alice.fetch(file)).content == GOOD


async def test_a_target_that_is_there_and_something_else_is_not_served(
    bench: Bench, alice: Sender, bob: Sender
) -> None:
    file = await sent(alice, bob)
    async with opened(bench.settings) as objects:
        await objects.clean.put_stream(f"{file}/content", stream(EVIL), "text/plain", len(EVIL))
    async with nothing_to_be_had(bench, file, alice, bob):
        await bench.do(file, bench.judge())
    verdict = await bob.verdict(file)
    assert (verdict["status"], verdict["reason"]) == ("error", "changed")


async def test_withdrawn_and_swept_before_the_copy_nothing_is_left(bench: Bench, alice: Sender) -> None:
    file = await alice.upload(GOOD)

    async def forget_and_upload_again(attachment: StoredAttachment) -> None:
        await bench.forget(attachment)
        await put(bench.objects, attachment.quarantine_key, GOOD)

    await bench.do(file, bench.interrupted(forget_and_upload_again))
    assert await left_of(bench.objects, file, alice.user_id) == []


async def test_a_verdict_is_kept_under_the_signatures_of_its_begin(bench: Bench, alice: Sender) -> None:
    file = await alice.upload(GOOD)
    bench.watch.signatures = "old"

    async def get_newer(_: StoredAttachment) -> None:
        bench.watch.signatures = "new"

    await bench.do(file, bench.interrupted(get_newer))
    stored = await bench.stored(file)
    assert (stored.status, stored.signatures) == ("clean", "old")


async def _ignored(work: Awaitable[str]) -> None:
    await work
