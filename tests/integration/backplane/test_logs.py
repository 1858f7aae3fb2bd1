"""User logs: dense positions, appends that are idempotent, and never a silent gap, whatever Redis forgets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest

from backplane.doorbells import Doorbells
from backplane.errors import Permanent
from backplane.logs import Delivery, Head, Logged, Logs, parse_ring
from backplane.redis import Redis
from backplane.settings import Settings
from schemas.ids import Position, StreamId, UserId

Answer = TypeVar("Answer")

ERA = "era-of-the-partition"


@pytest.fixture
async def client(redis_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    yield redis
    await redis.close()


@pytest.fixture
def logs(client: Redis) -> Logs:
    return Logs(client, max_entries=1000, epoch_ttl_seconds=3600)


def users_of_one_shard(client: Redis, count: int) -> list[UserId]:
    users = (UserId(f"user-{number}") for number in range(100_000))
    return [user for user in users if client.names.shard_of(user) == 0][:count]


def deliveries(users: list[UserId], *numbers: int) -> list[Delivery]:
    return [Delivery(StreamId(number, 0), b"event %d}" % number, users) for number in numbers]


async def bodies_after(logs: Logs, user: UserId, after: Position) -> list[bytes]:
    entries = await logs.read(user, after, 1000)
    assert [entry.position.offset for entry in entries] == list(
        range(after.offset + 1, after.offset + 1 + len(entries))
    )
    return [entry.body for entry in entries]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  what is polled is the outside world
            await asyncio.sleep(0.01)


# Opening


@pytest.mark.anyio
async def test_a_log_begins_with_its_marker_and_stays_valid_however_often_it_is_opened(logs: Logs) -> None:
    head = await logs.open(UserId("u"))
    assert head.position.offset == 0
    assert head.first_offset == 0
    assert head.position.epoch < 2**53
    assert await logs.open(UserId("u")) == head
    assert await logs.read(UserId("u"), Position(head.position.epoch, 0), 10) == []
    assert await logs.heads([UserId("u"), UserId("nobody")]) == [head, None]


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["log", "epoch", "era", "all", "log is no stream", "epoch is no string", "other log"])
async def test_b4_c10_what_is_lost_or_broken_becomes_another_epoch_with_a_marker(
    client: Redis, logs: Logs, what: str
) -> None:
    """B4, C10"""
    (user,), names = users_of_one_shard(client, 1), client.names
    log, epoch, era = names.log(user), names.epoch(user), names.era(names.shard_tag(0))
    before = await logs.open(user)
    await logs.append(0, ERA, 0, deliveries([user], 1, 2))
    match what:
        case "log" | "epoch" | "era":
            await client.command("DEL", {"log": log, "epoch": epoch, "era": era}[what])
        case "all":
            await client.command("DEL", log, epoch, era, names.run(names.shard_tag(0)))
        case "log is no stream":
            await client.command("SET", log, "x")
        case "epoch is no string":
            await client.all([("DEL", epoch), ("RPUSH", epoch, "x")])
        case _:
            await client.all([("DEL", log), ("XADD", log, "7-0", "b", "")])
    assert await logs.heads([user]) == [None]
    after = await logs.open(user)
    assert after.position.epoch != before.position.epoch
    assert after.position.offset == 0
    assert await logs.append(0, ERA, 0, deliveries([user], 3)) == 1
    assert await bodies_after(logs, user, after.position) == [b"event 3}"]


@pytest.mark.anyio
async def test_c10_epochs_of_many_users_made_at_once_differ_from_their_old_ones(client: Redis, logs: Logs) -> None:
    """C10"""
    users = users_of_one_shard(client, 50)
    before = [(await logs.open(user)).position.epoch for user in users]
    await logs.renew_eras([0])
    after = [head.position.epoch for head in await asyncio.gather(*map(logs.open, users))]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert len(set(after)) > 1


@pytest.mark.anyio
async def test_both_times_to_live_are_renewed_and_the_logs_is_the_longer(client: Redis, logs: Logs) -> None:
    user, names = UserId("u"), client.names
    keys = (names.log(user), names.epoch(user))
    for renew in (logs.open(user), logs.open(user), logs.heads([user])):
        await client.all([("EXPIRE", key, 10) for key in keys])
        await renew
        log_seconds, epoch_seconds = await client.all([("TTL", key) for key in keys])
        assert log_seconds > epoch_seconds > 3000


@pytest.mark.anyio
async def test_c15_an_epoch_is_thrown_away_at_most_once_a_minute(client: Redis, logs: Logs) -> None:
    """C15"""
    user, names = UserId("u"), client.names
    first = await logs.renew_epoch(user)
    assert first is not None, "there was no log"
    assert await logs.renew_epoch(user) is None
    assert await logs.open(user) == first
    # A log that began two minutes ago.
    old = first.position.epoch - 120_000 * 1000
    era = (await client.command("GET", names.epoch(user))).split()[1].decode()
    await client.all([("DEL", names.log(user)), ("XADD", names.log(user), f"{old}-0", "b", "")])
    await client.command("SET", names.epoch(user), f"{old} {era}")
    assert (await logs.open(user)).position == Position(old, 0)
    fresh = await logs.renew_epoch(user)
    assert fresh is not None
    assert fresh.position.epoch > old
    assert await logs.renew_epoch(user) is None


@pytest.mark.anyio
async def test_two_who_open_at_once_see_one_log(client: Redis) -> None:
    others = [Logs(client, max_entries=1000, epoch_ttl_seconds=3600) for _ in range(20)]
    heads = await asyncio.gather(*(other.open(UserId("u")) for other in others))
    assert len(set(heads)) == 1


# Appending


@pytest.mark.anyio
async def test_events_are_appended_in_order_to_those_who_have_a_log_and_rung_with_position_and_body(
    client: Redis, logs: Logs
) -> None:
    one, two, absent = users_of_one_shard(client, 3)
    heads = {user: await logs.open(user) for user in (one, two)}
    rung: list[tuple[str, bytes]] = []
    bells = Doorbells(client, lambda *ring: rung.append(ring), lambda: None)
    await bells.start()
    for user in (one, two, absent):
        await bells.subscribe(client.names.log(user))
    mixed = [*deliveries([one, absent, two], 1), *deliveries([two], 2), *deliveries([one, two], 3)]
    assert await logs.append(0, ERA, 0, mixed) == 5
    assert await bodies_after(logs, one, heads[one].position) == [b"event 1}", b"event 3}"]
    assert await bodies_after(logs, two, heads[two].position) == [b"event 1}", b"event 2}", b"event 3}"]
    assert await client.command("EXISTS", client.names.log(absent)) == 0
    await until(lambda: len(rung) == 5)
    told = [parse_ring(payload) for channel, payload in rung if channel == client.names.log(two)]
    epoch = heads[two].position.epoch
    assert told == [(Position(epoch, number), b"event %d}" % number) for number in (1, 2, 3)]
    await bells.close()


@pytest.mark.anyio
async def test_b2_a_redelivery_or_a_zombie_neither_doubles_nor_reorders(client: Redis, logs: Logs) -> None:
    """B2"""
    (user,) = users_of_one_shard(client, 1)
    head = await logs.open(user)
    assert await logs.append(0, ERA, 0, deliveries([user], 5, 6)) == 2
    assert await logs.append(0, ERA, 0, deliveries([user], 5, 6, 7, 8)) == 2
    assert await logs.append(0, ERA, 0, deliveries([user], 6, 7)) == 0, "the zombie's batch"
    assert await bodies_after(logs, user, head.position) == [b"event %d}" % number for number in (5, 6, 7, 8)]
    assert await logs.append(1, ERA, 0, deliveries([user], 1)) == 1, "another partition counts for itself"
    assert await logs.append(0, "another-era", 0, deliveries([user], 2)) == 1, (
        "smaller ids of a re-created stream are new"
    )
    assert await logs.append(0, "another-era", 0, [Delivery(StreamId(2, 10), b"x}", [user])]) == 1, (
        "ids are numbers, not text"
    )
    assert await logs.append(0, "another-era", 0, [Delivery(StreamId(2, 9), b"y}", [user])]) == 0


@pytest.mark.anyio
async def test_b3_one_broken_log_neither_stops_nor_doubles_its_neighbours(client: Redis, logs: Logs) -> None:
    """B3"""
    one, broken, lost, three = users_of_one_shard(client, 4)
    heads = {user: await logs.open(user) for user in (one, broken, lost, three)}
    await client.all([("SET", client.names.log(broken), "x"), ("DEL", client.names.log(lost))])
    rung: list[bytes] = []
    bells = Doorbells(client, lambda _, payload: rung.append(payload), lambda: None)
    await bells.start()
    for user in (broken, lost):
        await bells.subscribe(client.names.log(user))
    for _ in range(2):
        await logs.append(0, ERA, 0, deliveries([one, broken, lost, three], 1))
    for user in (one, three):
        assert await bodies_after(logs, user, heads[user].position) == [b"event 1}"]
    assert await client.all([("EXISTS", client.names.epoch(user)) for user in (broken, lost)]) == [0, 0]
    await until(lambda: len(rung) == 2)
    assert list(map(parse_ring, rung)) == [None, None]
    for user in (broken, lost):
        assert (await logs.open(user)).position.epoch != heads[user].position.epoch
    await bells.close()


@pytest.mark.anyio
async def test_b4_an_event_never_becomes_the_marker(client: Redis, logs: Logs) -> None:
    """B4"""
    (user,), names = users_of_one_shard(client, 1), client.names
    head = await logs.open(user)
    era = (await client.command("GET", names.epoch(user))).split()[1].decode()
    # The key names a newer epoch than the log: `<epoch>-*` would begin it with an event at offset 0.
    await client.command("SET", names.epoch(user), f"{head.position.epoch + 1} {era}")
    assert await logs.append(0, ERA, 0, deliveries([user], 1)) == 0
    assert await logs.heads([user]) == [None]


@pytest.mark.anyio
async def test_a5_a_log_of_another_era_gets_nothing_and_its_doorbell_is_silent(client: Redis, logs: Logs) -> None:
    """A5"""
    (user,) = users_of_one_shard(client, 1)
    head = await logs.open(user)
    rung: list[bytes] = []
    bells = Doorbells(client, lambda _, payload: rung.append(payload), lambda: None)
    await bells.start()
    await bells.subscribe(client.names.log(user))
    await logs.renew_eras([0])
    assert await logs.append(0, ERA, 0, deliveries([user], 1)) == 0
    assert await logs.read(user, head.position, 10) == []
    await logs.drop([user])  # rings: whatever rang before it would have been heard before it
    await until(lambda: bool(rung))
    assert list(map(parse_ring, rung)) == [None]
    await bells.close()


@pytest.mark.anyio
async def test_large_audiences_are_appended_whole_in_calls_of_bounded_size(client: Redis, logs: Logs) -> None:
    users = users_of_one_shard(client, 600)
    await asyncio.gather(*map(logs.open, users))
    shared = [*deliveries(users[:100], 1, 2, 3), *deliveries(users, 4), *deliveries(users[:10], 5)]
    assert await logs.append(0, ERA, 0, shared) == 910
    heads = await logs.heads(users)
    assert [head.position.offset for head in heads if head] == [5] * 10 + [4] * 90 + [1] * 500


@pytest.mark.anyio
async def test_b14_a_living_log_of_an_old_epoch_loses_nothing_by_age_and_goes_on_after_trimming_to_nothing(
    client: Redis, logs: Logs
) -> None:
    """B14"""
    (user,), names = users_of_one_shard(client, 1), client.names
    era = await client.command("GET", names.era(names.shard_tag(0))) or await logs.open(user)
    assert isinstance(era, bytes)
    await client.command("XADD", names.log(user), "1000-0", "b", "")  # an epoch of 1970
    await client.command("SET", names.epoch(user), b"1000 " + era)
    for number in range(1, 1501):
        await logs.append(0, ERA, 0, deliveries([user], number))
    (head,) = await logs.heads([user])
    assert head is not None
    assert head.position == Position(1000, 1500)
    assert head.first_offset is not None
    kept = 1501 - head.first_offset
    assert 1000 <= kept < 1400, "about as many as are kept, whatever their age"
    await client.command("XTRIM", names.log(user), "MAXLEN", 0)
    assert await logs.heads([user]) == [Head(Position(1000, 1500), None)]
    await logs.append(0, ERA, 0, deliveries([user], 1501))
    assert await logs.read(user, Position(1000, 1500), 5) == [Logged(Position(1000, 1501), b"event 1501}")]


@pytest.mark.anyio
async def test_a10_dropped_users_resync(client: Redis, logs: Logs) -> None:
    """A10"""
    users = [UserId(f"user-{number}") for number in range(30)]
    before = [await logs.open(user) for user in users]
    await logs.drop(users[:20])
    assert await logs.heads(users) == [None] * 20 + before[20:]


@pytest.mark.anyio
async def test_b11_a_shard_set_aside_gets_a_new_era_before_it_is_forgotten(client: Redis, logs: Logs) -> None:
    """B11"""
    (user,) = users_of_one_shard(client, 1)
    await logs.open(user)
    await logs.skip_shards(2, [0, 3])
    assert await logs.skipped_shards(2) == {0, 3}
    assert await logs.skipped_shards(1) == set()
    await logs.unskip_shard(2, 0)
    assert await logs.skipped_shards(2) == {3}
    assert await logs.heads([user]) == [None]


@pytest.mark.anyio
async def test_a_read_never_goes_on_into_another_epoch(client: Redis, logs: Logs) -> None:
    (user,) = users_of_one_shard(client, 1)
    old = await logs.open(user)
    await logs.renew_eras([0])
    new = await logs.open(user)
    await logs.append(0, ERA, 0, deliveries([user], 1))
    assert await logs.read(user, old.position, 10) == []
    assert await bodies_after(logs, user, new.position) == [b"event 1}"]


@pytest.mark.anyio
async def test_reading_a_broken_log_is_permanent_and_opening_it_mends_it(client: Redis, logs: Logs) -> None:
    await client.command("SET", client.names.log(UserId("u")), "x")
    with pytest.raises(Permanent):
        await logs.read(UserId("u"), Position(1, 0), 10)
    head = await logs.open(UserId("u"))
    assert await logs.read(UserId("u"), head.position, 10) == []
