"""What a connected client hears, when doorbells ring, get lost, or say that the log is another one."""

import asyncio

import pytest

from schemas.ids import Position, UserId
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import Rig, until

pytestmark = pytest.mark.anyio


async def test_every_device_of_a_user_hears_what_rings_and_nobody_else(rig: Rig):
    phone, _ = await rig.connected("ann")
    laptop, _ = await rig.connected("ann")
    other, _ = await rig.connected("bob")
    await rig.append("ann", 3)
    await rig.append("bob", 1)
    assert await phone.events(3) == await laptop.events(3) == [1, 2, 3]
    assert await other.events(1) == [1]


async def test_events_carry_the_log_entry_byte_for_byte_after_their_position(rig: Rig):
    client, hello = await rig.connected("ann")
    await rig.append("ann", size=3)
    epoch = Position.parse(hello["position"]).epoch
    event = (
        b'{"type":"event","position":"%d-1","event":"message.created","event_id":"e1","ts":"t","data":{"text":"xxx"}}'
    )
    assert await client.socket.recv(decode=False) == event % epoch


async def test_a_hole_in_what_rings_is_filled_from_the_log(rig: Rig):
    client, _ = await rig.connected("ann")
    await rig.append("ann")
    await rig.append_unheard("ann", 5)
    await rig.append("ann")
    assert await client.events(7) == [1, 2, 3, 4, 5, 6, 7]


@with_limits(sweep_seconds=0.2)
async def test_a_lost_tail_is_found_by_the_sweep(rig: Rig):
    """C9"""
    client, _ = await rig.connected("ann")
    await rig.append_unheard("ann", 3)
    assert await client.events(3) == [1, 2, 3]


async def test_lost_doorbells_make_connections_catch_up_at_once(rig: Rig):
    client, _ = await rig.connected("ann")
    await rig.append_unheard("ann", 3)
    rig.hub.on_lost()
    assert await client.events(3) == [1, 2, 3]


async def test_a_gap_that_the_log_no_longer_holds_asks_for_a_resync_and_goes_on_live(rig: Rig):
    """C9"""
    await rig.head("ann")  # a new log rings, and whoever hears it looks: the gap would be mended before it is cut
    client, _ = await rig.connected("ann")
    await rig.append_unheard("ann", 5)
    await rig.trim("ann", keep=2)
    await rig.append("ann")
    resync = await client.hear("resync_required")
    assert resync["reason"] == "position_trimmed"
    assert Position.parse(resync["position"]).offset == 6
    assert client.passed == []
    await rig.append("ann")
    assert await client.events(1) == [7]


async def test_a_dropped_log_asks_for_a_spread_resync_and_goes_on_live_in_the_new_epoch(rig: Rig):
    """A10: fanout drops the logs of those who miss an event."""
    client, hello = await rig.connected("ann")
    await rig.append("ann", 2)
    await client.events(2)
    await rig.logs.drop([UserId("ann")])
    resync = await client.hear("resync_required")
    assert resync["reason"] == "epoch_changed"
    assert 0 < resync["retry_after_ms"] <= 100
    position = Position.parse(resync["position"])
    assert position.offset == 0
    assert position.epoch != Position.parse(hello["position"]).epoch
    await rig.append("ann", 2)
    assert await client.events(2) == [1, 2]


async def test_a_fresh_connection_tells_the_others_of_its_user_that_the_log_is_new(rig: Rig):
    """An epoch key that expired under a connection: the next device opens a new log."""
    old, _ = await rig.connected("ann")
    await rig.redis.command("DEL", rig.settings.names.epoch(UserId("ann")))
    new, hello = await rig.connected("ann")
    assert (await old.hear("resync_required"))["position"] == hello["position"]
    await rig.append("ann")
    assert await old.events(1) == await new.events(1) == [1]
    assert new.passed == [], "its own new log is no news to it"


@with_limits(sweep_seconds=0.2)
async def test_a_new_era_is_found_by_the_sweep(rig: Rig):
    """A5: what a server forgot must not pass for continuity."""
    client, _ = await rig.connected("ann")
    await rig.append("ann")
    await client.events(1)
    await rig.logs.renew_eras(range(rig.settings.shards))
    assert (await client.hear("resync_required"))["reason"] == "epoch_changed"


@with_limits(sweep_seconds=0.2)
async def test_a_log_that_was_flushed_is_found_by_the_sweep(rig: Rig):
    client, _ = await rig.connected("ann")
    names = rig.settings.names
    await rig.redis.command("DEL", names.log(UserId("ann")), names.epoch(UserId("ann")))
    assert (await client.hear("resync_required"))["reason"] == "epoch_changed"
    await rig.append("ann")
    assert await client.events(1) == [1]


async def test_sync_returns_pages_of_whole_events(rig: Rig):
    client, hello = await rig.connected("ann")
    await rig.append("ann", 5)
    await client.events(5)
    first = (await client.ask("sync", after=hello["position"], limit=3))["result"]
    assert [Position.parse(event["position"]).offset for event in first["events"]] == [1, 2, 3]
    assert first["events"][0]["event"] == "message.created"
    assert first["more"] is True
    second = (await client.ask("sync", after=first["position"]))["result"]
    assert [Position.parse(event["position"]).offset for event in second["events"]] == [4, 5]
    assert second["more"] is False
    assert (await client.ask("sync", after=second["position"]))["result"]["events"] == []


async def test_a_sync_that_can_not_be_whole_is_refused_with_the_reason(rig: Rig):
    client, hello = await rig.connected("ann")
    await rig.append("ann", 5)
    await rig.trim("ann", keep=2)
    trimmed = await client.ask("sync", after=hello["position"])
    assert (trimmed["error"]["code"], trimmed["error"]["message"].split(":")[0]) == ("conflict", "position_trimmed")
    assert (await client.ask("sync", after="5-5"))["error"]["message"].startswith("epoch_changed")
    assert (await client.ask("sync", after="soon"))["error"]["code"] == "bad_request"


async def test_the_doorbell_of_a_user_who_left_is_given_up_and_comes_back_with_them(rig: Rig):
    async def listeners() -> int:
        return (await rig.redis.command("PUBSUB", "SHARDNUMSUB", rig.settings.names.log(UserId("ann"))))[1]

    for _ in range(2):
        one, _ = await rig.connected("ann")
        two, _ = await rig.connected("ann")
        assert await listeners() == 1
        await one.socket.close()
        await rig.append("ann")
        await two.events(1)
        await two.socket.close()
        await until(lambda: len(rig.hub) == 0)
        async with asyncio.timeout(20):
            while await listeners():  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)
