"""Who is there, to those who want to know: devices merged, gateways side by side, one of them killed."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr
from websockets.asyncio.client import connect

from backplane.telemetry import ephemera
from schemas.ids import UserId
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import SUBPROTOCOL, Client, Rig, until
from tests.integration.gateway.socket.test_slow import lazy
from tests.services import free_port

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[4]
ANN, BOB = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
KEY = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def states(client: Client, *users: str) -> dict[str, str]:
    reply = await client.ask("presence.subscribe", user_ids=users)
    assert reply["ok"] is True, reply
    return {state["user_id"]: state["status"] for state in reply["result"]["states"]}


async def seen(client: Client) -> tuple[str, str]:
    said = (await client.hear("ephemeral", event="presence"))["data"]
    return said["user_id"], said["status"]


async def onlooker(rig: Rig, *users: str) -> Client:
    client, _ = await rig.connected(BOB)
    await states(client, *users)
    return client


async def test_whoever_asks_is_told_how_people_are_and_what_changes(rig: Rig):
    bob, hello = await rig.connected(BOB)
    assert hello["limits"]["presence_subscriptions"] == 500
    reply = await bob.ask("presence.subscribe", user_ids=[ANN])
    assert reply["result"] == {"states": [{"user_id": ANN, "status": "offline", "last_active_at": None}]}
    before = time.time()
    ann, _ = await rig.connected(ANN)
    said = (await bob.hear("ephemeral", event="presence"))["data"]
    assert (said["user_id"], said["status"]) == (ANN, "online")
    assert said["last_active_at"][:10] in {time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (before, time.time())}
    for status in ("busy", "away", "online"):
        assert (await ann.ask("presence.set", status=status))["ok"] is True
        assert await seen(bob) == (ANN, status)


async def test_two_gateways_and_several_devices_are_one_person(pair: tuple[Rig, Rig]):
    one, other = pair
    bob = await onlooker(one, ANN)
    phone, _ = await one.connected(ANN)
    assert await seen(bob) == (ANN, "online")
    laptop, _ = await other.connected(ANN)
    await laptop.ask("presence.set", status="busy")
    assert await seen(bob) == (ANN, "busy")
    await phone.ask("presence.set", status="away")
    await laptop.ask("presence.set", status="online")
    assert await seen(bob) == (ANN, "online")
    await laptop.socket.close()
    assert await seen(bob) == (ANN, "away")
    eve, _ = await other.connected(str(uuid.UUID(int=3)))
    assert await states(eve, ANN, BOB) == {ANN: "away", BOB: "online"}


async def test_an_invisible_device_hides_all_the_others(pair: tuple[Rig, Rig]):
    one, other = pair
    bob = await onlooker(one, ANN)
    phone, _ = await other.connected(ANN)
    assert await seen(bob) == (ANN, "online")
    laptop, _ = await other.connected(ANN)
    await laptop.ask("presence.set", status="invisible")
    assert await seen(bob) == (ANN, "offline")
    await phone.ask("presence.set", status="busy")
    await laptop.ask("presence.set", status="online")
    assert await seen(bob) == (ANN, "busy"), "and nothing before"


@with_limits(presence_grace_seconds=0.3)
async def test_after_the_grace_somebody_is_gone(rig: Rig):
    bob = await onlooker(rig, ANN)
    ann, _ = await rig.connected(ANN)
    assert await seen(bob) == (ANN, "online")
    ended = time.monotonic()
    ann.socket.transport.abort()
    assert await seen(bob) == (ANN, "offline")
    assert time.monotonic() - ended >= 0.29


@with_limits(presence_grace_seconds=30)
async def test_who_comes_back_within_the_grace_was_never_away(pair: tuple[Rig, Rig]):
    one, other = pair
    bob = await onlooker(one, ANN)
    ann, _ = await one.connected(ANN, device_id="d", instance_id="i")
    assert await seen(bob) == (ANN, "online")
    await ann.ask("presence.set", status="busy")
    assert await seen(bob) == (ANN, "busy")
    await ann.socket.close()
    again, _ = await other.connected(ANN, device_id="d", instance_id="i")
    await again.ask("presence.set", status="away")
    assert await seen(bob) == (ANN, "away"), "the first that is heard: meanwhile it was still busy"


@pytest.fixture
def doomed(redis_settings_url: str, rig_names: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A gateway process of the same deployment."""
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "HEADRACE_PORT": str(port), "HEADRACE_REDIS_URL": redis_settings_url}
    popen = subprocess.Popen([sys.executable, "-m", "gateway"], cwd=ROOT, env=environment | rig_names)
    yield popen, port
    popen.kill()
    popen.wait()


@pytest.fixture
def redis_settings_url(rig: Rig) -> str:
    return rig.settings.redis_url.get_secret_value()


@pytest.fixture
def rig_names(rig: Rig) -> dict[str, str]:
    return {
        "HEADRACE_ENVIRONMENT": "development",
        "HEADRACE_NAMESPACE": rig.settings.namespace,
        "HEADRACE_PARTITIONS": str(rig.settings.partitions),
        "HEADRACE_SHARDS": str(rig.settings.shards),
        "HEADRACE_MONGODB_URL": f"mongodb://127.0.0.1:{free_port()}/",
        "HEADRACE_SIGNING_KEY": KEY,
        "HEADRACE_SWEEP_SECONDS": "0.3",
    }


@with_limits(sweep_seconds=0.3, signing_key=SecretStr(KEY), presence_grace_seconds=60)
async def test_a_gateway_that_is_killed_takes_its_users_along_for_those_who_look(
    rig: Rig, doomed: tuple[subprocess.Popen[bytes], int]
):
    popen, port = doomed
    bob = await onlooker(rig, ANN)
    async with asyncio.timeout(30):
        while True:
            try:
                socket = await connect(f"ws://127.0.0.1:{port}/ws", subprotocols=[SUBPROTOCOL])
                break
            except OSError:
                await asyncio.sleep(0.05)
    ann = Client(socket)
    await ann.say("connect", token=rig.token(ANN))
    await ann.hear("connected")
    assert await seen(bob) == (ANN, "online")
    popen.kill()
    assert await seen(bob) == (ANN, "offline"), "though nobody was there to say so"


@with_limits(sweep_seconds=0.7)
async def test_the_sweep_keeps_people_alive_and_finds_what_nobody_told(rig: Rig):
    bob = await onlooker(rig, ANN)
    ann, _ = await rig.connected(ANN)
    assert await seen(bob) == (ANN, "online")
    key = rig.settings.names.presence(UserId(ANN))
    await rig.redis.command(
        "DEL", key
    )  # the server forgets: it is told that ann lives, and bob hears at most a flicker
    await until_there(rig, key)
    ttl_passed = time.monotonic() + 3 * 0.7 + 0.5  # longer than anybody lives without a sweep
    while time.monotonic() < ttl_passed:
        eve, _ = await rig.connected(str(uuid.uuid4()))
        assert await states(eve, ANN) == {ANN: "online"}
        await eve.socket.close()
        await asyncio.sleep(0.05)
    assert (await ann.ask("presence.set", status="busy"))["ok"] is True
    while await seen(bob) != (ANN, "busy"):
        pass


async def until_there(rig: Rig, key: str) -> None:
    async with asyncio.timeout(20):
        while not await rig.redis.command("HGET", key, "shown"):
            pass


async def test_a_channel_is_subscribed_only_while_somebody_here_wants_to_know(rig: Rig):
    channel = rig.settings.names.presence(UserId(ANN))
    one, _ = await rig.connected(BOB)
    two, _ = await rig.connected(BOB)
    assert await rig.listeners(channel) == 0
    await states(one, ANN)
    await states(two, ANN)
    assert await rig.listeners(channel) == 1
    await one.ask("presence.unsubscribe", user_ids=[ANN])
    assert await rig.listeners(channel) == 1
    ann, _ = await rig.connected(ANN)
    assert await seen(two) == (ANN, "online")
    two.socket.transport.abort()
    await until(lambda: rig.ephemera.subscribed == 0)
    assert await rig.listeners(channel) == 0
    await ann.socket.close()
    assert (await one.ask("presence.unsubscribe", user_ids=[ANN]))["ok"] is True
    assert one.passed == []


async def test_a_connection_wants_to_know_a_bounded_number_of_people(rig: Rig):
    bob, _ = await rig.connected(BOB)
    people = [str(uuid.UUID(int=number)) for number in range(10, 611)]
    for start in (0, 200):
        assert len(await states(bob, *people[start : start + 200])) == 200
    assert len(await states(bob, *people[400:500])) == 100
    refused = await bob.ask("presence.subscribe", user_ids=[people[500]])
    assert refused["error"]["code"] == "bad_request"
    assert rig.ephemera.subscribed == 500
    assert (await bob.ask("presence.subscribe", user_ids=people[:201]))["error"]["code"] == "bad_request"
    await bob.ask("presence.unsubscribe", user_ids=people[:1])
    assert len(await states(bob, people[500], people[500])) == 1


@with_limits(ephemera=False)
async def test_switched_off_everybody_is_offline_and_nothing_is_written(rig: Rig):
    ann, _ = await rig.connected(ANN)
    assert (await ann.ask("presence.set", status="busy"))["ok"] is True
    bob, _ = await rig.connected(BOB)
    assert await states(bob, ANN) == {ANN: "offline"}
    assert rig.ephemera.subscribed == 0
    assert (await bob.ask("presence.unsubscribe", user_ids=[ANN]))["ok"] is True
    assert await rig.redis.command("EXISTS", rig.settings.names.presence(UserId(ANN))) == 0


async def test_what_is_sent_and_dropped_is_counted(rig: Rig):
    sent = ephemera.labels("presence", "sent")._value.get()
    bob = await onlooker(rig, ANN)
    await rig.connected(ANN)
    await seen(bob)
    assert ephemera.labels("presence", "sent")._value.get() == sent + 1


@with_limits(sweep_seconds=0.3, heartbeat_seconds=60, send_buffer_bytes=16384)
async def test_a_slow_reader_loses_no_event_and_hears_in_the_end_how_people_are(rig: Rig):
    slow = await lazy(rig, BOB)
    assert await states(slow, ANN) == {ANN: "offline"}
    ann, _ = await rig.connected(ANN)
    dropped = ephemera.labels("presence", "dropped")._value.get()
    await rig.append(BOB, 1000, size=3000)
    while ephemera.labels("presence", "dropped")._value.get() == dropped:
        for status in ("busy", "away"):
            await ann.ask("presence.set", status=status)
    await ann.ask("presence.set", status="online")
    assert await slow.events(1000, seconds=60) == list(range(1, 1001))
    told = [frame["data"]["status"] for frame in slow.passed if frame["type"] == "ephemeral"]
    async with asyncio.timeout(20):
        while not told or told[-1] != "online":
            told.append((await seen(slow))[1])
