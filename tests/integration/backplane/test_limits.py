import asyncio
from collections.abc import AsyncIterator

import pytest

from backplane.limits import Buckets, Wish
from backplane.redis import Redis
from backplane.settings import Settings
from schemas.limits import Policy

pytestmark = pytest.mark.anyio

SLOW = Policy("send", "user", 10, 100, "ten at once, one in ten seconds")


@pytest.fixture
async def redis(redis_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    yield redis
    await redis.close()


@pytest.fixture
def key(redis: Redis) -> str:
    return redis.names.other_limit("somebody", "send")


async def test_a_burst_then_a_refusal_that_says_when(redis: Redis, key: str) -> None:
    buckets = Buckets(redis)
    (first,) = await buckets.take([Wish(key, SLOW, 1, 1)])
    assert (first.granted, first.left, first.wait_ms) == (1, 9, 0)
    assert 9_900 < first.full_ms <= 10_000
    (rest,) = await buckets.take([Wish(key, SLOW, 1, 50)])
    assert (rest.granted, rest.left) == (9, 0)  # up to what there is
    (none,) = await buckets.take([Wish(key, SLOW, 1, 1)])
    assert (none.granted, none.left) == (0, 0)
    assert 9_000 < none.wait_ms <= 10_000


async def test_all_buckets_or_none(redis: Redis, key: str) -> None:
    buckets, other = Buckets(redis), f"{key}:other"
    await buckets.take([Wish(key, SLOW, 10, 10)])
    grants = await buckets.take([Wish(other, SLOW, 1, 1), Wish(key, SLOW, 1, 1)])
    assert [(grant.granted, grant.wait_ms > 0) for grant in grants] == [(0, False), (0, True)]
    assert await redis.command("EXISTS", other) == 0


async def test_of_many_who_ask_at_once_as_many_get_as_there_are(redis: Redis, key: str) -> None:
    asked = await asyncio.gather(*(Buckets(redis).take([Wish(key, SLOW, 1, 1)]) for _ in range(40)))
    assert sum(grant.granted for (grant,) in asked) == 10


async def test_it_comes_again_with_time_and_leaves_nothing_behind(redis: Redis, key: str) -> None:
    quick = Policy("send", "user", 2, 1, "two a second")
    buckets = Buckets(redis)
    (grant,) = await buckets.take([Wish(key, quick, 2, 2)])
    assert grant.granted == 2
    (grant,) = await buckets.take([Wish(key, quick, 1, 1)])
    await asyncio.sleep(grant.wait_ms / 1000)
    (grant,) = await buckets.take([Wish(key, quick, 1, 1)])
    assert grant.granted == 1
    await asyncio.sleep(1.1)
    assert await redis.command("EXISTS", key) == 0


async def test_what_is_no_number_there_counts_as_full(redis: Redis, key: str) -> None:
    await redis.command("SET", key, "damaged")
    (grant,) = await Buckets(redis).take([Wish(key, SLOW, 1, 1)])
    assert grant.granted == 1
    await redis.command("DEL", key)
    await redis.command("RPUSH", key, "a list")
    (grant,) = await Buckets(redis).take([Wish(key, SLOW, 1, 1)])
    assert grant.granted == 1
