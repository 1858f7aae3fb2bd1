"""The scan stage (hole D8): work is shared and taken over, what is away is waited for, and one bad file costs nobody else."""

import asyncio
import contextlib
import dataclasses
import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backplane.errors import Transient
from backplane.scanner import Scanner
from backplane.scans import Scans
from backplane.settings import Settings
from consumers.scanning.work import MAX_ATTEMPTS
from schemas.ids import AttachmentId
from tests.integration.attachments.by_hand import Bench
from tests.integration.attachments.conftest import Join, Sender, running
from tests.integration.attachments.fake_clamd import FakeClamd, listening, scanned_by
from tests.integration.attachments.watching import left_of, when_nothing_is_left
from tests.services import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("storing")]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def fake() -> FakeClamd:
    return FakeClamd()


@pytest.fixture
async def faked(file_settings: Settings, fake: FakeClamd) -> AsyncIterator[Settings]:
    """The deployment, with the fake as its scanner."""
    async with listening(fake) as port:
        yield scanned_by(file_settings, port)


@pytest.fixture
async def ours(faked: Settings, bench: Bench) -> Bench:
    """The work by hand, with the fake."""
    scanner = await Scanner.open(faked)
    assert scanner
    return dataclasses.replace(bench, scanner=scanner)


def consumer_process(settings: Settings, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "consumers", "--stages", "scan"],
            cwd=ROOT,
            env=environment(settings),
            stdout=output,
            stderr=output,
        )


def environment(settings: Settings) -> dict[str, str]:
    names = (
        "environment", "redis_url", "mongodb_url", "mongodb_database", "namespace", "partitions", "shards", "s3_url", "s3_access_key",
        "s3_secret_key", "s3_bucket", "s3_quarantine_bucket", "scanner_url", "scan_claim_seconds",
    )  # fmt: skip
    values = {name: getattr(settings, name) for name in names}
    shown = {name: getattr(value, "get_secret_value", lambda value=value: value)() for name, value in values.items()}
    return {"PATH": os.environ["PATH"]} | {f"HEADRACE_{name.upper()}": str(value) for name, value in shown.items()}


async def test_d8_two_processes_share_the_queue_and_each_scans_a_few_at_a_time(
    faked: Settings, fake: FakeClamd, alice: Sender, scans: Scans
) -> None:
    contents = [b"shared %d" % number for number in range(12)]
    fake.holds = set(contents)
    files = [await alice.upload(content) for content in contents]
    settings = faked.model_copy(update={"scans_at_once": 2})
    async with running(settings, "scan"), running(settings, "scan"):
        await fake.holding(4)
        fake.release.set()
        assert {(await alice.verdict(file))["status"] for file in files} == {"clean"}
    assert fake.most_at_once == 4
    assert sorted(fake.scanned) == sorted(contents), "nothing is scanned twice"
    assert await scans.depth() == (0, None)


async def test_d8_what_a_killed_process_was_at_is_taken_over(
    faked: Settings, fake: FakeClamd, alice: Sender, tmp_path: Path
) -> None:
    fake.holds = {b"taken over"}
    file = await alice.upload(b"taken over")
    process = consumer_process(faked, tmp_path / "consumer.log")
    try:
        await fake.holding(1)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
    fake.holds = set()
    async with running(faked, "scan"):
        assert (await alice.verdict(file))["status"] == "clean"
    assert fake.scanned == [b"taken over"] * 2


async def test_d8_long_work_is_renewed_and_so_not_taken_over(
    faked: Settings, fake: FakeClamd, alice: Sender, scans: Scans
) -> None:
    fake.holds = {b"long work"}
    file = await alice.upload(b"long work")
    settings = faked.model_copy(update={"scan_claim_seconds": 3.0})
    async with running(settings, "scan"):
        await fake.holding(1)
        async with running(settings, "scan"):
            loop = asyncio.get_running_loop()
            until = loop.time() + 1.5 * settings.scan_claim_seconds
            while loop.time() < until:
                assert await scans.take_over(1, int(settings.scan_claim_seconds * 1000)) == []
                await asyncio.sleep(0.1)
            assert fake.at_once == 1
            fake.release.set()
            assert (await alice.verdict(file))["status"] == "clean"
    assert fake.scanned == [b"long work"]


async def test_while_the_scanner_is_away_files_wait_and_no_attempt_is_counted(
    file_settings: Settings, fake: FakeClamd, alice: Sender, scans: Scans, bench: Bench
) -> None:
    port = free_port()
    file = await alice.upload(b"patience")
    begun: set[int] = set()
    async with running(scanned_by(file_settings, port), "scan"):
        async with asyncio.timeout(20):
            while not ({0, 1} <= begun and (seen := await scans.seen()) and not seen.up):
                begun.add((await bench.stored(file)).attempts)
        assert begun == {0, 1}, "each is taken back"
        assert (await alice("GET", f"/api/attachments/{file}")).json()["status"] == "pending"
        async with listening(fake, port):
            assert (await alice.verdict(file))["status"] == "clean"
    assert (await bench.stored(file)).attempts == 0, "a scan that ended is none that breaks anything"


async def test_a_file_that_breaks_the_scanner_every_time_is_given_up_and_its_neighbours_are_not(
    faked: Settings, fake: FakeClamd, alice: Sender, ours: Bench
) -> None:
    fake.breaks_on = {b"poison"}
    poison = await alice.upload(b"poison")
    for _ in range(6):
        await ours.store.attachments.begin_scan(AttachmentId(poison))
    neighbours = [await alice.upload(b"neighbour %d" % number) for number in range(8)]
    async with running(faked, "scan"):
        verdict = await alice.verdict(poison)
        assert (verdict["status"], verdict["reason"]) == ("unscannable", "attempts")
        assert {(await alice.verdict(file))["status"] for file in neighbours} == {"clean"}
    assert fake.scanned.count(b"poison") == 4
    assert await ours.scans.depth() == (0, None)


async def test_a_file_that_waits_for_its_turn_is_not_blamed(fake: FakeClamd, alice: Sender, ours: Bench) -> None:
    fake.holds = {b"first"}
    held, waiting = await alice.upload(b"first"), await alice.upload(b"second")
    for _ in range(5):
        await ours.store.attachments.begin_scan(AttachmentId(waiting))
    work = ours.work(at_once=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.do(ours.job(held)))
        await fake.holding(1)
        other = group.create_task(work.do(ours.job(waiting)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(other), 0.2)
        assert (await ours.stored(waiting)).attempts == 5
        fake.release.set()
    assert [(await ours.stored(file)).status for file in (held, waiting)] == ["clean", "clean"]
    assert (await ours.stored(waiting)).attempts == 5


async def test_newer_signatures_withdraw_what_was_clean(
    faked: Settings, fake: FakeClamd, alice: Sender, bob: Sender, ours: Bench
) -> None:
    room = await alice.group(bob)
    good, bad = await alice.upload(b"still good"), await alice.upload(b"known too late")
    assert (await alice.send(room, good, bad)).status_code == 201
    async with running(faked, "scan"):
        assert {(await bob.verdict(file))["status"] for file in (good, bad)} == {"clean"}
        (message,) = await bob.page_until(
            room, lambda found: all(one["status"] == "clean" for one in found[0]["attachments"])
        )
        fake.infected = {b"known too late"}
        for file in (good, bad):
            await ours.scans.add(AttachmentId(file), "rescan")
        (after,) = await bob.page_until(room, lambda found: found[0]["attachments"][1]["status"] == "infected")
    assert after["attachments"][0]["status"] == "clean"
    assert after["attachments"][1]["reason"] == "Bad"
    assert after["rev"] > message["rev"]
    assert (await bob("GET", f"/api/attachments/{bad}/content")).status_code == 410
    await when_nothing_is_left(ours.objects, bad, alice.user_id)
    assert await left_of(ours.objects, good, alice.user_id)


async def test_a_clean_file_that_breaks_a_newer_scanner_is_left_as_it_was(
    faked: Settings, fake: FakeClamd, alice: Sender, ours: Bench
) -> None:
    file = await alice.upload(b"breaks the next one")
    async with running(faked, "scan"):
        assert (await alice.verdict(file))["status"] == "clean"
    for _ in range(7):
        await ours.store.attachments.begin_scan(AttachmentId(file))
    fake.breaks_on = {b"breaks the next one"}
    await ours.scans.add(AttachmentId(file), "rescan")
    async with running(faked, "scan"), asyncio.timeout(20):
        while (await ours.scans.depth()).entries:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.05)
    assert len(fake.scanned) == 4
    assert (await alice.fetch(file)).content == b"breaks the next one"


async def test_the_same_file_is_not_scanned_twice_by_the_same_signatures(
    faked: Settings, fake: FakeClamd, join: Join, scans: Scans
) -> None:
    one, other = await join(), await join()
    fake.infected = {b"known to be bad"}
    for number in (27450, 27451):
        fake.number = number
        async with running(faked, "scan"):
            async with asyncio.timeout(20):
                while not ((seen := await scans.seen()) and seen.signatures == f"1.4.6/{number}"):  # noqa: ASYNC110 - Redis tells nobody
                    await asyncio.sleep(0.02)
            for content, status in ((b"known to be good", "clean"), (b"known to be bad", "infected")):
                for person in (one, other):
                    verdict = await person.verdict(await person.upload(content))
                    assert verdict["status"] == status
                    assert verdict.get("reason") == (None if status == "clean" else "Bad")
    assert fake.scanned == [b"known to be good", b"known to be bad"] * 2


async def test_of_two_verdicts_on_one_content_the_worse_is_kept(fake: FakeClamd, join: Join, ours: Bench) -> None:
    """A signature of the operator's own changes what the scanner says, and not its version."""
    ours.watch.signatures = "1.4.6/1"
    people = [await join() for _ in range(3)]
    files = [await person.upload(b"good until today") for person in people[:2]]
    for file in files:
        await ours.do(file)
    fake.infected = {b"good until today"}
    await ours.do(files[1], kind="rescan")
    verdict = await people[2].verdict(await judged(ours, people[2], b"good until today"))
    assert (verdict["status"], verdict["reason"]) == ("infected", "Bad")


async def judged(ours: Bench, person: Sender, content: bytes) -> str:
    file = await person.upload(content)
    await ours.do(file)
    return file


async def test_trouble_of_the_machine_itself_is_not_the_files(
    fake: FakeClamd, alice: Sender, ours: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for temporary files, no descriptors: it waits, as when the scanner is away."""
    file = await alice.upload(b"fine")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", full)
        for _ in range(MAX_ATTEMPTS + 1):
            with pytest.raises(Transient, match="No space left"):
                await ours.do(file)
    assert (await ours.stored(file)).attempts == 0
    await ours.do(file)
    assert (await ours.stored(file)).status == "clean"


async def test_a_known_file_is_looked_at_all_the_same(fake: FakeClamd, alice: Sender, ours: Bench) -> None:
    """Its digest is what its sender says: that it is the same file is seen at its end."""
    ours.watch.signatures = "1.4.6/1"
    good = await alice.upload(b"good")
    await ours.do(good)
    announced = await alice.announce(b"good")
    await ours.put(f"{alice.user_id}/{announced['attachment_id']}", b"evil")
    await alice.complete(announced["attachment_id"])
    await ours.do(announced["attachment_id"])
    verdict = await alice.verdict(announced["attachment_id"])
    assert (verdict["status"], verdict["reason"]) == ("error", "wrong_checksum")
    assert fake.scanned == [b"good"]
