"""What is on disk when the process is killed: the outbox, the position, and both moved in one step (D3)."""

import random
from pathlib import Path

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.scripted import EPOCH, OTHER, USER, Frame, ScriptedServer, Session, message, state

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


async def resumed(server: ScriptedServer) -> tuple[Session, str | None]:
    """The next connection, and from where it would go on."""
    session = await server.session()
    return session, (await session.expect("connect")).get("resume")


def unnumbered(frame: Frame) -> Frame:
    return {**frame, "id": 0}


async def test_message_is_on_disk_when_send_returns(server: ScriptedServer, run: Run, store: str) -> None:
    """Connected or not, and before anybody knows who we are."""
    program = await run(start=False)
    await program("start", url="http://127.0.0.1:9", token="t", store=store)
    key = await program.send("before the first connection")
    await program.kill()
    program = await run(store=store)
    session, _ = await resumed(server)
    await session.connected(0)
    server.states.append(state(0))
    frame = await session.expect("message.send")
    assert (frame["client_msg_id"], frame["content"]["text"]) == (key, "before the first connection")
    later = await program.send("later")
    await program.kill()
    program = await run(store=store)
    session = await server.ready()
    again = await session.expect("message.send")
    assert unnumbered(again) == unnumbered(frame)
    await session.store(1, again, 1)
    assert (await session.expect("message.send"))["client_msg_id"] == later


async def test_event_that_was_not_handled_comes_again(server: ScriptedServer, run: Run, store: str) -> None:
    """D3: killed between the event and its acknowledgement, the position is before it, and what it settles is still in the outbox."""
    program = await run(store=store, hold=True)
    session = await server.fresh(1)
    await program.item("resynced")
    await program("take")
    key = await program.send()
    frame = await session.expect("message.send")
    await session.store(2, frame, 1)
    await program.item("message.created")
    await program.kill()
    program = await run(store=store, hold=True)
    session, resume = await resumed(server)
    assert resume == f"{EPOCH}-1"
    await session.connected(2)
    again = await session.expect("message.send")
    assert unnumbered(again) == unnumbered(frame)
    await session.store(2, again, 1)
    await program.outcome(key, "stored")
    assert (await program.item("message.created"))["position"] == f"{EPOCH}-2"


async def test_event_that_was_handled_does_not_come_again(server: ScriptedServer, run: Run, store: str) -> None:
    """D3: killed right after the acknowledgement, position and outbox have moved, both."""
    program = await run(store=store, hold=True)
    session = await server.fresh(1)
    await program.item("resynced")
    await program("take")
    await program.send("first")
    second = await program.send("second")
    await session.store(2, await session.expect("message.send"), 1)
    await program.item("message.created")
    await program("take")
    await program.kill()
    await run(store=store)
    session, resume = await resumed(server)
    assert resume == f"{EPOCH}-2"
    await session.connected(2)
    assert (await session.expect("message.send"))["client_msg_id"] == second


async def test_state_that_was_not_handled_is_loaded_again(server: ScriptedServer, run: Run, store: str) -> None:
    """D3: nothing may be skipped because the state was fetched; only because it was taken in."""
    program = await run(store=store, hold=True)
    await server.fresh(7)
    await program.item("resynced")
    await program.kill()
    program = await run(store=store, hold=True)
    session, resume = await resumed(server)
    assert resume is None
    await session.connected(7, resync="fresh")
    await program.item("resynced")
    await program("take")
    await program.kill()
    await run(store=store)
    _, resume = await resumed(server)
    assert resume == f"{EPOCH}-7"


async def test_refused_message_is_off_the_disk(server: ScriptedServer, run: Run, store: str) -> None:
    program = await run(store=store)
    session = await server.fresh()
    first, second = await program.send("bad"), await program.send("good")
    await session.refuse(await session.expect("message.send"), "bad_request")
    await program.outcome(first, "rejected")
    await session.expect("message.send")
    await program.sleep(1)
    await program.kill()
    await run(store=store)
    session = await server.ready()
    assert (await session.expect("message.send"))["client_msg_id"] == second


async def test_outbox_and_position_survive_a_close(server: ScriptedServer, run: Run, store: str) -> None:
    program = await run(store=store)
    session = await server.fresh(7)
    key = await program.send("unsent")
    edit = (await program("edit", message=message(1, sender=USER), text="also"))["key"]
    frame = await session.expect("message.send")
    await session.event(8, "message.created", message(1))
    await program.items(2)
    await program("close")
    program = await run(store=store)
    session, resume = await resumed(server)
    assert resume == f"{EPOCH}-8"
    await session.connected(8)
    again = await session.expect("message.send")
    assert unnumbered(again) == unnumbered(frame)
    assert await program.pending() == [key, edit]
    await session.store(9, again, 2)
    await program.outcome(key, "stored")
    await session.event(
        10,
        "message.edited",
        message(1, "also", sender=USER, rev=9),
        actor_id=USER,
        client_op_id=(await session.expect("message.edit"))["client_op_id"],
    )
    await program.outcome(edit, "stored")
    await program.items(2)
    await program("close")
    program = await run(store=store)
    session, resume = await resumed(server)
    assert resume == f"{EPOCH}-10"
    await session.connected(10)
    await session.ping(10)
    assert await program.pending() == []


async def test_message_of_files_alone_survives_and_is_resent_unchanged(
    server: ScriptedServer, run: Run, store: str
) -> None:
    program = await run(store=store)
    session = await server.fresh(7)
    await program.send("", attachments=["f1", "f2"])
    frame = await session.expect("message.send")
    assert (frame["content"], frame["attachments"]) == ({"text": ""}, ["f1", "f2"])
    await program.kill()
    await run(store=store)
    session = await server.fresh(7)
    assert unnumbered(await session.expect("message.send")) == unnumbered(frame)


async def test_another_users_position_and_messages_are_left_alone(server: ScriptedServer, run: Run, store: str) -> None:
    """C10: a shared machine, one store, a new user; and the first user goes on where they were."""
    program = await run(store=store)
    session = await server.fresh(3)
    await program.item("resynced")
    key = await program.send("alice's")
    await session.expect("message.send")
    await program("close")
    program = await run(store=store)
    server.states.clear()
    server.states.append(state(3, user=OTHER))
    session, _ = await resumed(server)
    await session.connected(3, user=OTHER)
    await program.item("resynced")
    assert await program.pending() == []
    await session.ping(3)
    await program("close")
    program = await run(store=store)
    session, _ = await resumed(server)
    server.states.clear()
    server.states.append(state(3))
    await session.connected(3)
    assert (await session.expect("message.send"))["client_msg_id"] == key


async def test_message_written_before_we_knew_who_we_are_is_this_users(
    server: ScriptedServer, run: Run, store: str
) -> None:
    program = await run(store=store)
    session = await server.fresh()
    await program.item("resynced")
    await program("close")
    program = await run(store=store)
    key = await program.send()
    session, _ = await resumed(server)
    server.states.clear()
    server.states.append(state(3, user=OTHER))
    await session.connected(3, user=OTHER)
    assert (await session.expect("message.send"))["client_msg_id"] == key


async def test_wherever_it_is_killed_exactly_what_is_above_the_position_is_sent_again(
    server: ScriptedServer, run: Run, store: str
) -> None:
    """D3: a row that left the outbox before its event was handled would be lost with it, one that stayed would be said twice."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    rooms = [f"00000000-0000-4000-8000-{n:012x}" for n in range(1, 21)]
    program = await run(store=store)
    session = await server.fresh(0)
    await program.item("resynced")
    keys = [await program.send(str(n), room) for n, room in enumerate(rooms, 1)]
    handled = 0
    while handled < len(rooms):
        frames = [await session.expect("message.send") for _ in keys[handled:]]
        assert {frame["client_msg_id"] for frame in frames} == set(keys[handled:]), f"seed {seed}"
        await session.ping(handled)
        last = min(handled + chance.randint(2, 9), len(rooms))
        for n in range(handled + 1, last + 1):
            data = message(1, client_msg_id=keys[n - 1], sender=USER, conversation_id=rooms[n - 1], message_id=f"m{n}")
            await session.event(n, "message.created", data)
        for _ in range(last - handled if last == len(rooms) else chance.randint(0, last - handled)):
            await program.item("message.created")
        await program.sleep(chance.uniform(0, 0.3))
        await program.kill()
        program = await run(store=store)
        session, resume = await resumed(server)
        assert resume is not None, f"seed {seed}"
        handled = int(resume.split("-")[1])
        await session.connected(handled)
    await session.ping(handled)
    assert await program.pending() == [], f"seed {seed}"
