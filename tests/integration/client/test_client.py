"""The Python SDK against a server that plays scripts."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest

from headrace_client import (
    AnyEvent,
    Attachment,
    Client,
    Event,
    Link,
    Message,
    OutboxFull,
    Rejected,
    Resynced,
    Stopped,
    StoreInUse,
    Thumbnail,
    View,
)
from tests.client_conformance.scripted import (
    CHAT,
    EPOCH,
    OTHER,
    PATIENCE_S,
    USER,
    ScriptedServer,
    eventually,
    logged,
    message,
    state,
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


async def test_first_connection_loads_the_state_and_then_follows(server: ScriptedServer) -> None:
    server.states.append(state(4, [message(1, "before")]))
    async with Client(server.url, token="t") as client:
        session = await server.session()
        hello = await session.expect("connect")
        assert hello["token"] == "t"
        assert "resume" not in hello
        assert client.link is Link.CONNECTING
        await session.connected(4, resync="fresh")
        await session.event(5, "message.created", message(2, "after"))
        resynced, event = await take(client, 2)
        assert isinstance(resynced, Resynced)
        assert resynced.reason == "fresh"
        assert [each.text for each in resynced.state.conversations[0].messages] == ["before"]
        assert isinstance(event, Event)
        assert event.position == f"{EPOCH}-5"
        assert client.link is Link.CONNECTED


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


async def test_permanent_error_reply_rejects_and_frees_the_conversation(server: ScriptedServer, tmp_path: Path) -> None:
    async with Client(server.url, token="t", store=tmp_path / "a.db") as client:
        session = await server.fresh()
        first, second = client.send(CHAT, "bad"), client.send(CHAT, "good")
        await session.refuse(await session.expect("message.send"), "bad_request")
        with pytest.raises(Rejected):
            await asyncio.wait_for(first.stored, PATIENCE_S)
        assert (await session.expect("message.send"))["client_msg_id"] == second.client_msg_id
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as db:
        assert db.execute("SELECT client_msg_id FROM outbox").fetchall() == [(second.client_msg_id,)]


async def test_overloaded_is_sent_again_unchanged_after_the_wait(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        client.send(CHAT, "hello")
        frame = await session.expect("message.send")
        await session.refuse(frame, "overloaded", temporary=True, retry_after_ms=50)
        again = await session.expect("message.send")
        assert {**again, "id": 0} == {**frame, "id": 0}


async def test_one_send_in_flight_a_conversation_others_go_on(server: ScriptedServer) -> None:
    other_chat = CHAT.replace("c1", "c2")
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        first, second = client.send(CHAT, "1"), client.send(CHAT, "2")
        elsewhere = client.send(other_chat, "3")
        seen = [await session.expect("message.send") for _ in range(2)]
        assert [frame["client_msg_id"] for frame in seen] == [first.client_msg_id, elsewhere.client_msg_id]
        await session.accept(seen[0])
        await first.accepted
        created = message(1, "1", client_msg_id=first.client_msg_id, sender=USER)
        await session.event(1, "message.created", created)
        assert (await session.expect("message.send"))["client_msg_id"] == second.client_msg_id


async def test_lost_reply_is_resent_on_the_next_connection(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh(3)
        await take(client, 1)
        sending = client.send(CHAT, "hello")
        frame = await session.expect("message.send")
        session.cut()
        session = await server.session()
        hello = await session.expect("connect")
        assert hello["resume"] == f"{EPOCH}-3"
        await session.connected(4)
        again = await session.expect("message.send")
        assert again["client_msg_id"] == frame["client_msg_id"]
        await session.event(4, "message.created", message(1, client_msg_id=sending.client_msg_id, sender=USER))
        assert (await asyncio.wait_for(sending.stored, PATIENCE_S)).seq == 1


async def test_outbox_and_position_survive_the_process(server: ScriptedServer, tmp_path: Path) -> None:
    """D3"""
    path = tmp_path / "a.db"
    async with Client(server.url, token="t", store=path) as client:
        session = await server.fresh(7)
        client.send(CHAT, "unsent")
        frame = await session.expect("message.send")
        await session.event(8, "message.created", message(1))
        await take(client, 2)
    assert saved_position(path) == f"{EPOCH}-8"
    async with Client(server.url, token="t", store=path) as client:
        session = await server.session()
        assert (await session.expect("connect"))["resume"] == f"{EPOCH}-8"
        await session.connected(8)
        again = await session.expect("message.send")
        assert {**again, "id": 0} == {**frame, "id": 0}
        [sending] = client.pending()
        await session.event(9, "message.created", message(2, client_msg_id=sending.client_msg_id, sender=USER))
        await asyncio.wait_for(sending.stored, PATIENCE_S)
        await take(client, 1)
    async with Client(server.url, token="t", store=path) as client:
        session = await server.ready(9)
        await client.wait_for(Link.CONNECTED)
        assert client.pending() == []


async def test_a_message_of_files_alone_survives_the_process_and_is_resent_unchanged(
    server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    async with Client(server.url, token="t", store=path) as client:
        session = await server.fresh(7)
        client.send(CHAT, attachments=["f1", "f2"])
        frame = await session.expect("message.send")
        assert (frame["content"], frame["attachments"]) == ({"text": ""}, ["f1", "f2"])
        await take(client, 1)
    async with Client(server.url, token="t", store=path):
        session = await server.ready(7)
        again = await session.expect("message.send")
        assert {**again, "id": 0} == {**frame, "id": 0}


async def test_a_message_without_files_says_nothing_of_them(server: ScriptedServer) -> None:
    """A server that knows no attachments takes the frame, and what an older outbox holds is what is sent today."""
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        client.send(CHAT, "hello")
        assert "attachments" not in await session.expect("message.send")


async def test_what_became_of_a_file_is_shown_once_by_rev(server: ScriptedServer) -> None:
    file = {"attachment_id": "f1", "name": "a.png", "content_type": "image/png", "size": 12, "status": "pending"}
    clean = file | {"status": "clean", "width": 3, "height": 2, "thumbnail": {"width": 3, "height": 2}}
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await session.event(1, "message.created", message(1, "", attachments=[file]))
        await session.event(2, "attachment.updated", message(1, "", attachments=[clean], rev=5), event_id="e2")
        await session.event(3, "attachment.updated", message(1, "", attachments=[file], rev=4), event_id="e3")
        await session.event(4, "message.created", message(2))
        view = View(USER)
        events = await take(client, 4)
        for event in events:
            view.apply(event)
    names = [event.name for event in events if isinstance(event, Event)]
    assert names == ["message.created", "attachment.updated", "message.created"]
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


async def test_gap_is_mended_by_sync_in_order(server: ScriptedServer) -> None:
    """C9"""
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await take(client, 1)
        await session.event(1, "message.created", message(1, "1"))
        await session.event(4, "message.created", message(4, "4"))
        sync = await session.expect("sync")
        assert sync["after"] == f"{EPOCH}-1"
        page = [logged(n, "message.created", message(n, str(n))) for n in (2, 3)]
        await session.say(
            {
                "type": "reply",
                "id": sync["id"],
                "ok": True,
                "result": {"events": page, "position": f"{EPOCH}-3", "more": True},
            }
        )
        sync = await session.expect("sync")
        assert sync["after"] == f"{EPOCH}-3"
        page = [logged(4, "message.created", message(4, "4"))]
        await session.say({"type": "reply", "id": sync["id"], "ok": True, "result": {"events": page, "more": False}})
        assert texts(await take(client, 4)) == ["1", "2", "3", "4"]


async def test_page_that_does_not_join_leads_to_a_resync(server: ScriptedServer) -> None:
    """C9"""
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await take(client, 1)
        server.states.clear()
        server.states.append(state(9, [message(1, "whole")]))
        await session.event(5, "message.created", message(5))
        sync = await session.expect("sync")
        page = [logged(4, "message.created", message(4))]
        await session.say({"type": "reply", "id": sync["id"], "ok": True, "result": {"events": page, "more": False}})
        [resynced] = await take(client, 1)
        assert isinstance(resynced, Resynced)
        assert resynced.state.position == f"{EPOCH}-9"


async def test_ping_that_is_ahead_asks_for_the_lost_tail(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh(2)
        await take(client, 1)
        await session.say({"type": "ping", "position": f"{EPOCH}-3"})
        await session.expect("pong")
        assert (await session.expect("sync"))["after"] == f"{EPOCH}-2"


async def test_live_events_wait_for_the_state_and_older_ones_are_dropped(server: ScriptedServer) -> None:
    """C8"""
    server.sync_gate.clear()
    server.states.append(state(11, [message(1, "in the state")]))
    async with Client(server.url, token="t") as client:
        session = await server.session()
        await session.expect("connect")
        await session.connected(10, resync="position_trimmed")
        await session.event(11, "message.created", message(1, "in the state"))
        await session.event(12, "message.created", message(2, "above it"))
        await session.say({"type": "ping", "position": f"{EPOCH}-12"})
        await session.expect("pong")  # so all of it has arrived, and none of it was shown
        assert client.stats().inbox == 0
        server.sync_gate.set()
        resynced, event = await take(client, 2)
        assert isinstance(resynced, Resynced)
        assert texts([event]) == ["above it"]


async def test_epoch_change_in_mid_connection_resyncs(server: ScriptedServer) -> None:
    """A5"""
    async with Client(server.url, token="t") as client:
        session = await server.fresh(5)
        await take(client, 1)
        server.states.clear()
        server.states.append(state(0, [message(1, "new era")], epoch=EPOCH + 1))
        await session.say({"type": "resync_required", "reason": "epoch_changed", "position": f"{EPOCH + 1}-0"})
        [resynced] = await take(client, 1)
        assert isinstance(resynced, Resynced)
        assert resynced.reason == "epoch_changed"
        await session.event(1, "message.created", message(2, "goes on"), epoch=EPOCH + 1)
        assert texts(await take(client, 1)) == ["goes on"]


async def test_state_that_can_not_be_had_is_asked_for_again(server: ScriptedServer) -> None:
    server.states.extend([HTTPStatus.SERVICE_UNAVAILABLE, state(1, [message(1)])])
    async with Client(server.url, token="t") as client:
        session = await server.session()
        await session.expect("connect")
        await session.connected(1, resync="fresh")
        [resynced] = await take(client, 1)
        assert isinstance(resynced, Resynced)
        assert server.syncs == 2


async def test_own_messages_found_in_the_state_are_stored(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.session()
        await session.expect("connect")
        sending = client.send(CHAT, "hello")
        server.states.append(state(3, [message(1, "hello", client_msg_id=sending.client_msg_id, sender=USER)]))
        await session.connected(3, resync="fresh")
        assert (await asyncio.wait_for(sending.stored, PATIENCE_S)).seq == 1


async def test_the_same_change_is_shown_once(server: ScriptedServer) -> None:
    """A1: a repeat for everybody is dropped by `rev`, and so is an older copy; the position moves on."""
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await session.event(1, "message.created", message(1, "one"))
        await session.event(2, "message.created", message(1, "one"), event_id="another")
        await session.event(3, "message.edited", message(1, "edited", rev=5))
        await session.event(4, "message.edited", message(1, "older", rev=4))
        await session.event(5, "message.created", message(2, "two", rev=6))
        assert texts((await take(client, 4))[1:]) == ["one", "edited", "two"]
        assert client.stats().position == f"{EPOCH}-5"


async def test_rejected_after_created_is_ignored(server: ScriptedServer) -> None:
    """A3"""
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        sending = client.send(CHAT, "hello")
        key = sending.client_msg_id
        await session.event(1, "message.created", message(1, client_msg_id=key, sender=USER))
        error = {"code": "not_member", "message": "You are not a member."}
        await session.event(2, "message.rejected", {"conversation_id": CHAT, "client_msg_id": key, "error": error})
        await session.event(3, "message.created", message(2, "next"))
        events = await take(client, 3)
        assert [event.name for event in events if isinstance(event, Event)] == ["message.created"] * 2
        assert sending.state == "stored"


async def test_somebody_elses_client_msg_id_settles_nothing(server: ScriptedServer) -> None:
    """A7"""
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        sending = client.send(CHAT, "hello")
        await session.event(1, "message.created", message(1, client_msg_id=sending.client_msg_id, sender=OTHER))
        await take(client, 2)
        assert sending.state == "sending"


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


async def test_full_outbox_refuses(server: ScriptedServer) -> None:
    async with Client(server.url, token="t", outbox_cap=2) as client:
        client.send(CHAT, "1")
        client.send(CHAT, "2")
        with pytest.raises(OutboxFull):
            client.send(CHAT, "3")


async def test_too_long_a_text_is_refused_before_it_is_kept(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        with pytest.raises(ValueError, match="bytes as a frame"):
            client.send(CHAT, "x" * 70_000)
        assert client.pending() == []


@pytest.mark.parametrize("code", [4000, 4001, 4002, 4003, 4005, 4006, 4007, 1001, 1012])
async def test_close_codes_below_4500_reconnect_and_resume(server: ScriptedServer, code: int) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh(3)
        await take(client, 1)
        await session.close(code)
        assert (await (await server.session()).expect("connect"))["resume"] == f"{EPOCH}-3"


@pytest.mark.parametrize("code", [4500, 4501, 4502, 4503, 4504, 4505, 4506, 4507])
async def test_close_codes_from_4500_stop(server: ScriptedServer, code: int) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await take(client, 1)
        sending = client.send(CHAT, "hello")
        await session.close(code, "no")
        with pytest.raises(Stopped) as failure:
            await asyncio.wait_for(sending.stored, PATIENCE_S)
        assert failure.value.code == code
        with pytest.raises(Stopped):
            await take_none(client)
        with pytest.raises(Stopped):
            client.send(CHAT, "more")
        assert client.link is Link.DISCONNECTED


async def take_none(client: Client) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for _ in client.events():
            raise AssertionError("there is nothing to see")


async def test_disconnect_frame_counts_when_the_close_code_is_lost(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await client.wait_for(Link.CONNECTED)
        await session.say({"type": "disconnect", "code": 4501, "reason": "revoked", "reconnect": False})
        session.cut()
        with pytest.raises(Stopped) as failure:
            await take(client, 3)
        assert failure.value.code == 4501


async def test_expired_token_is_renewed_before_the_next_connection(server: ScriptedServer) -> None:
    tokens = iter(["first", "second"])

    async def token() -> str:
        return next(tokens)

    async with Client(server.url, token=token) as client:
        session = await server.fresh(1)
        await take(client, 1)
        await session.close(4005)
        session = await server.session()
        assert (await session.expect("connect"))["token"] == "first"
        await session.connected(1)
        await session.close(4004)
        assert (await (await server.session()).expect("connect"))["token"] == "second"


async def test_expiring_token_is_replaced_on_the_live_socket(server: ScriptedServer) -> None:
    tokens = iter(["first", "second"])

    async def token() -> str:
        return next(tokens)

    async with Client(server.url, token=token):
        session = await server.fresh()
        await session.say({"type": "token_expiring", "expires_at": "2026-11-22T13:00:00Z"})
        assert (await session.expect("refresh"))["token"] == "second"


async def test_expired_token_without_a_source_stops(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await session.close(4004)
        with pytest.raises(Stopped, match="no function"):
            await take(client, 2)


async def test_three_failed_resumes_end_in_a_fresh_connection(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh(3)
        await take(client, 1)
        session.cut()
        for _ in range(3):
            session = await server.session()
            assert "resume" in await session.expect("connect")
            session.cut()
        session = await server.session()
        assert "resume" not in await session.expect("connect")


async def test_position_the_server_can_not_read_is_given_up(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh(3)
        await take(client, 1)
        session.cut()
        session = await server.session()
        assert "resume" in await session.expect("connect")
        await session.close(4504)
        session = await server.session()
        assert "resume" not in await session.expect("connect")


async def test_another_users_position_is_never_gone_on_from(server: ScriptedServer, tmp_path: Path) -> None:
    """C10: a shared machine, one file, a new user; and the first user's messages are not sent by the second."""
    path = tmp_path / "a.db"
    async with Client(server.url, token="alice", store=path) as client:
        session = await server.fresh(3)
        await take(client, 1)
        client.send(CHAT, "alice's")
        await session.expect("message.send")
    server.states.clear()
    server.states.append(state(3, user=OTHER))
    async with Client(server.url, token="bob", store=path) as client:
        session = await server.session()
        await session.expect("connect")
        await session.connected(3, user=OTHER)
        [resynced] = await take(client, 1)
        assert isinstance(resynced, Resynced)
        assert client.pending() == []
        await session.say({"type": "ping", "position": f"{EPOCH}-3"})
        await session.expect("pong")
    assert saved_position(path) == f"{EPOCH}-3"


async def test_unknown_frames_fields_and_events_are_tolerated(server: ScriptedServer) -> None:
    async with Client(server.url, token="t") as client:
        session = await server.fresh()
        await session.say({"type": "from_the_future", "x": 1})
        await session.event(1, "message.boiled", {"conversation_id": CHAT, "celsius": 100})
        await session.event(2, "message.created", message(1, "hi", sparkle=True))
        _, unknown, known = await take(client, 3)
        assert isinstance(unknown, Event)
        assert unknown.name == "message.boiled"
        assert texts([known]) == ["hi"]


async def test_store_takes_one_program(server: ScriptedServer, tmp_path: Path) -> None:
    async with Client(server.url, token="t", store=tmp_path / "a.db"):
        with pytest.raises(StoreInUse):
            async with Client(server.url, token="t", store=tmp_path / "a.db"):
                pass


async def test_no_server_is_waited_for() -> None:
    async with Client("http://127.0.0.1:9", token="t") as client:
        sending = client.send(CHAT, "hello")
        async with asyncio.timeout(PATIENCE_S):
            async for link in client.links():
                if link is Link.DISCONNECTED and client.stats().counts.connects == 0:
                    break
        assert sending.state == "sending"


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
