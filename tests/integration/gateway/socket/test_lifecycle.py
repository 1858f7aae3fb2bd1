"""How connections begin and end: refusals, tokens, heartbeats, replacement, drain."""

import asyncio
import time

import pytest

from backplane.telemetry import closes
from schemas.errors import CLOSES
from schemas.ids import SessionId, UserId
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import Client, Rig, until

pytestmark = pytest.mark.anyio


async def ended(client: Client) -> str:
    """The name of the close, after checking that frame and code say the same."""
    code, said = await client.end()
    assert said is not None, f"no `disconnect` before {code}"
    assert said["code"] == code
    assert said["reconnect"] is (code < 4500)
    return next(name for name, row in CLOSES.items() if row.code == code)


@with_limits(connect_seconds=0.2)
async def test_a_socket_that_says_nothing_is_closed(rig: Rig):
    assert await ended(await rig.dial()) == "connect_timeout"


async def test_a_foreign_sub_protocol_is_refused_after_the_upgrade(rig: Rig):
    client = await rig.dial(subprotocols=["graphql-ws"])
    assert await ended(client) == "unsupported_protocol"


async def test_no_sub_protocol_at_all_is_ours(rig: Rig):
    client = await rig.dial(subprotocols=None)
    await client.say("connect", token=rig.token("ann"))
    await client.hear("connected")


@with_limits(allowed_origins=("https://app.example",))
async def test_only_our_own_and_listed_web_origins_may_connect(rig: Rig):
    assert await ended(await rig.dial(origin="https://evil.example")) == "forbidden_origin"
    for origin in ("https://app.example", f"http://127.0.0.1:{rig.port}"):
        client = await rig.dial(origin=origin)
        await client.say("connect", token=rig.token("ann"))
        await client.hear("connected")


async def test_the_upgrade_answers_our_sub_protocol(rig: Rig):
    assert (await rig.dial()).socket.subprotocol == "headrace.v1"


async def test_a_bad_token_is_final_and_an_expired_one_is_not(rig: Rig):
    client = await rig.dial()
    await client.say("connect", token="no token")
    assert await ended(client) == "authentication_failed"
    client = await rig.dial()
    await client.say("connect", token=rig.token("ann", now_ms=time.time_ns() // 1_000_000 - 3_600_000))
    assert await ended(client) == "token_expired"


async def test_anything_before_connect_is_a_bad_request(rig: Rig):
    client = await rig.dial()
    await client.say("sync", after="1-1")
    assert await ended(client) == "bad_request"


async def test_a_second_connect_is_a_bad_request(rig: Rig):
    client, _ = await rig.connected("ann")
    await client.say("connect", token=rig.token("ann"))
    assert await ended(client) == "bad_request"


async def test_the_answer_to_connect_tells_what_a_client_needs(rig: Rig):
    client = await rig.dial()
    await client.say("connect", token=rig.token("ann"), id=3)
    hello = await client.hear("connected")
    assert (hello["id"], hello["session_id"], hello["heartbeat_interval_ms"]) == (3, "s1", 25_000)
    assert hello["limits"] == {
        "frame_bytes": 65536, "text_length": 10_000, "log_entries": 10_000, "resume_entries": 5000,
        "watched_conversations": 20, "presence_subscriptions": 500,
        "rates": {},
    }  # fmt: skip
    assert hello["token_expires_at"] > hello["server_time"]


@with_limits(access_token_seconds=30)
async def test_a_token_that_ends_soon_is_announced_and_a_new_one_is_taken(rig: Rig):
    client, hello = await rig.connected("ann")
    expiring = await client.hear("token_expiring")
    assert expiring["expires_at"] == hello["token_expires_at"]
    later = rig.token("ann", now_ms=time.time_ns() // 1_000_000 + 20_000)
    reply = await client.ask("refresh", token=later)
    assert reply["result"]["token_expires_at"] > hello["token_expires_at"]
    assert (await client.ask("refresh", token=rig.token("bob")))["error"]["code"] == "forbidden"
    assert (await client.ask("refresh", token=rig.token("ann", session="s2")))["error"]["code"] == "forbidden"
    assert (await client.ask("refresh", token="x"))["error"]["code"] == "authentication_failed"


@with_limits(access_token_seconds=30, heartbeat_seconds=1)
async def test_a_token_that_ends_closes_the_connection(rig: Rig):
    client = await rig.dial()
    await client.say("connect", token=rig.token("ann", now_ms=time.time_ns() // 1_000_000 - 28_000))
    await client.hear("connected")
    assert await ended(client) == "token_expired"


@with_limits(heartbeat_seconds=1.0)
async def test_who_answers_pings_stays_and_who_is_silent_goes(rig: Rig):
    silent, _ = await rig.connected("ann")
    talking, hello = await rig.connected("bob")
    for _ in range(3):
        ping = await talking.hear("ping")
        assert ping["position"] == hello["position"]
    assert await ended(silent) == "heartbeat_timeout"
    assert (await talking.send())["ok"] is True


async def test_the_same_running_copy_of_a_client_replaces_itself(rig: Rig):
    old, _ = await rig.connected("ann", device_id="d", instance_id="i")
    tab, _ = await rig.connected("ann", device_id="d", instance_id="other tab")
    nameless, _ = await rig.connected("ann", device_id="d")
    other, _ = await rig.connected("bob", device_id="d", instance_id="i")
    new, _ = await rig.connected("ann", device_id="d", instance_id="i")
    assert await ended(old) == "replaced"
    await rig.append("ann")
    for client in (new, tab, nameless):
        assert await client.events(1) == [1]
    assert (await other.send())["ok"] is True


@with_limits(drain_seconds=0.5)
async def test_a_draining_gateway_says_goodbye_to_everybody_over_time_and_takes_nobody(rig: Rig):
    clients = [(await rig.connected(f"user {n}"))[0] for n in range(10)]
    before = closes.labels("draining")._value.get()
    left: list[float] = []
    waits: set[int] = set()

    async def leave(client: Client) -> None:
        code, said = await client.end()
        left.append(time.monotonic())
        assert code == 4005
        assert said is not None
        waits.add(said["retry_after_ms"])

    leaving = [asyncio.create_task(leave(client)) for client in clients]
    await rig.hub.drain()
    await asyncio.gather(*leaving)
    assert len(rig.hub) == 0
    assert max(left) - min(left) > 0.25, "spread, not all at once"
    assert len(waits) > 3, "each has a wait of its own"
    assert closes.labels("draining")._value.get() - before == 10
    assert await ended(await rig.dial()) == "draining"


async def test_a_client_that_vanishes_is_forgotten(rig: Rig):
    clients = [(await rig.connected("ann"))[0] for _ in range(5)]
    for client in clients:
        client.socket.transport.abort()
    await until(lambda: len(rig.hub) == 0)


async def test_a_bot_without_the_scope_to_read_may_not_connect(rig: Rig):
    now_ms = time.time_ns() // 1_000_000
    client = await rig.dial()
    token = rig.tokens.issue(UserId("bot"), SessionId("s"), now_ms=now_ms, scopes=["messages:write", "webhooks"])
    await client.say("connect", token=token)
    code, said = await client.end()
    assert (code, said and said["reason"]) == (4500, "The token lacks the scope `messages:read`.")


async def test_a_bot_without_the_scope_to_write_hears_and_may_not_send(rig: Rig):
    now_ms = time.time_ns() // 1_000_000
    client = await rig.dial()
    await client.say(
        "connect", token=rig.tokens.issue(UserId("bot"), SessionId("s"), now_ms=now_ms, scopes=["messages:read"])
    )
    await client.hear("connected")
    refused = await client.send()
    assert (refused["ok"], refused["error"]["code"]) == (False, "forbidden")
    assert "`messages:write`" in refused["error"]["message"]
    await rig.append("bot")
    await client.events(1)
