"""The state instead of the events: when it is asked for, and how what is live meanwhile joins it."""

import time
from http import HTTPStatus

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.scripted import CHAT, EPOCH, OTHER, USER, ScriptedServer, eventually, message, state

pytestmark = pytest.mark.anyio


async def test_live_events_wait_for_the_state_and_older_ones_are_dropped(server: ScriptedServer, run: Run) -> None:
    """C8"""
    server.sync_gate.clear()
    server.states.append(state(11, [message(1, "in the state")]))
    program = await run()
    session = await server.session()
    await session.expect("connect")
    await session.connected(10, resync="position_trimmed")
    await session.event(11, "message.created", message(1, "in the state"))
    await session.event(12, "message.created", message(2, "above it"))
    await session.ping(12)  # so all of it has arrived, and none of it was shown
    assert await program.pending() == []
    assert program.nothing_new("item")
    server.sync_gate.set()
    resynced, event = await program.items(2)
    assert (resynced["reason"], resynced["rooms"]) == ("position_trimmed", {CHAT: ["in the state"]})
    assert (event["position"], event["data"]["content"]["text"]) == (f"{EPOCH}-12", "above it")


async def test_having_left_while_the_state_was_read_is_not_undone_by_it(server: ScriptedServer, run: Run) -> None:
    """C8: the state still lists the conversation; the event above its position comes after it, not before."""
    server.sync_gate.clear()
    me = {"user_id": USER, "role": "member", "rev": 1, "joined_rev": 1}
    listing = state(10, [message(1)])
    listing["conversations"][0]["members"] = [me]
    server.states.append(listing)
    program = await run()
    session = await server.session()
    await session.expect("connect")
    await session.connected(10, resync="fresh")
    left = {"conversation_id": CHAT, "rev": 9, "actor_id": OTHER, "members": [me | {"rev": 9}]}
    await session.event(11, "member.left", left)
    await session.ping(11)
    server.sync_gate.set()
    assert [item["name"] for item in await program.items(2)] == ["resynced", "member.left"]


async def test_epoch_change_in_mid_connection_resyncs(server: ScriptedServer, run: Run) -> None:
    """A5"""
    program = await run(speed=20)
    session = await server.fresh(5)
    await program.item("resynced")
    server.states.clear()
    server.states.append(state(0, [message(1, "new era")], epoch=EPOCH + 1))
    await session.say({"type": "resync_required", "reason": "epoch_changed", "position": f"{EPOCH + 1}-0"})
    assert (await program.item("resynced"))["reason"] == "epoch_changed"
    await session.event(1, "message.created", message(2, "goes on"), epoch=EPOCH + 1)
    assert (await program.item("message.created"))["position"] == f"{EPOCH + 1}-1"


async def test_event_of_another_epoch_resyncs(server: ScriptedServer, run: Run) -> None:
    """A5: nobody said so, but the log that was followed is gone."""
    program = await run(speed=20)
    session = await server.fresh(5)
    await program.item("resynced")
    server.states.clear()
    server.states.append(state(7, [message(1, "new era")], epoch=EPOCH + 1))
    await session.event(7, "message.created", message(1, "new era"), epoch=EPOCH + 1)
    assert (await program.item("resynced"))["position"] == f"{EPOCH + 1}-7"
    await session.event(8, "message.created", message(2, "goes on"), epoch=EPOCH + 1)
    assert (await program.item("message.created"))["position"] == f"{EPOCH + 1}-8"


async def test_state_that_can_not_be_had_is_asked_for_again(server: ScriptedServer, run: Run) -> None:
    server.states.extend([HTTPStatus.SERVICE_UNAVAILABLE, state(1, [message(1)])])
    program = await run()
    session = await server.session()
    await session.expect("connect")
    await session.connected(1, resync="fresh")
    await program.item("resynced")
    assert server.syncs == 2


async def test_state_is_asked_for_within_the_wait_that_the_server_names(server: ScriptedServer, run: Run) -> None:
    """A5: after a failover everybody resyncs, and not all at once."""
    program = await run(start=False)
    server.states.append(state(0))
    waits: list[float] = []
    for n in range(8):
        await program.start(server, client=str(n))
        session = await server.session()
        await session.expect("connect")
        begun = time.monotonic()
        await session.connected(0, resync="fresh", retry_after_ms=4000)
        await program.item("resynced", client=str(n))
        waits.append((time.monotonic() - begun) * program.speed)
    assert max(waits) - min(waits) > 0.5
    assert max(waits) < 4 + 5


async def test_state_of_many_pages_is_one(server: ScriptedServer, run: Run) -> None:
    first, second = state(3, [message(1, "one")]), state(4, [message(1, "two")])
    first["next_cursor"] = "more/of it"
    second["conversations"][0]["conversation_id"] = CHAT.replace("c1", "c2")
    server.states.extend([first, second])
    program = await run()
    session = await server.session()
    await session.expect("connect")
    await session.connected(3, resync="fresh")
    resynced = await program.item("resynced")
    assert resynced["rooms"] == {CHAT: ["one"], CHAT.replace("c1", "c2"): ["two"]}
    assert resynced["position"] == f"{EPOCH}-3"
    assert "cursor=more%2Fof+it" in server.queries[1].replace("%20", "+")


async def test_lost_connection_while_the_state_is_read_begins_anew(server: ScriptedServer, run: Run) -> None:
    server.sync_gate.clear()
    program = await run()
    session = await server.session()
    await session.expect("connect")
    await session.connected(3, resync="fresh")
    await session.ping(3)
    session.cut()
    session = await server.session()
    assert (await session.expect("connect")).get("resume") is None
    await session.connected(9, resync="fresh")
    await session.ping(9)
    server.states.append(state(9, [message(1, "now")]))
    server.sync_gate.set()
    assert (await program.item("resynced"))["position"] == f"{EPOCH}-9"
    await session.event(10, "message.created", message(2))
    await program.item("message.created")


async def test_resync_keeps_what_is_unsent(server: ScriptedServer, run: Run) -> None:
    program = await run(speed=20)
    session = await server.fresh(5)
    await program.item("resynced")
    key = await program.send()
    frame = await session.expect("message.send")
    await session.say({"type": "resync_required", "reason": "gap", "position": f"{EPOCH}-9"})
    server.states.clear()
    server.states.append(state(9, [message(1)]))
    await program.item("resynced")
    assert await program.pending() == [key]
    await session.store(10, frame, 2)
    await program.outcome(key, "stored")


async def test_resume_that_is_not_whole_ends_in_the_state(server: ScriptedServer, run: Run) -> None:
    for reason in ("position_trimmed", "backlog_too_large", "position_ahead", "epoch_changed"):
        server.states.clear()
        program = await run()
        session = await server.fresh(5)
        await program.item("resynced")
        session.cut()
        session = await server.session()
        assert (await session.expect("connect"))["resume"] == f"{EPOCH}-5"
        server.states.clear()
        server.states.append(state(2, [message(1)], epoch=EPOCH + 1))
        await session.connected(2, epoch=EPOCH + 1, resync=reason)
        resynced = await program.item("resynced")
        assert (resynced["reason"], resynced["position"]) == (reason, f"{EPOCH + 1}-2")
        await program.kill()


async def test_state_that_comes_after_the_close_is_nobodys(server: ScriptedServer, run: Run) -> None:
    server.sync_gate.clear()
    server.states.append(state(3))
    program = await run()
    session = await server.session()
    await session.expect("connect")
    await session.connected(3, resync="fresh")
    await session.ping(3)
    await eventually(lambda: server.queries)
    await program("close")
    server.sync_gate.set()
    await eventually(lambda: server.syncs)
    await program.sleep(1)
    assert program.nothing_new("item")
