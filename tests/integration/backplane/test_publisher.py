"""Publishing what may be lost: in order, bounded, and dropped while Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from backplane.doorbells import Doorbells
from backplane.publisher import Publisher
from backplane.redis import Redis
from backplane.settings import Settings
from tests.conftest import redis_url
from tests.services import redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def heard() -> asyncio.Queue[bytes]:
    return asyncio.Queue()


@pytest.fixture
async def client(redis_settings: Settings, heard: asyncio.Queue[bytes]) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    doorbells = Doorbells(redis, lambda _, payload: heard.put_nowait(payload), lambda: None)
    await doorbells.start()
    await doorbells.subscribe("room")
    yield redis
    await doorbells.close()
    await redis.close()


async def next_of(heard: asyncio.Queue[bytes]) -> bytes:
    async with asyncio.timeout(20):
        return await heard.get()


async def test_what_is_put_is_heard_in_order(client: Redis, heard: asyncio.Queue[bytes]) -> None:
    publisher = Publisher(client)
    await publisher.start()
    for number in range(500):
        assert publisher.put("room", b"%d" % number)
    assert [await next_of(heard) for _ in range(500)] == [b"%d" % number for number in range(500)]
    await publisher.close()


async def test_more_than_may_wait_is_refused(client: Redis, heard: asyncio.Queue[bytes]) -> None:
    publisher = Publisher(client, waiting=3)
    assert [publisher.put("room", b"%d" % number) for number in range(5)] == [True, True, True, False, False]
    await publisher.start()
    assert [await next_of(heard) for _ in range(3)] == [b"0", b"1", b"2"]
    await publisher.close()


async def test_what_waits_while_redis_is_away_is_dropped_and_what_comes_afterwards_is_heard(
    redis_settings: Settings, heard: asyncio.Queue[bytes], tmp_path: Path
) -> None:
    server = redis_server(tmp_path)
    server.start()
    redis = await Redis.open(redis_settings.model_copy(update={"redis_url": SecretStr(redis_url(server))}))
    restored = asyncio.Event()
    doorbells = Doorbells(redis, lambda _, payload: heard.put_nowait(payload), restored.set)
    await doorbells.start()
    await doorbells.subscribe("room")
    publisher = Publisher(redis, waiting=3)
    await publisher.start()
    try:
        server.kill()
        assert all(publisher.put("room", b"lost") for _ in range(3))
        async with asyncio.timeout(20):
            while not publisher.put("room", b"late"):  # noqa: ASYNC110 - what waits is dropped once Redis refuses
                await asyncio.sleep(0.01)
        server.start()
        async with asyncio.timeout(20):
            await restored.wait()
            told: list[bytes] = []  # the late one, too, if it was tried just when Redis was there again
            while b"heard" not in told:
                publisher.put("room", b"heard")
                await asyncio.sleep(0.01)
                while not heard.empty():
                    told.append(heard.get_nowait())
        assert b"lost" not in told
    finally:
        await publisher.close()
        await doorbells.close()
        await redis.close()
        server.kill()
