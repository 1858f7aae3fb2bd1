"""Every row of the table in protocol §1, “Resume”, over the wire."""

import pytest

from schemas.ids import Position, UserId
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import Rig

pytestmark = pytest.mark.anyio


async def test_without_a_position_the_client_loads_its_state_and_is_live(rig: Rig):
    client, hello = await rig.connected("ann")
    assert (hello["recovered"], hello["resync"]) == (False, "fresh")
    assert hello["position"] == await rig.head("ann")
    assert hello["user_id"] == "ann"
    await rig.append("ann", 2)
    assert await client.events(2) == [1, 2]


async def test_at_the_head_nothing_is_replayed_even_if_every_entry_was_trimmed(rig: Rig):
    _, hello = await rig.connected("ann")
    await rig.append("ann", 3)
    position = await rig.head("ann")
    assert Position.parse(position).offset == 3
    await rig.trim("ann", keep=0)
    client, again = await rig.connected("ann", resume=position)
    assert (again["recovered"], again["resync"], again["position"]) == (True, None, position)
    await rig.append("ann")
    assert await client.events(1) == [4]
    assert hello["connection_id"] != again["connection_id"]


async def test_what_is_missing_is_replayed_and_then_the_client_is_live_without_a_seam(rig: Rig):
    _, hello = await rig.connected("ann")
    await rig.append("ann", 700)
    epoch = Position.parse(hello["position"]).epoch
    client, again = await rig.connected("ann", resume=f"{epoch}-50")
    await rig.append("ann", 50)
    assert (again["recovered"], again["resync"]) == (True, None)
    assert await client.events(700) == list(range(51, 751))


async def test_the_same_position_resumes_twice(rig: Rig):
    _, hello = await rig.connected("ann")
    await rig.append("ann", 2)
    for _ in range(2):
        client, again = await rig.connected("ann", resume=hello["position"])
        assert again["recovered"] is True
        assert await client.events(2) == [1, 2]


async def test_another_epoch_asks_for_a_spread_resync(rig: Rig):
    client, hello = await rig.connected("ann", resume="123-4")
    assert (hello["recovered"], hello["resync"]) == (False, "epoch_changed")
    assert 0 < hello["retry_after_ms"] <= 100
    await rig.append("ann")
    assert await client.events(1) == [1]


async def test_a_position_ahead_of_the_log_renews_the_epoch_at_most_once_a_minute(rig: Rig):
    """C15"""
    _, hello = await rig.connected("ann")
    epoch = Position.parse(hello["position"]).epoch
    # A log that began long ago: an epoch is the moment of its beginning.
    old = epoch - 120_000_000
    log, key = rig.settings.names.log(UserId("ann")), rig.settings.names.epoch(UserId("ann"))
    era = (await rig.redis.command("GET", key)).split()[1]
    made = [("DEL", log), ("XADD", log, f"{old}-0", "b", ""), ("SET", key, b"%d %s" % (old, era))]
    await rig.redis.all([("MULTI",), *made, ("EXEC",)])  # at once: the first connection may look at its log meanwhile

    client, first = await rig.connected("ann", resume=f"{old}-9")
    renewed = Position.parse(first["position"])
    assert (first["resync"], renewed.offset) == ("position_ahead", 0)
    assert renewed.epoch != old
    _, second = await rig.connected("ann", resume=f"{renewed.epoch}-9")
    assert second["resync"] == "position_ahead"
    assert Position.parse(second["position"]).epoch == renewed.epoch
    await rig.append("ann")
    assert await client.events(1) == [1]


async def test_a_trimmed_position_is_never_replayed_in_part(rig: Rig):
    _, hello = await rig.connected("ann")
    await rig.append("ann", 10)
    await rig.trim("ann", keep=3)
    client, again = await rig.connected("ann", resume=hello["position"])
    assert (again["recovered"], again["resync"]) == (False, "position_trimmed")
    await rig.append("ann")
    assert await client.events(1) == [11]


@with_limits(resume_max_entries=5)
async def test_a_backlog_over_the_bound_asks_for_a_resync(rig: Rig):
    _, hello = await rig.connected("ann")
    await rig.append("ann", 6)
    epoch = Position.parse(hello["position"]).epoch
    _, too_far = await rig.connected("ann", resume=f"{epoch}-0")
    assert (too_far["recovered"], too_far["resync"]) == (False, "backlog_too_large")
    client, near = await rig.connected("ann", resume=f"{epoch}-1")
    assert near["recovered"] is True
    assert await client.events(5) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("garbage", ["soon", "1-", "-1-1", "1-2-3", "99999999999999999-0", "٣-٤"])
async def test_what_is_no_position_is_a_bad_request(rig: Rig, garbage: str):
    client = await rig.dial()
    await client.say("connect", token=rig.token("ann"), resume=garbage)
    code, said = await client.end()
    assert code == 4504
    assert said is not None
    assert "resume" in said["reason"]
