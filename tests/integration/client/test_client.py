"""What is the Python SDK's own: iterators, awaitables, the store's lock.

The protocol's rules are held by `tests/client_conformance`, for both SDKs.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace_client import (
    AnyEvent,
    Attachment,
    Client,
    Event,
    Link,
    Message,
    Rejected,
    Stopped,
    StoreInUse,
    Thumbnail,
    View,
)
from tests.client_conformance.scripted import (
    CHAT,
    EPOCH,
    PATIENCE_S,
    USER,
    ScriptedServer,
    eventually,
    logged,
    message,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def take(client: Client, count: int) -> list[AnyEvent]:
    """The next events; the last one counts as handled."""
    taken: list[AnyEvent] = []

    async def collect() -> None:
        async with contextlib.aclosing(client.events()) as events:
            async for event in events:
                if len(taken) == count:
                    return
                taken.append(event)

    task = asyncio.create_task(collect())
    try:
        await eventually(lambda: task.done() or len(taken) >= count)
        # Asking for one more is what says “handled”; it is on disk once nothing waits.
        await eventually(lambda: task.done() or not client.stats().inbox)
        if task.done():
            await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return taken


def texts(events: list[AnyEvent]) -> list[str]:
    return [event.data.text for event in events if isinstance(event, Event) and isinstance(event.data, Message)]


def saved_position(path: Path) -> str | None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        row = db.execute("SELECT position FROM positions WHERE user_id = ?", (USER,)).fetchone()
    return row[0] if row else None


async def test_send_is_accepted_then_stored(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        sending = client.send(CHAT, "hello")
        frame = await session.expect("message.send")
        assert frame["content"] == {"text": "hello"}
        assert sending.state == "sending"
        await session.accept(frame)
        await asyncio.wait_for(sending.accepted, PATIENCE_S)
        assert sending.state == "accepted"
        created = message(1, "hello", client_msg_id=sending.client_msg_id, sender=USER)
        await session.event(1, "message.created", created)
        stored = await asyncio.wait_for(sending.stored, PATIENCE_S)
        assert (stored.seq, stored.text, sending.state) == (1, "hello", "stored")
        assert client.pending() == []


async def test_rejection_event_raises_in_both_awaitables_and_is_shown(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        sending = client.send(CHAT, "hello")
        frame = await session.expect("message.send")
        error = {"code": "not_member", "message": "You are not a member."}
        data = {"conversation_id": CHAT, "client_msg_id": frame["client_msg_id"], "error": error}
        await session.event(1, "message.rejected", data)
        with pytest.raises(Rejected) as failure:
            await asyncio.wait_for(sending.stored, PATIENCE_S)
        assert failure.value.code == "not_member"
        with pytest.raises(Rejected):
            await sending.accepted
        _, event = await take(client, 2)
        assert isinstance(event, Event)
        assert event.name == "message.rejected"


async def test_file_is_seen_in_the_view_as_it_has_become(server: ScriptedServer) -> None:
    file = {"attachment_id": "f1", "name": "a.png", "content_type": "image/png", "size": 12, "status": "pending"}
    clean = file | {"status": "clean", "width": 3, "height": 2, "thumbnail": {"width": 3, "height": 2}}
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await session.event(1, "message.created", message(1, "", attachments=[file]))
        await session.event(2, "attachment.updated", message(1, "", attachments=[clean], rev=5), event_id="e2")
        view = View(USER)
        for event in await take(client, 3):
            view.apply(event)
    [seen] = view.rooms[CHAT].messages[1].attachments
    assert seen == Attachment(
        attachment_id="f1",
        name="a.png",
        content_type="image/png",
        size=12,
        status="clean",
        width=3,
        height=2,
        thumbnail=Thumbnail(3, 2),
    )


async def test_position_waits_for_the_handler(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Client(server.url, token="t", store=path) as client:
        session = await server.fresh(1)
        await session.event(2, "message.created", message(1, "one"))
        await take(client, 1)
        async for event in client.events():  # left before the next one was asked for: not handled
            assert texts([event]) == ["one"]
            break
    assert saved_position(path) == f"{EPOCH}-1"
    async with Client(server.url, token="t", store=path) as client:
        session = await server.session()
        assert (await session.expect("connect"))["resume"] == f"{EPOCH}-1"
        await session.connected(2)
        await session.event(2, "message.created", message(1, "one"))
        assert texts(await take(client, 1)) == ["one"]


async def test_failing_handler_does_not_end_the_loop(server: ScriptedServer) -> None:
    seen: list[AnyEvent] = []

    async def handler(event: AnyEvent) -> None:
        seen.append(event)
        raise RuntimeError("a bug of the program's")

    async with Client(server.url, token="t") as client:
        task = asyncio.create_task(client.handle(handler))
        session = await server.fresh()
        await session.event(1, "message.created", message(1))
        await eventually(lambda: len(seen) == 2)
        assert not task.done()
        task.cancel()


async def test_slow_program_gets_everything_from_the_log(server: ScriptedServer) -> None:
    async with Client(server.url, token="t", inbox_limit=4) as client:
        session = await server.fresh()
        for n in range(1, 9):
            await session.event(n, "message.created", message(n, str(n)))
        await session.say({"type": "ping", "position": f"{EPOCH}-8"})
        await session.expect("pong")
        collected = asyncio.create_task(take(client, 9))
        seen = 4
        while seen < 8:
            sync = await session.expect("sync")
            after = int(sync["after"].split("-")[1])
            page = [logged(n, "message.created", message(n, str(n))) for n in range(after + 1, 9)]
            await session.say(
                {"type": "reply", "id": sync["id"], "ok": True, "result": {"events": page, "more": False}}
            )
            seen = max(seen, after + 4)
        while not collected.done():
            with contextlib.suppress(TimeoutError, AssertionError):
                sync = await asyncio.wait_for(session.expect("sync"), 0.1)
                after = int(sync["after"].split("-")[1])
                page = [logged(n, "message.created", message(n, str(n))) for n in range(after + 1, 9)]
                await session.say(
                    {"type": "reply", "id": sync["id"], "ok": True, "result": {"events": page, "more": False}}
                )
        assert texts((await collected)[1:]) == [str(n) for n in range(1, 9)]


async def test_whoever_waits_is_told_that_the_client_has_stopped(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await take(client, 1)
        sending = client.send(CHAT, "hello")
        await session.close(4501, "no")
        with pytest.raises(Stopped) as failure:
            await asyncio.wait_for(sending.stored, PATIENCE_S)
        assert failure.value.code == 4501
        with pytest.raises(Stopped):
            await take_none(client)
        with pytest.raises(Stopped):
            client.send(CHAT, "more")
        assert client.link is Link.DISCONNECTED


async def take_none(client: Client) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for _ in client.events():
            raise AssertionError("there is nothing to see")


async def test_expired_token_without_a_source_stops(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await session.close(4004)
        with pytest.raises(Stopped, match="no function"):
            await take(client, 2)


async def test_store_takes_one_program(server: ScriptedServer, tmp_path: Path) -> None:
    async with Client(server.url, token="t", store=tmp_path / "a.db"):
        with pytest.raises(StoreInUse):
            async with Client(server.url, token="t", store=tmp_path / "a.db"):
                pass


async def test_program_that_only_sends_needs_no_reader(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Client(server.url, token="t", store=path, deliver=False) as client:
        session = await server.fresh()
        sending = client.send(CHAT, "hello")
        await session.expect("message.send")
        await session.event(1, "message.created", message(1, client_msg_id=sending.client_msg_id, sender=USER))
        await asyncio.wait_for(sending.stored, PATIENCE_S)
        await eventually(lambda: client.stats().position == f"{EPOCH}-1")
    assert saved_position(path) == f"{EPOCH}-1"
