"""`headrace attachments` on a real deployment."""

import asyncio
import json
import time
import uuid

from backplane.redis import Redis
from backplane.scans import Job, ScannerSeen, Scans
from backplane.store.attachments import StoredAttachment
from backplane.store.mongo import Store
from schemas.ids import AttachmentId, MessageId, UserId
from tests.integration.cli.conftest import Deployment
from tests.integration.cli.test_users import People, headrace, with_people

LONG_AGO_MS = time.time_ns() // 1_000_000 - 3_600_000


def now_ms() -> int:
    """Not once for all: minutes may pass before a test begins."""
    return time.time_ns() // 1_000_000


def a_file(deployment: Deployment, **more: object) -> str:
    file = StoredAttachment(
        **{
            "attachment_id": AttachmentId(str(uuid.uuid4())),
            "owner_id": UserId("ann"),
            "name": "a.txt",
            "content_type": "text/plain",
            "size": 3,
            "created_ms": LONG_AGO_MS,
            "status": "pending",
            "queued_ms": LONG_AGO_MS,
            **more,
        }
    )

    async def work(store: Store) -> None:
        await store.migrate(deployment.settings.names)
        await store.attachments.create(file)

    deployment.with_store(work)
    return file.attachment_id


def with_scans(deployment: Deployment, work) -> object:
    async def run() -> object:
        redis = await Redis.open(deployment.settings)
        try:
            return await work(Scans(redis))
        finally:
            await redis.close()

    return asyncio.run(run())


def ids(rows: list[dict]) -> set[str]:
    return {row["attachment_id"] for row in rows}


def test_ls_lists_them_by_status(deployment: Deployment) -> None:
    pending, clean = a_file(deployment), a_file(deployment, status="clean", queued_ms=now_ms())
    announced = a_file(deployment, status="uploading", queued_ms=0, loose_ms=LONG_AGO_MS)
    assert ids(deployment.json("attachments", "ls")) == {pending, clean}
    assert ids(deployment.json("attachments", "ls", "--status", "clean")) == {clean}
    assert ids(deployment.json("attachments", "ls", "--status", "uploading")) == {announced}
    assert len(deployment.json("attachments", "ls", "--limit", "1")) == 1
    assert "a.txt" in deployment.run("attachments", "ls").stdout


def test_what_is_stuck_is_shown_with_why(deployment: Deployment) -> None:
    a_file(deployment, queued_ms=now_ms())  # has just come
    a_file(deployment, status="clean")
    waits, breaks = a_file(deployment), a_file(deployment, attempts=7)
    untold = a_file(deployment, status="clean", message_id=MessageId("m"), check_ms=LONG_AGO_MS)
    gone = a_file(deployment, status="clean", gone_ms=LONG_AGO_MS)
    a_file(deployment, gone_ms=now_ms())  # withdrawn while it waited
    why = {row["attachment_id"]: row["why"] for row in deployment.json("attachments", "ls", "--stuck")}
    assert why.keys() == {waits, breaks, untold, gone}
    assert "headrace doctor" in why[waits]
    assert "7 times" in why[breaks]
    assert "message" in why[untold]
    assert "withdrawn" in why[gone]
    assert ids(deployment.json("attachments", "ls", "--stuck", "--older", "7200")) == set()


def test_rescan_asks_for_clean_files_of_other_signatures_and_only_when_told_to(deployment: Deployment) -> None:
    old = a_file(deployment, status="clean", signatures="1.4/1")
    a_file(deployment, status="clean", signatures="1.4/2", queued_ms=now_ms())
    infected = a_file(deployment, status="infected")
    with_scans(deployment, lambda scans: scans.note(ScannerSeen(True, now_ms(), "1.4/2")))
    assert deployment.json("attachments", "rescan", "--outdated") == [{"clean": 1, "asked": 0, "signatures": "1.4/2"}]
    assert with_scans(deployment, lambda scans: scans.take(10)) == []
    assert deployment.json("attachments", "rescan", "--outdated", "--execute")[0]["asked"] == 1
    assert deployment.json("attachments", "rescan", old, infected, "--execute")[0]["asked"] == 1
    jobs: list[Job] = with_scans(deployment, lambda scans: scans.take(10))  # type: ignore[assignment]
    assert [(job.attachment_id, job.kind) for job in jobs] == [(old, "rescan"), (old, "rescan")]


def test_rescan_wants_to_know_which(deployment: Deployment) -> None:
    assert deployment.run("attachments", "rescan").returncode == 2
    assert deployment.run("attachments", "rescan", "--outdated", str(uuid.uuid4())).returncode == 2
    assert "no attachment's id" in deployment.run("attachments", "rescan", "x").stderr


def test_sweep_waits_for_a_consumer_and_says_what_it_found(deployment: Deployment) -> None:
    a_file(deployment)
    done = deployment.run("attachments", "sweep", "--wait", "1")
    assert done.returncode == 1
    assert "stage `scan`" in done.stderr

    async def run() -> None:
        redis = await Redis.open(deployment.settings)
        scans = Scans(redis)
        asking = asyncio.create_task(asyncio.to_thread(deployment.json, "attachments", "sweep"))
        await scans.note_swept({"loose": 2})
        while not asking.done():
            for job in await scans.take(10):
                assert job.kind == "sweep"
                await scans.done(job)
            await asyncio.sleep(0.05)
        assert await asking == [{"loose": 2}]
        await redis.close()

    asyncio.run(run())


def test_the_files_of_an_erased_person_are_withdrawn(deployment: Deployment) -> None:
    async def then(people: People, store: Store) -> None:
        mine = StoredAttachment(
            attachment_id=AttachmentId(str(uuid.uuid4())),
            owner_id=people.ann.user_id,
            name="a.txt",
            content_type="text/plain",
            size=3,
            created_ms=1,
            loose_ms=1,
        )
        await store.attachments.create(mine)
        for more in ((), ("--yes",)):
            done = await headrace(deployment, "users", "erase", people.ann.username, *more, "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["attachments"] == 1
        found = await store.attachments.get(mine.attachment_id)
        assert found is not None
        assert found.gone_ms is not None
        assert found.loose_ms is None

    with_people(deployment, then)
