"""Doorbells: what is subscribed is heard, whatever crosses, and a loss is told."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from backplane.doorbells import Doorbells, ring
from backplane.errors import Transient
from backplane.redis import Redis
from backplane.settings import load_settings
from tests.conftest import redis_url
from tests.services import Server, free_port, redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    server = redis_server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def client(own: Server) -> AsyncIterator[Redis]:
    redis = await Redis.open(load_settings({}, environment="development", redis_url=redis_url(own), shards=2))
    yield redis
    await redis.close()


class Ears:
    """Doorbells, and what they told."""

    def __init__(self, redis: Redis, **limits: float) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.lost = 0
        self.doorbells = Doorbells(redis, lambda *ring: self.heard.append(ring), self._count, **limits)

    def _count(self) -> None:
        self.lost += 1


@pytest.fixture
async def ears(client: Redis) -> AsyncIterator[Ears]:
    ears = Ears(client)
    await ears.doorbells.start()
    yield ears
    await ears.doorbells.close()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is polled is the outside world
            await asyncio.sleep(0.01)


async def ring_until_heard(client: Redis, channel: str, payload: bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if await ring(client, channel, payload):
                    return
            except Transient:
                pass
            await asyncio.sleep(0.01)


async def test_what_is_subscribed_is_heard_from_the_acknowledgement_on_and_not_after_the_end(
    client: Redis, ears: Ears
) -> None:
    await ears.doorbells.subscribe("one")
    assert await ring(client, "one", b"1\x00\xff") == 1
    assert await ring(client, "other", b"2") == 0
    await until(lambda: ears.heard == [("one", b"1\x00\xff")])
    await ears.doorbells.unsubscribe("one")
    assert await ring(client, "one", b"3") == 0
    assert ears.lost == 0


async def test_d7_crossing_subscriptions_end_as_the_last_one_says(client: Redis, ears: Ears) -> None:
    """D7"""
    bells = ears.doorbells
    for _ in range(50):
        await bells.subscribe("user")
        async with asyncio.TaskGroup() as crossing:  # the last connection leaves, another one comes
            crossing.create_task(bells.unsubscribe("user"))
            crossing.create_task(bells.subscribe("user"))
        assert await ring(client, "user", b"here") == 1
        async with asyncio.TaskGroup() as crossing:
            crossing.create_task(bells.subscribe("user"))
            crossing.create_task(bells.unsubscribe("user"))
        assert await ring(client, "user", b"gone") == 0


async def test_d7_each_subscriber_waits_for_its_own_acknowledgement(client: Redis, ears: Ears) -> None:
    """D7"""

    async def come(number: int) -> None:
        await ears.doorbells.subscribe(f"user-{number % 100}")
        assert await ring(client, f"user-{number % 100}", b"x") == 1

    await asyncio.gather(*(come(number) for number in range(500)))


async def test_a_killed_connection_is_made_again_with_every_channel_and_told_once(client: Redis, ears: Ears) -> None:
    channels = [f"user-{number}" for number in range(1200)]
    await asyncio.gather(*map(ears.doorbells.subscribe, channels))
    assert await client.command("CLIENT", "KILL", "TYPE", "pubsub") == 1
    await until(lambda: ears.lost == 1)
    # Told only after everything is subscribed again: nothing that rings from now on is missed.
    counted = await client.command("PUBSUB", "SHARDNUMSUB", *channels)
    assert counted[1::2] == [1] * len(channels)
    await ring(client, channels[-1], b"again")
    await until(lambda: (channels[-1], b"again") in ears.heard)
    assert ears.lost == 1


async def test_doorbells_survive_a_restart_of_redis(own: Server, client: Redis, ears: Ears) -> None:
    await ears.doorbells.subscribe("stays")
    await ears.doorbells.subscribe("goes")
    own.kill()
    await asyncio.wait_for(ears.doorbells.unsubscribe("goes"), 30)
    arriving = asyncio.create_task(ears.doorbells.subscribe("new"))
    own.start()
    await arriving
    await until(lambda: ears.lost == 1)
    await ring_until_heard(client, "stays", b"1")
    await ring_until_heard(client, "new", b"2")
    assert await ring(client, "goes", b"3") == 0
    await until(lambda: {("stays", b"1"), ("new", b"2")} <= set(ears.heard))


async def test_a_silent_connection_is_given_up_and_told(own: Server, client: Redis) -> None:
    ears = Ears(client, idle_seconds=0.3)
    await ears.doorbells.start()
    await ears.doorbells.subscribe("user")
    own.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(1.5)  # the fault itself: five times the silence that is borne
    finally:
        own.send(signal.SIGCONT)
    await until(lambda: ears.lost >= 1)
    await ring_until_heard(client, "user", b"again")
    await until(lambda: ("user", b"again") in ears.heard)
    await ears.doorbells.close()


async def test_an_idle_connection_is_not_given_up_while_it_answers(client: Redis) -> None:
    async def asked() -> int:
        found = re.search(rb"cmdstat_ping:calls=(\d+)", await client.command("INFO", "commandstats"))
        return int(found[1]) if found else 0

    ears = Ears(client, idle_seconds=0.5)
    await ears.doorbells.start()
    try:
        await ears.doorbells.subscribe("user")
        before = await asked()
        async with asyncio.timeout(30):
            while await asked() < before + 3:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.05)
        assert await ring(client, "user", b"x") == 1
        await until(lambda: ears.heard == [("user", b"x")])
        assert ears.lost == 0
    finally:
        await ears.doorbells.close()


async def test_a_process_that_stood_still_does_not_take_itself_for_a_silent_connection(client: Redis) -> None:
    ears = Ears(client, idle_seconds=0.4)
    await ears.doorbells.start()
    try:
        await ears.doorbells.subscribe("user")
        for _ in range(3):
            time.sleep(1.5)  # noqa: ASYNC251 - nothing runs meanwhile
            await asyncio.sleep(0.1)
        await ring_until_heard(client, "user", b"x")
        assert ears.lost == 0
    finally:
        await ears.doorbells.close()


async def test_no_acknowledgement_is_transient_and_leaves_no_subscription_behind(tmp_path: Path) -> None:
    server = redis_server(tmp_path / "later")
    server.port = free_port()
    redis = await Redis.open(load_settings({}, environment="development", redis_url=redis_url(server), shards=2))
    ears = Ears(redis, acknowledge_seconds=0.2)
    await ears.doorbells.start()
    with pytest.raises(Transient):
        await ears.doorbells.subscribe("never")
    server.start()
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    await ears.doorbells.subscribe("later")
                except Transient:
                    continue
                break
        assert await ring(redis, "later", b"x") == 1
        assert await ring(redis, "never", b"x") == 0
        await ears.doorbells.close()
        with pytest.raises(Transient):
            await asyncio.wait_for(ears.doorbells.subscribe("closed"), 5)
    finally:
        await ears.doorbells.close()
        await redis.close()
        server.kill()
