"""Rate limits on sockets, and how many of them a gateway takes."""

import asyncio
import uuid

import pytest

from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import CONVERSATION, Client, Rig

pytestmark = pytest.mark.anyio


async def ended(client: Client) -> tuple[str, dict]:
    _, said = await client.end()
    assert said is not None
    return said["reason"], said


@with_limits(rate_limits="send=20/2000")
async def test_messages_over_the_limit_are_refused_and_the_client_is_told_when(pair: tuple[Rig, Rig]) -> None:
    """Both gateways count together."""
    clients = [(await rig.connected("ann"))[0] for rig in pair]
    replies = [await client.send() for _ in range(15) for client in clients]
    assert sum(reply["ok"] for reply in replies) == 20
    refused = next(reply["error"] for reply in replies if not reply["ok"])
    assert (refused["code"], refused["temporary"]) == ("rate_limited", True)
    assert 0 < refused["retry_after_ms"] <= 100_000
    other, hello = await pair[0].connected("bob")
    assert (await other.send())["ok"]
    assert hello["limits"]["rates"]["send"] == {"burst": 20, "seconds": 2000}


@with_limits(rate_limits="conversation=5/5000")
async def test_a_conversation_has_a_limit_of_its_own(rig: Rig) -> None:
    ann, _ = await rig.connected("ann")
    bob, _ = await rig.connected("bob")
    assert [(await client.send())["ok"] for client in (ann, bob) * 3] == [True] * 5 + [False]
    assert (await bob.send(conversation_id=str(uuid.uuid4())))["ok"]


@with_limits(rate_limits="change=3/3000")
async def test_changes_are_counted_apart_from_messages(rig: Rig) -> None:
    ann, _ = await rig.connected("ann")
    change = {"conversation_id": CONVERSATION, "message_id": str(uuid.uuid4())}
    replies = [await ann.ask("message.delete", client_op_id=str(uuid.uuid4()), **change) for _ in range(4)]
    assert [reply["ok"] for reply in replies] == [True, True, True, False]
    assert replies[3]["error"]["code"] == "rate_limited"
    assert (await ann.send())["ok"]


@with_limits(rate_limits="send=100/1")
async def test_sends_keep_their_order_while_shares_are_fetched(rig: Rig) -> None:
    ann, _ = await rig.connected("ann")
    for number in range(60):
        await ann.say(
            "message.send",
            id=number,
            conversation_id=CONVERSATION,
            client_msg_id=str(uuid.uuid4()),
            content={"text": str(number)},
        )
    replies = [await ann.hear("reply") for _ in range(60)]
    assert [(reply["id"], reply["ok"]) for reply in replies] == [(number, True) for number in range(60)]


@with_limits(rate_limits="frames=50/500")
async def test_a_flood_of_frames_ends_the_connection(rig: Rig) -> None:
    ann, _ = await rig.connected("ann")
    for _ in range(60):
        await ann.say("pong")
    _, said = await ended(ann)
    assert said["code"] == 4006
    assert said["reconnect"] is True
    assert said["retry_after_ms"] >= 5000


@with_limits(rate_limits="connect=2/600")
async def test_connections_of_one_person_are_counted(rig: Rig) -> None:
    for _ in range(2):
        await rig.connected("ann")
    third = await rig.dial()
    await third.say("connect", token=rig.token("ann"), client={})
    _, said = await ended(third)
    assert said["code"] == 4006
    assert said["retry_after_ms"] > 250_000
    await rig.connected("bob")


@with_limits(rate_limits="connect_address=2/600")
async def test_connections_of_one_address_are_counted(rig: Rig) -> None:
    await rig.connected("ann")
    await rig.connected("bob")
    third = await rig.dial()
    await third.say("connect", token=rig.token("cat"), client={})
    assert (await ended(third))[1]["code"] == 4006


@with_limits(connections_per_user=2)
async def test_one_person_has_so_many_sockets(rig: Rig) -> None:
    first, _ = await rig.connected("ann")
    await rig.connected("ann")
    third = await rig.dial()
    await third.say("connect", token=rig.token("ann"), client={})
    assert (await third.end())[0] == 4506
    await first.socket.close()
    await asyncio.sleep(0.1)
    await rig.connected("ann")


@with_limits(connections_per_address=3)
async def test_one_address_has_so_many_sockets_whoever_they_are(rig: Rig) -> None:
    silent = [await rig.dial() for _ in range(3)]  # who says nothing counts, too
    fourth = await rig.dial()
    assert (await fourth.end(2))[0] == 4506
    await silent[0].socket.close()
    await asyncio.sleep(0.1)
    await rig.connected("ann")


@with_limits(accepts_per_second=5)
async def test_a_wave_of_clients_is_sent_away_before_anything_is_done_for_it(rig: Rig) -> None:
    clients = await asyncio.gather(*(rig.dial() for _ in range(30)))
    said = await asyncio.gather(*(client.end(1.5) for client in clients), return_exceptions=True)
    sent_away = [one for one in said if isinstance(one, tuple)]
    assert 15 <= len(sent_away) <= 20  # ten at once, five a second
    for code, frame in sent_away:
        assert code == 4007
        assert frame is not None
        assert 1000 <= frame["retry_after_ms"] < 5000
