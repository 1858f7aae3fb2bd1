"""The outbox: in order, one under way in a conversation, the same frame again until it is stored or refused."""

import time

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.program import Refused
from tests.client_conformance.scripted import CHAT, EPOCH, OTHER, USER, Frame, ScriptedServer, message, state

pytestmark = pytest.mark.anyio

OTHER_CHAT = CHAT.replace("c1", "c2")
ACCEPT_S, STORE_S = 10.0, 30.0
ERROR = {"code": "not_member", "message": "You are not a member."}


def unnumbered(frame: Frame) -> Frame:
    return {**frame, "id": 0}


async def test_send_is_accepted_then_stored(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    key = await program.send("hello")
    frame = await session.expect("message.send")
    assert (frame["client_msg_id"], frame["conversation_id"], frame["content"]) == (key, CHAT, {"text": "hello"})
    await session.accept(frame)
    await program.outcome(key, "accepted")
    await session.store(1, frame, 1)
    assert (await program.outcome(key, "stored"))["seq"] == 1
    assert await program.pending() == []


async def test_all_that_belongs_to_a_message_is_in_its_frame(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    fields = {"attachments": ["f1", "f2"], "reply_to": "m1", "thread_root_id": "m0", "mentions": [OTHER, "all"]}
    await program.send("", **fields)
    assert fields.items() <= (await session.expect("message.send")).items()


async def test_what_a_message_has_not_its_frame_does_not_say(server: ScriptedServer, run: Run) -> None:
    """A server that knows no attachments takes the frame, and what an older outbox holds is what is sent today."""
    program = await run()
    session = await server.fresh()
    await program.send()
    frame = await session.expect("message.send")
    assert frame.keys() == {"type", "id", "conversation_id", "client_msg_id", "content"}


async def test_rejection_event_rejects_and_is_shown(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    key = await program.send()
    await session.accept(await session.expect("message.send"))
    await session.event(1, "message.rejected", {"conversation_id": CHAT, "client_msg_id": key, "error": ERROR})
    assert (await program.outcome(key, "rejected"))["code"] == "not_member"
    await program.item("resynced")
    assert (await program.item("message.rejected"))["data"]["client_msg_id"] == key


async def test_permanent_error_reply_rejects_and_frees_the_conversation(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    first, second = await program.send("bad"), await program.send("good")
    await session.refuse(await session.expect("message.send"), "bad_request")
    assert (await program.outcome(first, "rejected"))["code"] == "bad_request"
    assert (await session.expect("message.send"))["client_msg_id"] == second
    assert await program.pending() == [second]


async def test_temporary_error_is_waited_out_and_the_same_sent_again(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.send("first")
    second = await program.send("second")
    frame = await session.expect("message.send")
    refused_at = time.monotonic()
    await session.refuse(frame, "overloaded", temporary=True, retry_after_ms=3000)
    again = await session.expect("message.send")
    assert (time.monotonic() - refused_at) * program.speed >= 2.9
    assert unnumbered(again) == unnumbered(frame)
    await session.store(1, again, 1)
    assert (await session.expect("message.send"))["client_msg_id"] == second


async def test_one_send_under_way_in_a_conversation_others_go_on(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    first, second = await program.send("1"), await program.send("2")
    elsewhere = await program.send("3", OTHER_CHAT)
    seen = [await session.expect("message.send") for _ in range(2)]
    assert [frame["client_msg_id"] for frame in seen] == [first, elsewhere]
    await session.accept(seen[0])
    await session.ping(0)  # accepted is not stored: the second still waits
    await session.store(1, seen[0], 1)
    assert (await session.expect("message.send"))["client_msg_id"] == second


async def test_order_is_kept_over_lost_connections(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    keys = [await program.send(str(n)) for n in range(4)]
    for n, key in enumerate(keys):
        frame = await session.expect("message.send")
        assert frame["client_msg_id"] == key
        session.cut()
        session = await server.ready(n)
        frame = await session.expect("message.send")
        assert frame["client_msg_id"] == key
        await session.store(n + 1, frame, n + 1)
        await program.item("message.created")


async def test_lost_reply_is_resent_on_the_next_connection(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh(3)
    await program.item("resynced")
    key = await program.send()
    frame = await session.expect("message.send")
    session.cut()
    session = await server.session()
    assert (await session.expect("connect"))["resume"] == f"{EPOCH}-3"
    connected_at = time.monotonic()
    await session.connected(3)
    again = await session.expect("message.send")
    assert (
        time.monotonic() - connected_at
    ) * program.speed < ACCEPT_S - 1  # at once, not when a reply would have been late
    assert unnumbered(again) == unnumbered(frame)
    await session.store(4, again, 1)
    assert (await program.outcome(key, "stored"))["seq"] == 1


async def test_without_a_reply_it_is_sent_again_after_ten_seconds(server: ScriptedServer, run: Run) -> None:
    program = await run(speed=20)
    session = await server.fresh()
    await program.send()
    frame = await session.expect("message.send")
    sent_at = time.monotonic()
    again = await session.expect("message.send")
    assert (time.monotonic() - sent_at) * program.speed >= ACCEPT_S - 0.5
    assert unnumbered(again) == unnumbered(frame)


async def test_accepted_but_not_stored_it_is_sent_again_after_thirty_seconds_then_sixty(
    server: ScriptedServer, run: Run
) -> None:
    """B13"""
    program = await run(speed=30)
    server.states.append(state(0))
    session = await server.session()
    await session.expect("connect")
    await session.connected(0, resync="fresh", heartbeat_interval_ms=3_600_000)
    await program.send()
    frame = await session.expect("message.send")
    for seconds in (STORE_S, 2 * STORE_S):
        await session.accept(frame)
        accepted_at = time.monotonic()
        again = await session.expect("message.send")
        assert (time.monotonic() - accepted_at) * program.speed >= seconds - 1
        assert unnumbered(again) == unnumbered(frame)
        frame = again


async def test_rejected_after_created_is_ignored(server: ScriptedServer, run: Run) -> None:
    """A3"""
    program = await run()
    session = await server.fresh()
    key = await program.send()
    await session.store(1, await session.expect("message.send"), 1)
    await session.event(2, "message.rejected", {"conversation_id": CHAT, "client_msg_id": key, "error": ERROR})
    await session.event(3, "message.created", message(2, "next"))
    await program.outcome(key, "stored")
    items = await program.items(3)
    assert [item["name"] for item in items] == ["resynced", "message.created", "message.created"]
    assert program.nothing_new("sending")


async def test_created_after_rejected_is_believed(server: ScriptedServer, run: Run) -> None:
    """A send that was under way when the first try was rejected may have been made: then it is there, and is not sent again."""
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    key = await program.send()
    frame = await session.expect("message.send")
    await session.event(1, "message.rejected", {"conversation_id": CHAT, "client_msg_id": key, "error": ERROR})
    await program.outcome(key, "rejected")
    await session.store(2, frame, 1)
    assert [item["name"] for item in await program.items(2)] == ["message.rejected", "message.created"]
    session.cut()
    session = await server.ready(2)
    await session.ping(2)
    assert await program.pending() == []


async def test_somebody_elses_client_msg_id_settles_nothing(server: ScriptedServer, run: Run) -> None:
    """A7"""
    program = await run()
    session = await server.fresh()
    key = await program.send()
    await session.event(1, "message.created", message(1, client_msg_id=key, sender=OTHER))
    await program.items(2)
    assert await program.pending() == [key]


async def test_own_messages_found_in_the_state_are_stored(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.session()
    await session.expect("connect")
    key = await program.send()
    server.states.append(state(3, [message(1, client_msg_id=key, sender=USER)]))
    await session.connected(3, resync="fresh")
    assert (await program.outcome(key, "stored"))["seq"] == 1
    assert await program.pending() == []


async def test_full_outbox_refuses(server: ScriptedServer, run: Run) -> None:
    program = await run(outbox=2)
    await program.send("1")
    await program.send("2")
    with pytest.raises(Refused, match="OutboxFull"):
        await program.send("3")


async def test_too_long_a_text_is_refused_before_it_is_kept(server: ScriptedServer, run: Run) -> None:
    program = await run()
    with pytest.raises(Refused, match="ValueError"):
        await program.send("x" * 70_000)
    assert await program.pending() == []


async def test_change_goes_out_in_order_and_is_settled_by_its_event(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    mine = message(1, "helo", sender=USER)
    key = await program.send("before")
    edit = (await program("edit", message=mine, text="hello"))["key"]
    await session.store(1, await session.expect("message.send"), 2)
    await program.outcome(key, "stored")
    frame = await session.expect("message.edit")
    assert (frame["message_id"], frame["content"], frame["client_op_id"]) == ("m1", {"text": "hello"}, edit)
    assert frame.get("expected_rev") is None
    await session.accept(frame)
    await program.outcome(edit, "accepted")
    edited = message(1, "hello", sender=USER, rev=9)
    await session.event(2, "message.edited", edited, actor_id=USER, client_op_id=edit)
    assert (await program.outcome(edit, "stored"))["text"] == "hello"


@pytest.mark.parametrize(
    ("do", "fields", "kind"),
    [
        ("delete", {}, "message.delete"),
        ("react", {"emoji": "👍"}, "reaction.add"),
        ("react", {"emoji": "👍", "remove": True}, "reaction.remove"),
        ("edit", {"text": "x", "only_if_unchanged": True}, "message.edit"),
    ],
)
async def test_change_is_resent_unchanged_and_can_be_refused_by_event(
    server: ScriptedServer, run: Run, do: str, fields: Frame, kind: str
) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    mine = message(1, sender=USER, reactions={"👍": [USER]} if fields.get("remove") else {})
    await session.event(1, "message.created", mine)
    await program.item("message.created")
    key = (await program(do, message=mine, **fields))["key"]
    frame = await session.expect(kind)
    assert frame["client_op_id"] == key
    assert frame.get("emoji") == fields.get("emoji")
    assert frame.get("expected_rev") == (1 if "only_if_unchanged" in fields else None)
    session.cut()
    session = await server.ready(1)
    again = await session.expect(kind)
    assert unnumbered(again) == unnumbered(frame)
    await session.accept(again)
    await session.event(2, "operation.rejected", {"conversation_id": CHAT, "client_op_id": key, "error": ERROR})
    assert (await program.outcome(key, "rejected"))["code"] == "not_member"
    assert await program.pending() == []
