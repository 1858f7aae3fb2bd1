"""Leases: one owner at a time, tokens that fence, and who lives."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from backplane.errors import Fenced
from backplane.leases import Leases
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.streams import Partition
from schemas.stages import STAGES

pytestmark = pytest.mark.anyio

PERSIST = STAGES["persist"]


@pytest.fixture
async def client(redis_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    yield redis
    await redis.close()


async def soon(leases: Leases, partition: int) -> str:
    async with asyncio.timeout(10):
        while (token := await leases.acquire(partition)) is None:  # noqa: ASYNC110  what is polled is the outside world
            await asyncio.sleep(0.01)
    return token


async def test_only_one_worker_holds_a_partition_and_stages_are_apart(client: Redis) -> None:
    one, other = (Leases(client, PERSIST, name, lease_ms=60_000) for name in ("one", "other"))
    assert await one.acquire(1) is not None
    assert await other.acquire(1) is None
    assert await other.acquire(2) is not None
    assert await Leases(client, STAGES["fanout"], "other", lease_ms=60_000).acquire(1) is not None
    assert await one.owners() == {1: "one", 2: "other"}


async def test_a11_a_token_is_new_at_each_acquisition_also_by_the_same_worker(client: Redis) -> None:
    """A11"""
    leases = Leases(client, PERSIST, "one", lease_ms=60_000)
    tokens = [await leases.acquire(0) for _ in range(5)]
    assert None not in tokens
    assert len(set(tokens)) == 5
    *old, newest = tokens
    for token in old:
        assert token is not None
        assert not await leases.renew(0, token)
        with pytest.raises(Fenced):
            await Partition(client, PERSIST, 0, token).fetch(1)
    assert newest is not None
    assert await leases.renew(0, newest)


async def test_a11_tokens_do_not_repeat_after_redis_forgot_everything(client: Redis) -> None:
    """A11"""
    leases = Leases(client, PERSIST, "one", lease_ms=60_000)
    before = await leases.acquire(0)
    assert before is not None
    await client.command("DEL", client.names.lease(0, "persist"), client.names.token(0, "persist"))
    other = Leases(client, PERSIST, "other", lease_ms=60_000)
    assert await other.acquire(0) != before
    assert not await leases.renew(0, before)
    with pytest.raises(Fenced):
        await Partition(client, PERSIST, 0, before).settle([], None)


async def test_a_lease_ends_by_itself_and_its_late_owner_may_renew_only_while_nobody_took_it(client: Redis) -> None:
    short, other = Leases(client, PERSIST, "short", lease_ms=1), Leases(client, PERSIST, "other", lease_ms=60_000)
    token = await short.acquire(0)
    assert token is not None
    async with asyncio.timeout(10):
        while await short.owners():  # noqa: ASYNC110  what is polled is the outside world
            await asyncio.sleep(0.005)
    assert await short.renew(0, token)
    await soon(other, 0)
    assert not await short.renew(0, token)
    assert await other.owners() == {0: "other"}


async def test_a_released_lease_is_free_at_once_and_can_not_be_renewed(client: Redis) -> None:
    one, other = (Leases(client, PERSIST, name, lease_ms=60_000) for name in ("one", "other"))
    token = await one.acquire(0)
    assert token is not None
    await one.release(0, token)
    assert not await one.renew(0, token)
    assert await other.acquire(0) is not None
    await one.release(0, token)
    assert await other.owners() == {0: "other"}, "a late release takes nothing from the successor"


async def test_workers_are_counted_while_they_live_and_not_after_they_retired(client: Redis) -> None:
    one, two = (Leases(client, PERSIST, name, lease_ms=60_000) for name in ("one", "two"))
    brief = Leases(client, PERSIST, "brief", lease_ms=1)
    assert await one.heartbeat() == 1
    assert await two.heartbeat() == 2
    await brief.heartbeat()
    async with asyncio.timeout(10):
        while await one.heartbeat() != 2:  # noqa: ASYNC110  what is polled is the outside world
            await asyncio.sleep(0.005)
    await two.retire()
    assert await one.heartbeat() == 1
