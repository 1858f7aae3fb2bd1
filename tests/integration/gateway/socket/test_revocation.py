"""Sessions that end while sockets of theirs are open, on whichever gateway."""

import time

import pytest

from backplane.revocations import Revocations
from schemas.ids import SessionId, UserId
from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import Client, Rig

pytestmark = pytest.mark.anyio
ADA = UserId("ada")


def revocations(rig: Rig) -> Revocations:
    return Revocations(rig.redis, token_seconds=rig.settings.access_token_seconds)


async def arrive(rig: Rig, session: str) -> Client:
    client = await rig.dial()
    await client.say("connect", token=rig.token("ada", session=session), client={})
    await client.hear("connected")
    return client


async def test_an_ended_session_closes_on_every_gateway_within_a_second(pair: tuple[Rig, Rig]) -> None:
    here, there = pair
    phone, tablet = await arrive(here, "phone"), await arrive(there, "phone")
    laptop = await arrive(there, "laptop")
    began = time.monotonic()
    await revocations(here).end(ADA, [SessionId("phone"), SessionId("old")])
    for client in (phone, tablet):
        code, said = await client.end()
        assert code == 4501
        assert said is not None
        assert (said["reconnect"], said["code"]) == (False, 4501)
    assert time.monotonic() - began < 1
    heard = await laptop.hear("ephemeral", event="session.revoked")
    assert heard["data"] == {"session_id": "old"}
    assert (await laptop.ask("sync", after="1-1", limit=1))["ok"] is False  # it lives on


async def test_a_disabled_account_closes_all_its_sockets(pair: tuple[Rig, Rig]) -> None:
    clients = [await arrive(rig, session) for rig in pair for session in ("a", "b")]
    await revocations(pair[0]).disable(ADA)
    assert [(await client.end())[0] for client in clients] == [4502] * 4


async def test_an_ended_session_does_not_connect_again(rig: Rig) -> None:
    await revocations(rig).end(ADA, [SessionId("phone")])
    client = await rig.dial()
    await client.say("connect", token=rig.token("ada", session="phone"), client={})
    assert (await client.end())[0] == 4501
    await arrive(rig, "another")


async def test_an_ended_session_gets_no_more_time(rig: Rig) -> None:
    """Its doorbell got lost: a fresh token of it is no use, and the sweep ends it."""
    client = await arrive(rig, "phone")
    await rig.redis.command("HSET", rig.settings.names.ended(ADA), "phone", "session_revoked")
    reply = await client.ask("refresh", token=rig.token("ada", session="phone"))
    assert reply["error"]["code"] == "session_revoked"


@with_limits(sweep_seconds=0.3)
async def test_the_sweep_finds_what_no_bell_has_told(rig: Rig) -> None:
    phone, laptop = await arrive(rig, "phone"), await arrive(rig, "laptop")
    await rig.redis.command("HSET", rig.settings.names.ended(ADA), "phone", "session_revoked")
    assert (await phone.end(5))[0] == 4501
    assert (await laptop.ask("sync", after="1-1", limit=1))["ok"] is False


async def test_what_is_kept_of_ended_sessions_goes_with_their_tokens(rig: Rig) -> None:
    await revocations(rig).end(ADA, [SessionId("phone")])
    seconds = await rig.redis.command("TTL", rig.settings.names.ended(ADA))
    assert rig.settings.access_token_seconds < seconds <= rig.settings.access_token_seconds + 60
