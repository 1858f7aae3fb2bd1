"""What is true of a connection alone: marks, what is looked at, who types and who is there."""

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.scripted import CHAT, OTHER, USER, ScriptedServer

pytestmark = pytest.mark.anyio


async def test_what_is_looked_at_is_said_anew_on_every_connection(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    for _ in range(2):
        if session.done.is_set():
            session = await server.ready()
        else:
            await program("watch", conversation_id=CHAT)
            await program("subscribe", user_ids=[OTHER])
            await program("status", status="busy")
        seen = {frame["type"]: frame for frame in [await session.any() for _ in range(3)]}
        assert seen["watch"]["conversation_id"] == CHAT
        assert seen["presence.subscribe"]["user_ids"] == [OTHER]
        assert seen["presence.set"]["status"] == "busy"
        session.cut()


async def test_presence_is_told_as_it_is_and_as_it_changes(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await program("subscribe", user_ids=[OTHER])
    now = {"user_id": OTHER, "status": "online", "last_active_at": None}
    await session.answer(await session.expect("presence.subscribe"), {"states": [now]})
    assert (await program.item("presence"))["data"]["status"] == "online"
    await session.say({"type": "ephemeral", "event": "presence", "data": now | {"status": "away"}})
    assert (await program.item("presence"))["data"]["status"] == "away"
    await program("unsubscribe", user_ids=[OTHER])
    assert (await session.expect("presence.unsubscribe"))["user_ids"] == [OTHER]


async def test_what_is_refused_for_good_is_wanted_no_more(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await program("watch", conversation_id=CHAT)
    await session.refuse(await session.expect("watch"), "not_member")
    await session.ping(0)
    session.cut()
    session = await server.ready()
    await session.ping(0)


async def test_what_is_refused_for_now_is_said_again(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await program("watch", conversation_id=CHAT)
    await session.refuse(await session.expect("watch"), "rate_limited", temporary=True, retry_after_ms=500)
    assert (await session.expect("watch"))["conversation_id"] == CHAT
    await program("unwatch", conversation_id=CHAT)
    assert (await session.expect("unwatch"))["conversation_id"] == CHAT


async def test_typing_is_said_every_three_seconds_at_most_and_not_later(server: ScriptedServer, run: Run) -> None:
    program = await run()
    await program("typing", conversation_id=CHAT)
    session = await server.fresh()
    await program.item("resynced")
    await session.ping(0)  # what was typed while there was no connection is not said
    for _ in range(3):
        await program("typing", conversation_id=CHAT)
    assert (await session.expect("typing"))["state"] == "start"
    await session.ping(0)
    await program("typing", conversation_id=CHAT, stop=True)
    assert (await session.expect("typing"))["state"] == "stop"
    await program("typing", conversation_id=CHAT, stop=True)
    await session.ping(0)
    await program.sleep(3.5)
    await program("typing", conversation_id=CHAT)
    assert (await session.expect("typing"))["state"] == "start"


async def test_others_typing_is_told(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    typing = {"conversation_id": CHAT, "user_id": OTHER, "state": "start", "expires_in_ms": 6000}
    await session.say({"type": "ephemeral", "event": "typing", "data": typing})
    assert typing.items() <= (await program.item("typing"))["data"].items()


async def test_marks_are_merged_and_said_again_until_they_are_confirmed(server: ScriptedServer, run: Run) -> None:
    program = await run(speed=1)
    session = await server.fresh()
    await program.item("resynced")
    for seq in [*range(1, 40), 7]:
        await program("read", conversation_id=CHAT, seq=seq)
    said = [0]
    while said[-1] < 39:
        said.append((await session.expect("receipt"))["read_seq"])
    assert said == sorted(set(said))
    assert len(said) < 20
    session.cut()
    session = await server.ready()
    assert (await session.expect("receipt"))["read_seq"] == 39
    confirmed = {"conversation_id": CHAT, "user_id": USER, "delivered_seq": 39, "read_seq": 39}
    await session.event(1, "receipt.updated", confirmed)
    await program.item("receipt.updated")
    await program("read", conversation_id=CHAT, seq=39)
    session.cut()
    session = await server.ready(1)
    await session.ping(1)


async def test_private_mark_is_said_as_private(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await program("read", conversation_id=CHAT, seq=2, private=True)
    frame = await session.expect("receipt")
    assert (frame["read_seq"], frame["private"]) == (2, True)


async def test_mark_that_is_refused_for_now_is_said_again_and_one_that_is_for_good_is_not(
    server: ScriptedServer, run: Run
) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await program("read", conversation_id=CHAT, seq=2)
    await session.refuse(await session.expect("receipt"), "rate_limited", temporary=True, retry_after_ms=500)
    frame = await session.expect("receipt")
    assert frame["read_seq"] == 2
    await session.refuse(frame, "not_member")
    await session.ping(0)
    session.cut()
    session = await server.ready()
    await session.ping(0)
