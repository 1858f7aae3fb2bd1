"""Presence in Redis: many connections of one user merged, changes told once, grace, expiry."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from backplane.doorbells import Doorbells
from backplane.presence import Change, Changes, Presence, Presences, Status, parse_presence
from backplane.redis import Redis
from backplane.settings import Settings
from schemas.ids import UserId

pytestmark = pytest.mark.anyio

ANN = UserId("ann")
NEVER = 3_600_000


class World:
    """One user's presence, and what her channel tells."""

    def __init__(self, redis: Redis) -> None:
        self.redis, self.told = redis, asyncio.Queue[Presence]()
        self.presences = self.given(life_ms=NEVER, grace_ms=NEVER)

    def given(self, *, life_ms: int, grace_ms: int) -> Presences:
        return Presences(self.redis, life_ms=life_ms, grace_ms=grace_ms)

    def heard(self, payload: bytes) -> None:
        presence = parse_presence(payload)
        assert presence is not None
        self.told.put_nowait(presence)

    async def do(self, *changes: Change, active_ms: int | None = None, presences: Presences | None = None) -> Presence:
        (outcome,) = await (presences or self.presences).apply([Changes(ANN, changes, active_ms)])
        return outcome.presence

    async def own(self, *changes: Change) -> list[Status | None]:
        (outcome,) = await self.presences.apply([Changes(ANN, changes)])
        return list(outcome.own)

    async def status(self) -> str:
        return (await self.presences.read([ANN]))[0].status

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return (await self.told.get()).status

    async def quiet(self) -> None:
        """Nothing more was told: what we say ourselves is the next that is heard."""
        await self.redis.command("SPUBLISH", self.redis.names.presence(ANN), "0 offline ")
        async with asyncio.timeout(20):
            assert await self.told.get() == Presence(0, "offline", None)

    async def until(self, status: str) -> Presence:
        async with asyncio.timeout(20):
            while (presence := (await self.presences.read([ANN]))[0]).status != status:  # noqa: ASYNC110 - Redis' clock
                await asyncio.sleep(0.02)
        return presence


def up(name: str, instance: str | None = None) -> Change:
    return Change.up(name, instance)


def says(name: str, status: Status) -> Change:
    return Change("set", name, status)


def down(name: str) -> Change:
    return Change("down", name)


@pytest.fixture
async def world(redis_settings: Settings) -> AsyncIterator[World]:
    redis = await Redis.open(redis_settings)
    world = World(redis)
    doorbells = Doorbells(redis, lambda _, payload: world.heard(payload), lambda: None)
    await doorbells.start()
    await doorbells.subscribe(redis.names.presence(ANN))
    yield world
    await doorbells.close()
    await redis.close()


async def test_somebody_who_was_never_there_is_offline_and_costs_no_key(world: World) -> None:
    assert await world.presences.read([ANN]) == [Presence(0, "offline", None)]
    assert await world.redis.command("EXISTS", world.redis.names.presence(ANN)) == 0


async def test_devices_are_merged_and_only_changes_are_told(world: World) -> None:
    assert (await world.do(up("phone"))).status == "online"
    assert (await world.do(up("laptop"), says("laptop", "away"))).status == "online"
    assert (await world.do(says("phone", "away"))).status == "away"
    assert (await world.do(says("laptop", "busy"))).status == "busy"
    assert (await world.do(up("tablet"))).status == "busy"
    assert (await world.do(down("laptop"))).status == "online", "of several, who goes is gone at once"
    assert [await world.next() for _ in range(4)] == ["online", "away", "busy", "online"]
    await world.quiet()


async def test_invisible_hides_every_device_and_when_they_were_active(world: World) -> None:
    await world.do(up("phone"), up("laptop"), active_ms=1000)
    hidden = await world.do(says("phone", "invisible"))
    assert (hidden.status, hidden.active_ms) == ("offline", 1000)
    assert await world.do(says("laptop", "busy"), active_ms=2000) == hidden
    assert (await world.do(up("tablet"), active_ms=3000)) == hidden
    shown = await world.do(says("phone", "online"), active_ms=4000)
    assert (shown.status, shown.active_ms) == ("busy", 4000)
    assert [await world.next() for _ in range(3)] == ["online", "offline", "busy"]


async def test_versions_rise_and_last_activity_never_goes_back_nor_ahead_of_the_server(world: World) -> None:
    statuses: list[Status] = ["away", "busy", "away", "online"]
    versions = [(await world.do(change)).version for change in (up("phone"), *(says("phone", one) for one in statuses))]
    assert versions == sorted(set(versions))
    assert (await world.do(active_ms=5000)).active_ms == 5000
    assert (await world.do(active_ms=4000)).active_ms == 5000
    ahead = (await world.do(active_ms=10**14)).active_ms
    assert ahead is not None
    assert ahead < 10**14


async def test_the_last_one_lingers_and_who_is_back_was_never_away(world: World) -> None:
    await world.do(up("phone"), says("phone", "busy"))
    assert (await world.do(down("phone"))).status == "busy"
    assert await world.own(up("phone again")) == ["busy"], "and goes on with what was said"
    assert await world.status() == "busy"
    assert await world.next() == "busy"
    await world.quiet()


async def test_who_is_invisible_and_comes_back_does_not_show(world: World) -> None:
    await world.do(up("phone"), says("phone", "invisible"))
    await world.do(down("phone"))
    assert await world.own(up("phone again")) == ["invisible"]
    await world.do(down("phone again"))
    assert await world.status() == "offline"
    await world.quiet()


async def test_a_copy_that_replaces_itself_goes_on_with_what_it_had_said(world: World) -> None:
    await world.do(up("old", "copy"), says("old", "invisible"), up("other", "another"))
    assert await world.own(up("new", "copy")) == ["invisible"]
    await world.do(down("old"))
    assert await world.status() == "offline"
    assert await world.own(up("stranger")) == ["online"]


async def test_after_the_grace_whoever_looks_tells_everybody(world: World) -> None:
    short = world.given(life_ms=NEVER, grace_ms=50)
    await world.do(up("phone"), presences=short)
    assert (await world.do(down("phone"), presences=short)).status == "online"
    await world.until("offline")
    assert [await world.next(), await world.next()] == ["online", "offline"]
    await world.status()
    await world.quiet()


async def test_without_grace_who_goes_is_gone(world: World) -> None:
    none = world.given(life_ms=NEVER, grace_ms=0)
    await world.do(up("phone"), presences=none)
    assert (await world.do(down("phone"), presences=none)).status == "offline"


async def test_a_connection_that_is_not_said_to_live_runs_out(world: World) -> None:
    mortal = world.given(life_ms=300, grace_ms=NEVER)
    await world.do(up("crashed"), says("crashed", "busy"), presences=mortal)
    await world.do(up("phone"))
    assert await world.status() == "busy"
    await world.until("online")
    assert (await world.do(down("crashed"))).status == "online", "its end comes late and changes nothing"


async def test_what_the_server_forgot_is_said_again(world: World) -> None:
    before = await world.do(up("phone", "copy"), says("phone", "away"))
    await world.redis.command("DEL", world.redis.names.presence(ANN))
    assert await world.status() == "offline"
    after = await world.do(Change.keep("phone", "away", "copy"))
    assert after.status == "away"
    assert after.version > before.version
    assert await world.own(Change.keep("phone", "online", "copy")) == ["away"], "what the server knows counts"


async def test_saying_anything_twice_changes_nothing(world: World) -> None:
    for change in (up("phone"), says("phone", "away"), Change.keep("phone", "away", None), down("phone"), down("gone")):
        once = await world.do(change)
        assert await world.do(change) == once


async def test_a_field_that_is_none_of_ours_does_no_harm(world: World) -> None:
    await world.redis.command("HSET", world.redis.names.presence(ANN), "c:odd", "nonsense", "other", "x")
    assert (await world.do(up("phone"))).status == "online"


async def test_a_key_of_another_kind_is_made_anew(world: World) -> None:
    await world.redis.command("LPUSH", world.redis.names.presence(ANN), "x")
    assert (await world.do(up("phone"))).status == "online"


async def test_many_users_are_written_and_read_in_few_calls(world: World) -> None:
    users = [UserId(f"user {n}") for n in range(350)]
    await world.presences.apply([Changes(user, (up("c"),)) for user in users[::2]])
    assert [one.status for one in await world.presences.read(users)] == ["online", "offline"] * 175


RANKS = {"away": 1, "online": 2, "busy": 3}


def merged(connections: dict[str, str]) -> str:
    if "invisible" in connections.values() or not connections:
        return "offline"
    return max(connections.values(), key=RANKS.__getitem__)


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_devices_do_others_see_the_merged_status_and_hear_each_change_once(
    world: World, seed: int
) -> None:
    draw, connections, heard = random.Random(seed), {}, []
    for _ in range(60):
        name = draw.choice("abc")
        match draw.choice(["up", "set", "down"]):
            case "up" if name not in connections:
                change, connections[name] = up(name), "online"
            case "set" if name in connections:
                connections[name] = draw.choice(["online", "away", "busy", "invisible"])
                change = says(name, connections[name])
            case "down" if len(connections) > 1 and name in connections:
                del connections[name]
                change = down(name)
            case _:
                continue
        assert (await world.do(change)).status == merged(connections)
        heard.append(merged(connections))
    changes = [after for before, after in zip(["offline", *heard], heard, strict=False) if before != after]
    assert [await world.next() for _ in changes] == changes
    await world.quiet()
