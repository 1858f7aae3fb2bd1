"""The connections: what each failure means for the caller, adoption of a server, and function libraries."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backplane.errors import Permanent, Transient, Unknown
from backplane.redis import Redis, fcall, libraries
from backplane.settings import Settings, load_settings
from tests.conftest import redis_url
from tests.services import Server, free_port, redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, to be stopped, killed and flushed."""
    server = redis_server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


def settings_for(server: Server, **overrides: object) -> Settings:
    return load_settings(
        {}, environment="development", redis_url=redis_url(server), partitions=2, shards=3, **overrides
    )


@pytest.fixture
async def client(own: Server) -> AsyncIterator[Redis]:
    redis = await Redis.open(settings_for(own))
    yield redis
    await redis.close()


async def eras(redis: Redis) -> list[bytes | None]:
    tags = [redis.names.shard_tag(shard) for shard in range(redis.names.shards)]
    return await redis.all([("GET", redis.names.era(tag)) for tag in tags])


async def when_back(redis: Redis) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await redis.ping()
            except Transient:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_server_that_is_away_is_transient_and_nothing_was_sent() -> None:
    redis = await Redis.open(
        load_settings({}, environment="development", redis_url=f"redis://127.0.0.1:{free_port()}/0")
    )
    for append in (True, False):
        with pytest.raises(Transient) as caught:
            await redis.pipeline([("XADD", "s", "*", "i", "x")], append=append)
        assert not isinstance(caught.value, Unknown)
    await redis.close()


async def test_a_server_that_does_not_answer_is_unknown_for_appends_on_an_open_connection(
    own: Server, client: Redis
) -> None:
    await client.pipeline([("XADD", "s", "*", "i", "one")], append=True)
    own.send(signal.SIGSTOP)
    try:
        with pytest.raises(Unknown):
            await client.pipeline([("XADD", "s", "*", "i", "two")], append=True)
        with pytest.raises(
            Transient
        ) as second:  # on a new connection: the greeting is not answered, so nothing was sent
            await client.pipeline([("XADD", "s", "*", "i", "three")], append=True)
        assert not isinstance(second.value, Unknown)
    finally:
        own.send(signal.SIGCONT)
    await when_back(client)
    # The unknown one was done, once: it sat in the server's socket all the time. That is why it is not called failed.
    bodies = [fields[1] for _, fields in await client.command("XRANGE", "s", "-", "+")]
    assert bodies in ([b"one"], [b"one", b"two"])


async def test_a_connection_that_the_server_closed_while_idle_is_replaced_before_anything_is_sent(
    own: Server, client: Redis
) -> None:
    await client.pipeline([("SET", "k", "1")], append=True)
    own.restart()
    await when_back(client)
    assert await client.pipeline([("SET", "k", "2")], append=True) == [b"OK"]


async def test_an_error_of_ours_is_permanent_and_stands_in_its_place_in_a_pipeline(client: Redis) -> None:
    await client.command("SET", "text", "x")
    before, refused, after = await client.pipeline([("GET", "text"), ("INCR", "text"), ("GET", "text")])
    assert (before, after) == (b"x", b"x")
    assert isinstance(refused, Permanent)
    with pytest.raises(Permanent):
        await client.command("INCR", "text")


async def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    listening = redis_server(tmp_path / "unix")
    plain = listening.command
    listening.command = lambda folder, port: [*plain(folder, port), "--unixsocket", str(path)]
    listening.start()
    redis = await Redis.open(load_settings({}, environment="development", redis_url=f"unix://{path}"))
    try:
        assert await redis.ping() > 0
    finally:
        await redis.close()
        listening.kill()


async def test_wrong_credentials_are_permanent(own: Server) -> None:
    redis = await Redis.open(
        load_settings({}, environment="development", redis_url=f"redis://:wrong@127.0.0.1:{own.port}/0")
    )
    with pytest.raises(Permanent):
        await redis.ping()
    await redis.close()


async def test_a_read_only_server_is_transient(own: Server, client: Redis) -> None:
    await client.ping()
    await client.command("REPLICAOF", "127.0.0.1", free_port())
    with pytest.raises(Transient):
        await client.command("SET", "k", "v")
    await client.close()  # whoever connects anew is refused by `adopt`: a replica is no home for anybody
    fresh = await Redis.open(settings_for(own))
    with pytest.raises(Transient):
        await fresh.ping()
    await fresh.close()


async def test_a_cancelled_blocking_read_takes_no_later_reply(client: Redis) -> None:
    reading = asyncio.create_task(client.block("BLPOP", "list", 1, seconds=1))
    async with asyncio.timeout(10):
        while b"blocked_clients:1" not in await client.command("INFO", "clients"):  # noqa: ASYNC110  what is polled is the outside world
            await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await client.command("RPUSH", "list", "late")
    assert await client.block("ECHO", "mine", seconds=1) == b"mine"


async def test_c3_a_missing_library_is_loaded_also_in_the_middle_of_a_connection(client: Redis) -> None:
    """C3"""
    names = client.names
    before = await eras(client)
    await client.command("FUNCTION", "FLUSH")
    assert await client.call("heartbeat", [names.workers("persist")], ["w", 10_000]) == 1
    replies = await client.pipeline(
        [("PING",), fcall("heartbeat", [names.workers("persist")], ["v", 10_000]), ("PING",)]
    )
    assert replies == [b"PONG", 2, b"PONG"]
    assert await eras(client) == before


async def test_c3_a_library_that_is_there_is_not_replaced(own: Server, client: Redis) -> None:
    """C3"""
    other = "#!lua name=hr1_heartbeat\nredis.register_function('hr1_heartbeat', function() return 'theirs' end)"
    newer = "#!lua name=hr2_open\nredis.register_function('hr2_open', function() return 'newer' end)"
    await client.command("FUNCTION", "FLUSH")
    for source in (other, newer):
        await client.command("FUNCTION", "LOAD", source)
    fresh = await Redis.open(settings_for(own))  # finds no `adopt`, so loads whatever is missing
    assert await fresh.call("heartbeat", ["w"], ["me", 1]) == b"theirs"
    assert await fresh.command("FCALL", "hr2_open", 0) == b"newer"
    loaded = {
        library[library.index(b"library_name") + 1].decode() for library in await fresh.command("FUNCTION", "LIST")
    }
    assert loaded == {f"hr1_{name}" for name in libraries()} | {"hr2_open"}
    await fresh.close()


async def test_a5_a_restarted_server_gets_a_new_era_in_every_shard_and_keeps_it_until_the_next_restart(
    own: Server, client: Redis
) -> None:
    """A5"""
    first = await eras(client)
    assert None not in first
    own.restart()
    await when_back(client)
    second = await eras(client)
    assert not set(first) & set(second)
    others = [await Redis.open(settings_for(own)) for _ in range(3)]
    assert [await eras(other) for other in others] == [second] * 3
    for other in others:
        await other.close()


async def test_a5_a_lossless_restart_keeps_the_eras_but_a_flush_does_not(own: Server) -> None:
    """A5"""
    redis = await Redis.open(settings_for(own, redis_lossless_restart=True))
    await redis.command(
        "CONFIG", "SET", "appendfsync", "always"
    )  # what makes it lossless: else a slow disk postpones writes
    first = await eras(redis)
    own.restart()
    await when_back(redis)
    assert await eras(redis) == first
    await redis.command("CONFIG", "SET", "appendfsync", "always")  # or the flush itself is forgotten
    await redis.command("FLUSHALL")
    own.restart()
    await when_back(redis)
    assert None not in await eras(redis)
    assert not set(await eras(redis)) & set(first)
    await redis.close()


async def test_every_function_that_writes_runs_at_the_memory_limit() -> None:
    """B10"""
    for name, source in libraries().items():
        assert "'allow-oom'" in source or "'no-writes'" in source, name
        assert source.startswith(f"#!lua name=hr1_{name}\n")
        assert f"function_name = 'hr1_{name}'" in source
