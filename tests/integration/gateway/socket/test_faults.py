"""What clients see while Redis is frozen, gone, or back with another memory."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from backplane.settings import Settings, load_settings
from schemas.ids import Position
from tests.conftest import redis_url
from tests.integration.gateway.socket.rig import Rig, serving
from tests.services import Server, redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_redis(tmp_path) -> Iterator[Server]:
    server = redis_server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_settings(own_redis: Server) -> Settings:
    return load_settings(
        {},
        environment="development",
        redis_url=redis_url(own_redis),
        partitions=2,
        shards=2,
        sweep_seconds=0.2,
        drain_seconds=0.1,
        rate_limits="off",  # else their question to Redis would be what gets no answer
        resync_spread_ms=100,
    )


@pytest.fixture
async def rig(own_settings: Settings) -> AsyncIterator[Rig]:
    async with serving(own_settings, unswept_seconds=1.0) as rig:
        yield rig


@pytest.fixture
async def patient_rig(own_settings: Settings) -> AsyncIterator[Rig]:
    async with serving(own_settings, unswept_seconds=60.0) as rig:
        yield rig


async def test_a_redis_that_comes_back_costs_a_resync_and_never_a_silent_gap(own_redis: Server, patient_rig: Rig):
    """A5"""
    rig = patient_rig
    client, hello = await rig.connected("ann")
    await rig.append("ann", 3)
    await client.events(3)
    own_redis.restart()
    resync = await client.hear("resync_required", seconds=40)
    assert resync["reason"] == "epoch_changed"
    assert Position.parse(resync["position"]).epoch != Position.parse(hello["position"]).epoch
    await rig.append("ann", 2)
    assert await client.events(2, seconds=40) == [1, 2]


async def test_a_send_whose_answer_does_not_come_is_unknown_and_not_failed(own_redis: Server, patient_rig: Rig):
    client, _ = await patient_rig.connected("ann")
    await client.send()  # the connection for appends is there
    own_redis.send(signal.SIGSTOP)
    try:
        reply = await client.send()
    finally:
        own_redis.send(signal.SIGCONT)
    assert (reply["ok"], reply["error"]["code"], reply["error"]["temporary"]) == (False, "outcome_unknown", True)


async def test_a_send_without_redis_is_refused_for_now(own_redis: Server, patient_rig: Rig):
    client, _ = await patient_rig.connected("ann")
    own_redis.kill()
    codes = [(await client.send())["error"]["code"] for _ in range(3)]
    # The first may have been on its way through a connection that was still open.
    assert codes[-1] in {"unavailable", "overloaded"}
    assert set(codes) <= {"unavailable", "overloaded", "outcome_unknown"}


async def test_connections_whose_sweep_stays_unanswered_are_sent_elsewhere(own_redis: Server, rig: Rig):
    """C17"""
    clients = [(await rig.connected(user))[0] for user in ("ann", "bob")]
    own_redis.send(signal.SIGSTOP)
    try:
        for client in clients:
            code, said = await client.end(seconds=60)
            assert code == 4005
            assert said is not None
            assert said["reconnect"] is True
    finally:
        own_redis.send(signal.SIGCONT)


async def test_who_connects_while_redis_is_away_is_sent_elsewhere(own_redis: Server, patient_rig: Rig):
    own_redis.kill()
    client = await patient_rig.dial()
    await client.say("connect", token=patient_rig.token("ann"))
    code, said = await client.end(seconds=40)
    assert code == 4005
    assert said is not None
    assert "retry_after_ms" in said
