"""Who types, to those who watch: members only, across gateways, never stored, never in the way of an event."""

import asyncio

import pytest
from pydantic import SecretStr

from backplane.telemetry import ephemera
from gateway.socket.wants import MAX_WATCHED
from schemas.ids import ConversationId, UserId
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import Client, Rig, until
from tests.integration.gateway.socket.test_slow import lazy
from tests.services import free_port

pytestmark = pytest.mark.anyio

THREAD = "0190c0de-0000-7000-8000-00000000000a"


async def watching(rig: Rig, user: str, room: ConversationId) -> Client:
    client, _ = await rig.connected(user)
    assert (await client.ask("watch", conversation_id=room))["ok"] is True
    return client


async def typed(client: Client) -> dict:
    return (await client.hear("ephemeral", event="typing"))["data"]


def counted(outcome: str) -> float:
    return ephemera.labels("typing", outcome)._value.get()


async def test_who_watches_sees_who_types_but_not_oneself_on_the_same_connection(live: Rig):
    room = await live.room("ann", "bob")
    bob = await watching(live, "bob", room)
    ann = await watching(live, "ann", room)
    anns_other_device = await watching(live, "ann", room)
    await ann.say("typing", conversation_id=room, state="start", thread_root_id=THREAD)
    start = {"conversation_id": room, "user_id": "ann", "state": "start", "expires_in_ms": 6000}
    assert await typed(bob) == start | {"thread_root_id": THREAD}
    assert await typed(anns_other_device) == start | {"thread_root_id": THREAD}
    await ann.say("typing", conversation_id=room, state="stop")
    assert await typed(bob) == {
        "conversation_id": room, "user_id": "ann", "state": "stop", "expires_in_ms": 0,
    }  # fmt: skip
    await bob.say("typing", conversation_id=room, state="start")
    assert (await typed(ann))["user_id"] == "bob", "the first that ann's typing device hears"
    assert await live.redis.command("XLEN", live.settings.names.log(UserId("bob"))) == 1, "nothing is stored"


async def test_two_gateways_hear_of_each_other(pair: tuple[Rig, Rig]):
    one, other = pair
    room = await one.room("ann", "bob")
    ann, bob = await watching(one, "ann", room), await watching(other, "bob", room)
    await ann.say("typing", conversation_id=room, state="start")
    assert (await typed(bob))["user_id"] == "ann"
    await bob.say("typing", conversation_id=room, state="start")
    assert (await typed(ann))["user_id"] == "bob"


async def test_starts_too_soon_are_dropped_in_silence(live: Rig):
    room, other = await live.room("ann", "bob"), await live.room("ann", "bob")
    bob = await watching(live, "bob", room)
    assert (await bob.ask("watch", conversation_id=other))["ok"] is True
    ann, _ = await live.connected("ann")
    before = counted("throttled")
    for _ in range(5):
        await ann.say("typing", conversation_id=room, state="start")
    await ann.say("typing", conversation_id=other, state="start")
    assert [(await typed(bob))["conversation_id"] for _ in range(2)] == [room, other]
    assert counted("throttled") - before == 4
    assert (await ann.ask("watch", conversation_id=room))["ok"] is True
    assert [frame["type"] for frame in ann.passed] == [], "nobody was told that it was too often"


async def test_nobody_else_may_watch_or_type(live: Rig):
    """C19"""
    room = await live.room("ann")
    ann = await watching(live, "ann", room)
    eve, _ = await live.connected("eve")
    assert (await eve.ask("watch", conversation_id=room))["error"]["code"] == "not_member"
    assert (await eve.ask("typing", conversation_id=room, state="start"))["error"]["code"] == "not_member"
    laptop, _ = await live.connected("ann")
    await laptop.say("typing", conversation_id=room, state="start")
    assert (await typed(ann))["user_id"] == "ann", "and nothing of eve's came before"
    assert (await eve.ask("unwatch", conversation_id=room))["ok"] is True
    assert not [frame for frame in eve.passed if frame["type"] == "ephemeral"]


async def test_whoever_is_removed_watches_no_more_from_the_very_event_on(pair: tuple[Rig, Rig]):
    """C19"""
    rig, away = pair
    room = await rig.room("ann", "bob")
    ann = await watching(rig, "ann", room)
    bob, phone = await watching(rig, "bob", room), await watching(away, "bob", room)
    await rig.remove("bob", room)
    for device in (bob, phone):
        await device.hear("event", event="member.left")
    await ann.say("typing", conversation_id=room, state="start")
    laptop = await watching(rig, "ann", room)
    await laptop.say("typing", conversation_id=room, state="start")
    assert (await typed(ann))["user_id"] == "ann"
    for device in (bob, phone):
        assert (await device.ask("typing", conversation_id=room, state="start"))["error"]["code"] == "not_member"
        assert (await device.ask("watch", conversation_id=room))["error"]["code"] == "not_member"
        assert not [frame for frame in device.passed if frame["type"] == "ephemeral"]
    await until(lambda: away.ephemera.watched == 0)


async def test_the_removal_of_somebody_else_changes_nothing(live: Rig):
    room = await live.room("ann", "bob", "eve")
    bob = await watching(live, "bob", room)
    left = (
        b'"event":"member.left","event_id":"e","ts":"t","data":{"conversation_id":"%s","members":[{"user_id":"eve"}]}}'
    )
    await live.append_body("bob", left % room.encode())
    await live.append_body("bob", b'"event":"member.left","data":"what nobody knows"}')
    assert await bob.events(2) == [1, 2]
    ann, _ = await live.connected("ann")
    await ann.say("typing", conversation_id=room, state="start")
    assert (await typed(bob))["user_id"] == "ann"


@with_limits(sweep_seconds=0.2)
async def test_a_removal_that_nobody_rang_for_is_found_by_the_sweep(live: Rig):
    """C19"""
    room = await live.room("bob")
    await watching(live, "bob", room)
    assert live.ephemera.watched == 1
    await live.remove("bob", room, rung=False)
    await until(lambda: live.ephemera.watched == 0)


async def test_a_removal_read_from_the_log_counts_as_one_that_rang(live: Rig):
    """C19"""
    room = await live.room("bob")
    bob = await watching(live, "bob", room)
    log, epoch = live.settings.names.log(UserId("bob")), (await live.head("bob")).partition("-")[0]
    left = '"event":"member.left","data":{"conversation_id":"%s","members":[{"user_id":"bob"}]}}'
    await live.redis.command("XADD", log, f"{epoch}-*", "b", left % room)
    live.hub.on_lost()
    assert await bob.events(1) == [1]
    await until(lambda: live.ephemera.watched == 0)


async def test_a_channel_is_subscribed_only_while_somebody_here_watches(live: Rig):
    room = await live.room("ann", "bob")
    channel = live.settings.names.watch(room)

    async def quiet() -> None:
        await until(lambda: live.ephemera.watched == 0)
        assert await live.listeners(channel) == 0

    ann, bob = await watching(live, "ann", room), await watching(live, "bob", room)
    assert await live.listeners(channel) == 1
    assert (await ann.ask("unwatch", conversation_id=room))["ok"] is True
    assert await live.listeners(channel) == 1
    await bob.socket.close()
    await quiet()
    assert (await ann.ask("watch", conversation_id=room))["ok"] is True
    assert await live.listeners(channel) == 1
    ann.socket.transport.abort()
    await quiet()


async def test_a_connection_watches_a_bounded_number(live: Rig):
    ann, hello = await live.connected("ann")
    assert hello["limits"]["watched_conversations"] == MAX_WATCHED
    rooms = [await live.room("ann") for _ in range(MAX_WATCHED + 1)]
    replies = [await ann.ask("watch", conversation_id=room) for room in rooms]
    assert [reply["ok"] for reply in replies] == [True] * MAX_WATCHED + [False]
    assert replies[-1]["error"]["code"] == "bad_request"
    await ann.ask("unwatch", conversation_id=rooms[0])
    assert (await ann.ask("watch", conversation_id=rooms[-1]))["ok"] is True


@with_limits(ephemera=False)
async def test_switched_off_watching_is_accepted_and_silent(live: Rig):
    room = await live.room("ann", "bob")
    bob = await watching(live, "bob", room)
    assert live.ephemera.watched == 0
    ann, _ = await live.connected("ann")
    before = counted("dropped")
    await ann.say("typing", conversation_id=room, state="start")
    await until(lambda: counted("dropped") > before)
    assert (await bob.ask("unwatch", conversation_id=room))["ok"] is True


@with_limits(overload_seconds=0.2)
async def test_typing_is_dropped_while_the_server_is_behind(live: Rig):
    room = await live.room("ann", "bob")
    bob = await watching(live, "bob", room)
    ann, _ = await live.connected("ann")
    assert (await ann.send())["ok"] is True  # nobody consumes it: after 0.2 s that is too far behind
    async with asyncio.timeout(20):
        while (await ann.send())["ok"]:
            pass
    before = counted("dropped")
    await ann.say("typing", conversation_id=room, state="start")
    await until(lambda: counted("dropped") > before)
    await live.append("bob")
    await bob.hear("event")
    assert bob.passed == []


@with_limits(heartbeat_seconds=60, send_buffer_bytes=16384)
async def test_a_slow_reader_loses_typing_and_no_event(live: Rig):
    room = await live.room("ann", "bob")
    slow = await lazy(live, "bob")
    assert (await slow.ask("watch", conversation_id=room))["ok"] is True
    dropped = counted("dropped")
    for _ in range(20):
        await live.append("bob", 100, size=3000)
        ann, _ = await live.connected("ann")  # another connection: another throttle
        await ann.say("typing", conversation_id=room, state="start")
        await ann.ask("unwatch", conversation_id=room)
        await ann.socket.close()
    await until(lambda: counted("dropped") > dropped)
    assert await slow.events(2000, seconds=60) == list(range(1, 2001))
    assert len([frame for frame in slow.passed if frame["type"] == "ephemeral"]) < 20


NOWHERE = SecretStr(f"mongodb://127.0.0.1:{free_port()}/")


@with_limits(mongodb_url=NOWHERE, mongodb_timeout_seconds=1)
async def test_while_the_store_is_away_watching_says_so_and_messages_go_on(rig: Rig):
    """The WebSocket path needs no database: only what asks for one waits."""
    ann, _ = await rig.connected("ann")
    room = "0190c0de-0000-7000-8000-0000000000ff"
    await ann.say("watch", id=1, conversation_id=room)
    assert (await ann.send())["ok"] is True
    assert not [frame for frame in ann.passed if frame["type"] == "reply"], "the message did not wait for the store"
    assert (await ann.hear("reply", id=1))["error"]["code"] == "unavailable"
