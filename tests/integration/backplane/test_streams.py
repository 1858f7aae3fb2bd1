"""Partitions: taking, settling, burying and trimming under a token; and the gateways' appends."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backplane.errors import Fenced, Transient, Unknown
from backplane.leases import Leases
from backplane.logs import Delivery, Logs
from backplane.redis import Redis
from backplane.settings import Settings, load_settings
from backplane.streams import Entry, Intents, Partition, Settled, StageLag, lags, memory_ratio
from schemas.events import Event, EventHeader, decode_header
from schemas.ids import ConversationId, StreamId, UserId
from schemas.names import BODY_FIELD, HEADER_FIELD, INTENT_FIELD
from schemas.stages import STAGES
from tests.conftest import redis_url
from tests.services import Server, free_port, redis_server

pytestmark = pytest.mark.anyio

PERSIST, FANOUT = STAGES["persist"], STAGES["fanout"]
DAY = 86400.0


@pytest.fixture
async def client(redis_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    yield redis
    await redis.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    server = redis_server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


def settings_for(server: Server) -> Settings:
    return load_settings({}, environment="development", redis_url=redis_url(server), partitions=2, shards=3)


@pytest.fixture
async def own_client(own: Server) -> AsyncIterator[Redis]:
    redis = await Redis.open(settings_for(own))
    yield redis
    await redis.close()


async def owner(client: Redis, partition: int = 0, stage: str = "persist") -> Partition:
    token = await Leases(client, STAGES[stage], "worker", lease_ms=60_000).acquire(partition)
    assert token is not None
    return Partition(client, STAGES[stage], partition, token)


def event(number: int) -> Event:
    header = EventHeader("message.created", f"c.{number}", ConversationId("c"), number, 0)
    return Event(header, b'"data":%d}' % number)


async def add(client: Redis, *bodies: bytes, partition: int = 0) -> list[StreamId]:
    intents = Intents(client, limit=1000)
    return [await intents.append(partition, body) for body in bodies]


def bodies(entries: list[Entry]) -> list[bytes]:
    return [entry.fields[INTENT_FIELD] for entry in entries]


async def events_of(client: Redis, partition: int = 0) -> list[bytes]:
    return [fields[3] for _, fields in await client.command("XRANGE", client.names.events(partition), "-", "+")]


async def until_back(client: Redis) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await client.ping()
            except Transient:
                await asyncio.sleep(0.02)
            else:
                return


# Taking


async def test_entries_are_taken_in_order_and_stay_pending_until_they_are_settled(client: Redis) -> None:
    first, second, third = await add(client, b"1", b"2", b"3")
    partition = await owner(client)
    assert (await partition.pending(10)).entries == []
    assert bodies((await partition.fetch(2)).entries) == [b"1", b"2"]
    assert bodies((await partition.fetch(2)).entries) == [b"3"]
    assert (await partition.fetch(2)).entries == []
    assert await partition.settle([Settled(first)], first) == 1
    assert [entry.id for entry in (await partition.pending(10)).entries] == [second, third]


async def test_a4_a_stale_owner_takes_nothing_and_its_successor_everything_in_order(client: Redis) -> None:
    """A4"""
    stale = await owner(client)
    await add(client, b"1")
    assert bodies((await stale.fetch(10)).entries) == [b"1"]
    waiting = asyncio.create_task(stale.wait(2000))
    successor = await owner(client)
    assert bodies((await successor.pending(10)).entries) == [b"1"]
    await add(client, b"2", b"3")
    await waiting
    for attempt in (stale.fetch(10), stale.pending(10), stale.settle([], None), stale.attempt(StreamId(1, 1))):
        with pytest.raises(Fenced):
            await attempt
    with pytest.raises(Fenced):
        await stale.trim(max_age_seconds=0, max_entries=1)
    assert bodies((await successor.pending(10)).entries) == [b"1"], "the stale owner's read swallowed nothing"
    assert bodies((await successor.fetch(10)).entries) == [b"2", b"3"]


async def test_a4_waiting_takes_nothing_even_when_it_is_cancelled(client: Redis) -> None:
    """A4"""
    partition = await owner(client)
    await partition.fetch(1)
    for number in range(20):
        waiting = asyncio.create_task(partition.wait(2000))
        await asyncio.sleep(0)
        appended = asyncio.create_task(add(client, b"%d" % number))
        await asyncio.sleep(0.001 * (number % 4))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await appended
        assert (await partition.pending(10)).entries == []
        (entry,) = (await partition.fetch(10)).entries
        assert entry.fields[INTENT_FIELD] == b"%d" % number
        await partition.settle([Settled(entry.id)], entry.id)


async def test_wait_returns_when_something_comes_and_otherwise_after_its_time(client: Redis) -> None:
    partition = await owner(client)
    await partition.wait(2000)  # before the first fetch there may be anything: returns at once
    await partition.fetch(1)
    start = time.monotonic()
    await partition.wait(100)
    assert time.monotonic() - start >= 0.09
    waiting = asyncio.create_task(partition.wait(2000))
    await asyncio.sleep(0)
    await add(client, b"1")
    await waiting
    assert bodies((await partition.fetch(1)).entries) == [b"1"]


async def test_an_entry_that_was_trimmed_while_pending_comes_back_empty(client: Redis) -> None:
    (lost,) = await add(client, b"1")
    partition = await owner(client)
    await partition.fetch(1)
    await client.command("XTRIM", client.names.intents(0), "MAXLEN", 0)
    assert (await partition.pending(10)).entries == [Entry(lost, {})]
    assert await partition.settle([Settled(lost)], lost) == 1


async def test_d6_a_lost_group_goes_on_at_the_cursor(client: Redis) -> None:
    """D6"""
    first, _, _ = await add(client, b"1", b"2", b"3")
    partition = await owner(client)
    await partition.fetch(10)
    await partition.settle([Settled(first)], first)
    await client.command("XGROUP", "DESTROY", client.names.intents(0), "persist")
    assert (await partition.pending(10)).entries == []
    assert bodies((await partition.fetch(10)).entries) == [b"2", b"3"]


async def test_d6_a_cursor_from_beyond_the_stream_passes_over_nothing(client: Redis) -> None:
    """D6"""
    partition = await owner(client)
    await client.command("SET", client.names.cursor(0, "persist"), "99999999999999-0")
    await add(client, b"1")
    assert bodies((await partition.fetch(10)).entries) == [b"1"]


# A server that came back


async def test_a6_a_new_server_under_a_partition_renews_all_shards_once_before_anything_is_read(client: Redis) -> None:
    """A6"""
    names = client.names
    shards = [names.shard_tag(shard) for shard in range(names.shards)]

    async def shard_eras() -> list[bytes]:
        return await client.all([("GET", names.era(tag)) for tag in shards])

    await add(client, b"1")
    era = (await (await owner(client)).fetch(1)).era
    await (await owner(client, 1)).fetch(1)
    born = await shard_eras()
    # As if the partitions' node had come back, and the shards lay on other nodes that did not.
    for partition in (0, 1):
        await client.command("SET", names.run(names.partition_tag(partition)), "another-run")
    for tag in shards:
        await client.command("SET", names.run(tag), "a-run-of-its-own")
    pending = await (await owner(client)).pending(10)
    assert bodies(pending.entries) == [b"1"]
    assert pending.era != era
    renewed = await shard_eras()
    assert not set(renewed) & set(born)
    for tag in shards:
        await client.command("SET", names.run(tag), "a-run-of-its-own")
    await (await owner(client, 1)).fetch(1)
    assert await shard_eras() == renewed, "the second partition of the same server renews nothing again"


async def test_a6_a_restart_changes_the_partition_era_and_loses_every_log(own: Server, own_client: Redis) -> None:
    """A6"""
    logs = Logs(own_client, max_entries=100, epoch_ttl_seconds=3600)
    users = [UserId(f"user-{number}") for number in range(20)]
    for user in users:
        await logs.open(user)
    era = (await (await owner(own_client)).fetch(1)).era
    own.restart()
    await until_back(own_client)
    assert (await (await owner(own_client)).fetch(1)).era != era
    assert await logs.heads(users) == [None] * len(users)


# Settling and burying


async def test_b5_a_settle_that_lands_twice_emits_its_events_once_and_in_order(client: Redis) -> None:
    """B5"""
    ids = await add(client, b"1", b"2")
    partition = await owner(client)
    await partition.fetch(10)
    done = [Settled(ids[0], [event(1), event(2)]), Settled(ids[1], [event(3)])]
    assert await partition.settle(done, ids[1]) == 2
    assert await partition.settle(done, ids[1]) == 0
    assert await events_of(client) == [event(number).body for number in (1, 2, 3)]
    (_, fields), *_ = await client.command("XRANGE", client.names.events(0), "-", "+")
    assert (fields[0], fields[2]) == (HEADER_FIELD, BODY_FIELD)
    assert decode_header(fields[1]) == event(1).header
    assert await client.command("GET", client.names.cursor(0, "persist")) == str(ids[1]).encode()


async def test_b5_a_zombies_settle_is_fenced_and_the_successor_emits(client: Redis) -> None:
    """B5"""
    (entry,) = await add(client, b"1")
    zombie = await owner(client)
    await zombie.fetch(10)
    successor = await owner(client)
    with pytest.raises(Fenced):
        await zombie.settle([Settled(entry, [event(1)])], entry)
    assert await events_of(client) == []
    assert await successor.settle([Settled(entry, [event(1)])], entry) == 1
    assert await events_of(client) == [event(1).body]


async def test_a_settle_that_can_not_emit_acknowledges_nothing(client: Redis) -> None:
    (entry,) = await add(client, b"1")
    partition = await owner(client)
    await partition.fetch(10)
    await client.command("SET", client.names.events(0), "not a stream")
    with pytest.raises(Exception, match="is no stream"):
        await partition.settle([Settled(entry, [event(1)])], entry)
    assert [pending.id for pending in (await partition.pending(10)).entries] == [entry]


async def test_a10_an_entry_is_buried_with_its_story_and_its_events_once(client: Redis) -> None:
    """A10"""
    await add(client, b"poison")
    partition = await owner(client)
    (entry,) = (await partition.fetch(10)).entries
    await partition.attempt(entry.id)
    for _ in range(2):
        await partition.bury(entry, error="ValueError: no", first_ms=17, attempts=5, events=[event(1)])
    assert await events_of(client) == [event(1).body]
    assert (await partition.pending(10)).entries == []
    ((_, words),) = await client.command("XRANGE", client.names.dead(0), "-", "+")
    dead = dict(zip(words[::2], words[1::2], strict=True))
    assert int(dead.pop(b"last_ms")) > 1_700_000_000_000
    assert dead == {
        b"entry": str(entry.id).encode(),
        b"stage": b"persist",
        b"error": b"ValueError: no",
        b"attempts": b"5",
        b"first_ms": b"17",
        INTENT_FIELD: b"poison",
    }
    assert await partition.attempt(entry.id) == 1, "its attempts are forgotten"


async def test_b1_attempts_are_counted_by_us_and_survive_a_hand_over_but_not_a_settle(client: Redis) -> None:
    """B1"""
    innocent, failing = await add(client, b"innocent", b"failing")
    partition = await owner(client)
    await partition.fetch(10)
    for _ in range(5):
        await partition.pending(10)  # reading counts nothing, whatever Redis' own delivery count says
    assert await partition.attempt(failing) == 1
    successor = await owner(client)
    assert [await successor.attempt(failing), await successor.attempt(innocent)] == [2, 1]
    await successor.forget_attempts([innocent])
    assert await successor.attempt(innocent) == 1
    await successor.settle([Settled(failing)], None)
    assert await successor.attempt(failing) == 1


# Trimming


async def test_b14_age_cuts_what_is_settled_and_never_what_is_not(client: Redis) -> None:
    """B14"""
    stream, now_ms = client.names.intents(0), int(time.time() * 1000)
    old = [now_ms - 100_000 + number for number in range(4)]
    for ms in old:
        await client.command("XADD", stream, f"{ms}-0", INTENT_FIELD, "old")
    await add(client, b"young")
    partition = await owner(client)
    assert await partition.trim(max_age_seconds=50, max_entries=1000) == 0, "no group yet: nobody knows what it needs"
    await partition.fetch(3)
    assert await partition.trim(max_age_seconds=50, max_entries=1000) == 0, "all of it is pending or not taken"
    await partition.settle([Settled(StreamId(old[0], 0)), Settled(StreamId(old[2], 0))], None)
    assert await partition.trim(max_age_seconds=50, max_entries=1000) == 1, "up to the first pending entry"
    await partition.settle([Settled(StreamId(old[1], 0))], None)
    assert await partition.trim(max_age_seconds=50, max_entries=1000) == 2, "up to the first that was not taken"
    (entry, *_) = (await partition.fetch(10)).entries
    assert entry.id == StreamId(old[3], 0)


async def test_b14_count_cuts_exactly_and_never_what_is_not_settled(client: Redis) -> None:
    """B14"""
    ids = await add(client, *[b"%d" % number for number in range(30)])
    partition = await owner(client)
    await partition.fetch(20)
    await partition.settle([Settled(entry) for entry in ids[:10]], None)
    assert await partition.trim(max_age_seconds=DAY, max_entries=25) == 5
    assert await partition.trim(max_age_seconds=DAY, max_entries=5) == 5, "ten are pending, ten are not taken"
    assert [entry.id for entry in (await partition.pending(50)).entries] == ids[10:20]
    await partition.settle([Settled(entry) for entry in ids[10:20]], None)
    await partition.fetch(20)
    await partition.settle([Settled(entry) for entry in ids[20:]], None)
    assert await partition.trim(max_age_seconds=DAY, max_entries=5) == 15
    assert await client.command("XLEN", client.names.intents(0)) == 5


async def test_b14_a_group_that_is_not_required_holds_nothing_back(client: Redis) -> None:
    """B14"""
    ids = await add(client, *[b"%d" % number for number in range(10)])
    await client.command("XGROUP", "CREATE", client.names.intents(0), "webhooks", "0")
    partition = await owner(client)
    await partition.fetch(10)
    await partition.settle([Settled(entry) for entry in ids], ids[-1])
    assert await partition.trim(max_age_seconds=DAY, max_entries=2) == 8


async def test_b14_an_unknown_lag_cuts_nothing_by_count(client: Redis) -> None:
    """B14"""
    ids = await add(client, *[b"%d" % number for number in range(10)])
    partition = await owner(client)
    await partition.fetch(2)
    await partition.settle([Settled(entry) for entry in ids[:2]], ids[1])
    await client.command("XDEL", client.names.intents(0), str(ids[5]))  # makes Redis forget how far behind the group is
    assert await partition.trim(max_age_seconds=DAY, max_entries=1) in (0, 2)
    assert len((await partition.fetch(20)).entries) == 7


# Memory


async def test_b10_at_the_memory_limit_only_intents_are_refused(own: Server, own_client: Redis) -> None:
    """B10"""
    client = own_client
    logs, user = Logs(client, max_entries=100, epoch_ttl_seconds=3600), UserId("user")
    shard = client.names.shard_of(user)
    first, second, third = await add(client, b"1", b"2", b"3")
    assert await memory_ratio(client) == 0.0
    await client.command("CONFIG", "SET", "maxmemory", "1000")
    assert await memory_ratio(client) > 1
    with pytest.raises(Transient) as refused:
        await add(client, b"4")
    assert not isinstance(refused.value, Unknown)
    # Everything that drains goes on, also on connections that are made only now.
    fresh = await Redis.open(settings_for(own))
    partition = await owner(fresh)
    fetched = await partition.fetch(2)
    assert await partition.settle([Settled(first, [event(1)])], first) == 1
    assert await partition.attempt(second) == 1
    await partition.bury(fetched.entries[1], error="x", first_ms=0, attempts=1, events=[event(2)])
    assert await partition.trim(max_age_seconds=DAY, max_entries=1) == 2
    await logs.open(user)
    assert await logs.append(0, fetched.era, shard, [Delivery(first, b"body}", [user])]) == 1
    assert (await logs.heads([user]))[0] is not None
    assert [entry.id for entry in (await partition.fetch(5)).entries] == [third]
    await fresh.close()


# Lag


async def test_lag_tells_untaken_pending_and_the_age_of_the_oldest_and_unknown_is_never_zero(client: Redis) -> None:
    async def lag_of(stage: str, partition: int) -> StageLag:
        (found,) = [lag for lag in await lags(client) if (lag.stage, lag.partition) == (stage, partition)]
        return found

    assert await lag_of("persist", 0) == StageLag("persist", 0, 0, 0, 0)
    old_ms = int(time.time() * 1000) - 60_000
    await client.command("XADD", client.names.intents(0), f"{old_ms}-0", INTENT_FIELD, "old")
    assert await lag_of("persist", 0) == StageLag("persist", 0, None, 0, None), "no group: nobody knows"
    partition = await owner(client)
    await partition.pending(1)
    waiting = await lag_of("persist", 0)
    assert (waiting.lag, waiting.pending) == (1, 0)
    assert waiting.oldest_ms is not None
    assert 60_000 <= waiting.oldest_ms < 120_000
    await add(client, b"young")
    await partition.fetch(1)
    taken = await lag_of("persist", 0)
    assert (taken.lag, taken.pending) == (1, 1)
    assert taken.oldest_ms is not None
    assert taken.oldest_ms >= 60_000
    await partition.settle([Settled(StreamId(old_ms, 0))], None)
    (young,) = (await partition.fetch(5)).entries
    await partition.settle([Settled(young.id)], None)
    assert await lag_of("persist", 0) == StageLag("persist", 0, 0, 0, 0)
    assert len(await lags(client)) == len(STAGES) * client.names.partitions


# Intents


async def test_concurrent_appends_share_pipelines_and_keep_their_order(own_client: Redis) -> None:
    intents = Intents(own_client, limit=10_000)
    await intents.append(0, b"first")
    await own_client.command("CONFIG", "RESETSTAT")
    ids = await asyncio.gather(*(intents.append(0, b"%d" % number) for number in range(2000)))
    stats = (await own_client.command("INFO", "stats")).decode()
    reads = int(stats.split("total_reads_processed:")[1].split()[0])
    assert reads < 200, "2 000 appends in a few pipelines"
    assert ids == sorted(ids)
    stored = await own_client.command("XRANGE", own_client.names.intents(0), "-", "+")
    assert [fields[1] for _, fields in stored[1:]] == [b"%d" % number for number in range(2000)]
    assert intents.in_flight == 0


async def test_a_cancelled_caller_leaves_its_neighbours_alone(client: Redis) -> None:
    intents = Intents(client, limit=100)
    tasks = [asyncio.create_task(intents.append(0, b"%d" % number)) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[3], asyncio.CancelledError)
    assert sum(isinstance(answer, StreamId) for answer in answers) == 9
    assert intents.in_flight == 0


async def test_a_frozen_redis_is_unknown_for_what_was_sent_and_transient_for_what_was_not(
    own: Server, own_client: Redis
) -> None:
    intents = Intents(own_client, limit=600)
    await intents.append(0, b"warm")
    own.send(signal.SIGSTOP)
    try:
        tasks = [asyncio.create_task(intents.append(0, b"%d" % number)) for number in range(600)]
        await asyncio.sleep(0)
        assert intents.in_flight == 600
        with pytest.raises(Transient, match="600 intents are in flight") as over:
            await intents.append(0, b"over the bound")
        assert not isinstance(over.value, Unknown)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        own.send(signal.SIGCONT)
    assert [type(answer) for answer in answers] == [Unknown] * 500 + [Transient] * 100
    assert intents.in_flight == 0
    await until_back(own_client)
    stored = [fields[1] for _, fields in await own_client.command("XRANGE", own_client.names.intents(0), "-", "+")]
    assert not set(stored) & {b"%d" % number for number in range(500, 600)}, "what is called not done was not done"
    assert isinstance(await intents.append(0, b"after"), StreamId)


async def test_appends_to_a_redis_that_is_down_fail_at_once_and_work_again_later(tmp_path: Path) -> None:
    server = redis_server(tmp_path / "later")
    server.port = free_port()
    redis = await Redis.open(settings_for(server))
    intents = Intents(redis, limit=100)
    answers = await asyncio.gather(*(intents.append(0, b"x") for _ in range(50)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Transient}
    server.start()
    try:
        await until_back(redis)
        assert isinstance(await intents.append(0, b"y"), StreamId)
    finally:
        await redis.close()
        server.kill()
