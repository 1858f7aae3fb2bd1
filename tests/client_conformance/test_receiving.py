"""The log as a program is handed it: in order, without gaps, each change once."""

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.scripted import CHAT, EPOCH, Frame, ScriptedServer, logged, message, state

pytestmark = pytest.mark.anyio


def created(*numbers: int) -> list[Frame]:
    return [logged(n, "message.created", message(n, str(n))) for n in numbers]


def texts(items: list[Frame]) -> list[str]:
    return [item["data"]["content"]["text"] for item in items if item["name"] != "resynced"]


async def test_gap_is_mended_by_sync_in_order(server: ScriptedServer, run: Run) -> None:
    """C9"""
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await session.event(1, "message.created", message(1, "1"))
    await session.event(4, "message.created", message(4, "4"))
    sync = await session.expect("sync")
    assert sync["after"] == f"{EPOCH}-1"
    await session.event(5, "message.created", message(5, "5"))  # live, meanwhile
    await session.page(sync, created(2, 3), more=True)
    sync = await session.expect("sync")
    assert sync["after"] == f"{EPOCH}-3"
    await session.page(sync, created(4, 5))
    assert texts(await program.items(5)) == ["1", "2", "3", "4", "5"]
    await session.event(6, "message.created", message(6, "6"))
    assert texts(await program.items(1)) == ["6"]


@pytest.mark.parametrize("page", [[4], [5, 6], []], ids=["begins-too-late", "begins-at-the-event", "empty"])
async def test_page_that_does_not_join_leads_to_a_resync(server: ScriptedServer, run: Run, page: list[int]) -> None:
    """C9"""
    program = await run(speed=20)
    session = await server.fresh()
    await program.item("resynced")
    server.states.clear()
    server.states.append(state(9, [message(1, "whole")]))
    await session.event(5, "message.created", message(5))
    await session.page(await session.expect("sync"), created(*page))
    assert (await program.item("resynced"))["position"] == f"{EPOCH}-9"


async def test_refused_sync_leads_to_a_resync(server: ScriptedServer, run: Run) -> None:
    program = await run(speed=20)
    session = await server.fresh()
    await program.item("resynced")
    server.states.clear()
    server.states.append(state(9))
    await session.event(5, "message.created", message(5))
    await session.refuse(await session.expect("sync"), "conflict")
    assert (await program.item("resynced"))["position"] == f"{EPOCH}-9"


async def test_sync_without_an_answer_is_not_waited_for_without_end(server: ScriptedServer, run: Run) -> None:
    program = await run(speed=20)
    session = await server.fresh()
    await program.item("resynced")
    await session.event(5, "message.created", message(5))
    await session.expect("sync")
    again = await server.session()
    assert (await again.expect("connect"))["resume"] == f"{EPOCH}-0"


async def test_ping_that_is_ahead_asks_for_the_lost_tail(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh(2)
    await program.item("resynced")
    await session.ping(3)
    sync = await session.expect("sync")
    assert sync["after"] == f"{EPOCH}-2"
    await session.page(sync, created(3))
    assert texts(await program.items(1)) == ["3"]


async def test_the_same_change_is_shown_once(server: ScriptedServer, run: Run) -> None:
    """A1: a repeat for everybody is dropped by `rev`, and so is an older copy; the position moves on."""
    program = await run()
    session = await server.fresh()
    await session.event(1, "message.created", message(1, "one"))
    await session.event(2, "message.created", message(1, "one"), event_id="another")
    await session.event(3, "message.edited", message(1, "edited", rev=5))
    await session.event(4, "message.edited", message(1, "older", rev=4))
    await session.event(5, "message.created", message(2, "two", rev=6))
    assert texts(await program.items(4)) == ["one", "edited", "two"]
    session.cut()
    assert (await (await server.session()).expect("connect"))["resume"] == f"{EPOCH}-5"


async def test_an_event_told_again_is_shown_once(server: ScriptedServer, run: Run) -> None:
    """The event id is of the thing that has happened; what carries no `rev` is told apart by it alone."""
    program = await run()
    session = await server.fresh()
    joined = {"conversation_id": CHAT, "rev": 7, "actor_id": "u", "members": []}
    await session.event(1, "member.joined", joined, event_id="e1")
    await session.event(2, "member.joined", joined, event_id="e1")
    await session.event(2, "member.joined", joined, event_id="e1")
    await session.event(3, "message.created", message(1, "next"))
    assert [item["name"] for item in await program.items(3)] == ["resynced", "member.joined", "message.created"]


async def test_what_is_replayed_twice_is_shown_once(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await session.event(1, "message.created", message(1, "1"))
    await program.items(2)
    session.cut()
    session = await server.ready(2)
    for n in (1, 2):
        await session.event(n, "message.created", message(n, str(n)))
    assert texts(await program.items(1)) == ["2"]


async def test_what_became_of_a_file_is_shown_once_by_rev(server: ScriptedServer, run: Run) -> None:
    file = {"attachment_id": "f1", "name": "a.png", "content_type": "image/png", "size": 12, "status": "pending"}
    clean = file | {"status": "clean", "width": 3, "height": 2, "thumbnail": {"width": 3, "height": 2}}
    program = await run()
    session = await server.fresh()
    await session.event(1, "message.created", message(1, "", attachments=[file]))
    await session.event(2, "attachment.updated", message(1, "", attachments=[clean], rev=5), event_id="e2")
    await session.event(3, "attachment.updated", message(1, "", attachments=[file], rev=4), event_id="e3")
    await session.event(4, "message.created", message(2))
    items = await program.items(4)
    assert [item["name"] for item in items[1:]] == ["message.created", "attachment.updated", "message.created"]
    [seen] = items[2]["data"]["attachments"]
    assert clean.items() <= seen.items()
