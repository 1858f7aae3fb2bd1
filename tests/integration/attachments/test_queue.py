"""The queue of scans (backplane/scans.py) on a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from backplane.redis import Redis
from backplane.scans import Job, ScannerSeen, Scans
from backplane.settings import Settings
from schemas.ids import AttachmentId, StreamId

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000


@pytest.fixture
async def redis_client(redis_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    yield redis
    await redis.close()


@pytest.fixture
def scans(redis_client: Redis) -> Scans:
    return Scans(redis_client)


def files(jobs: list[Job]) -> list[str]:
    return [job.attachment_id for job in jobs]


async def add(scans: Scans, *names: str) -> None:
    for name in names:
        await scans.add(AttachmentId(name))


async def test_each_entry_is_taken_by_one(scans: Scans, redis_client: Redis) -> None:
    await add(scans, *"abcdef")
    other = Scans(redis_client)
    taken = await asyncio.gather(*[one.take(2) for one in (scans, other, scans, other)])
    assert sorted(files([job for jobs in taken for job in jobs])) == list("abcdef")
    assert await scans.take(10) == []


async def test_a_rescan_is_one(scans: Scans) -> None:
    await scans.add(AttachmentId("a"), "rescan")
    assert [job.kind for job in await scans.take(1)] == ["rescan"]


async def test_nothing_is_taken_from_a_queue_that_was_never_made(scans: Scans) -> None:
    assert await scans.take(1) == []
    assert await scans.take_over(1, 1) == []
    assert await scans.depth() == (0, None)


async def test_only_what_was_left_for_so_long_is_taken_over(scans: Scans) -> None:
    await add(scans, "a", "b")
    await scans.take(2)
    assert await scans.take_over(10, HOUR_MS) == []
    assert sorted(files(await scans.take_over(10, 0))) == ["a", "b"]


async def test_what_is_given_back_is_taken_over_at_once_and_the_rest_is_not(scans: Scans) -> None:
    await add(scans, "a", "b")
    first, _ = await scans.take(2)
    await scans.release([first], HOUR_MS)
    assert files(await scans.take_over(10, HOUR_MS)) == ["a"]
    assert await scans.take_over(10, HOUR_MS) == [], "whoever took it over has its claim now"


async def test_what_is_renewed_is_nobody_elses(scans: Scans) -> None:
    await add(scans, "a", "b")
    first, second = await scans.take(2)
    await scans.release([first, second], HOUR_MS)
    await scans.renew([first])
    assert await scans.take_over(10, HOUR_MS) == [second]
    await scans.renew([])


async def test_taking_over_goes_past_what_is_held(scans: Scans) -> None:
    names = [f"{number:03}" for number in range(60)]
    await add(scans, *names)
    jobs = await scans.take(60)
    await scans.release(jobs[-1:], HOUR_MS)
    assert files(await scans.take_over(2, HOUR_MS)) == ["059"]


async def test_what_is_done_is_gone(scans: Scans) -> None:
    await add(scans, "a")
    (job,) = await scans.take(1)
    for _ in range(2):
        await scans.done(job)
    await scans.renew([job])
    await scans.release([job], HOUR_MS)
    assert await scans.take_over(10, 0) == []
    assert await scans.depth() == (0, None)


async def test_the_depth_counts_what_waits_and_what_is_worked_on(scans: Scans) -> None:
    await add(scans, "a", "b", "c")
    first, second = await scans.take(2)
    assert await scans.depth() == (3, first.id.ms)
    await scans.done(first)
    assert await scans.depth() == (2, second.id.ms)


async def test_a_queue_that_redis_has_forgotten_is_made_anew(scans: Scans, redis_client: Redis) -> None:
    await add(scans, "a")
    (old,) = await scans.take(1)
    await redis_client.command("FLUSHALL")
    await scans.done(old)
    assert await scans.take_over(1, 0) == []
    await add(scans, "b")
    assert files(await scans.take(10)) == ["b"]


async def test_entries_that_were_there_before_the_group_are_taken(scans: Scans, redis_client: Redis) -> None:
    await add(scans, "a")
    await redis_client.command("XGROUP", "DESTROY", redis_client.names.scans(), "scan")
    await add(scans, "b")
    assert sorted(files(await scans.take(10))) == ["a", "b"]


async def test_an_entry_that_is_none_has_no_file(scans: Scans, redis_client: Redis) -> None:
    await redis_client.command("XADD", redis_client.names.scans(), "*", "other", "thing")
    (job,) = await scans.take(1)
    assert (job.attachment_id, job.kind) == ("", "scan")
    await scans.done(job)


async def test_a_wait_ends_with_news_and_without(scans: Scans) -> None:
    async with asyncio.timeout(10):
        await scans.wait(50)
        waiting = asyncio.create_task(scans.wait(2000))
        await asyncio.sleep(0)
        await add(scans, "a")
        await waiting
    assert files(await scans.take(1)) == ["a"], "waiting takes nothing"


async def test_a_turn_is_one_callers(scans: Scans, redis_client: Redis) -> None:
    assert await scans.turn(60)
    assert not await Scans(redis_client).turn(60)
    await redis_client.command("DEL", redis_client.names.sweeping())
    assert await scans.turn(0.001)
    async with asyncio.timeout(10):
        while not await scans.turn(60):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.001)


async def test_what_was_heard_of_the_scanner_is_told_for_a_while(scans: Scans, redis_client: Redis) -> None:
    assert await scans.seen() is None
    seen = ScannerSeen(up=True, seen_ms=5, signatures="1.4.6/27450", built_ms=3)
    await scans.note(seen)
    assert await scans.seen() == seen
    assert 0 < int(await redis_client.command("TTL", redis_client.names.scanner())) <= 120
    await redis_client.command("SET", redis_client.names.scanner(), "{")
    assert await scans.seen() is None


async def test_ids_are_of_redis(scans: Scans) -> None:
    await add(scans, "a")
    (job,) = await scans.take(1)
    assert StreamId.parse(str(job.id)) == job.id
