"""The connection: who is told what first, and when it is tried again."""

import asyncio
import json
import time
from collections import Counter

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.program import Program, Refused
from tests.client_conformance.scripted import CHAT, EPOCH, Frame, ScriptedServer, Session, message, state

pytestmark = pytest.mark.anyio

BASE_S, STABLE_S, CONNECT_S, GRACE_S = 0.5, 30.0, 10.0, 10.0
NOISE_S = 2.0
"""Real seconds that another process on a busy machine may take to do what it is to do at once."""


async def test_first_connection_loads_the_state_and_then_follows(server: ScriptedServer, run: Run) -> None:
    server.states.append(state(4, [message(1, "before")]))
    program = await run(device="phone")
    session = await server.session()
    hello = await session.expect("connect")
    assert hello["token"] == "t"
    assert hello.get("resume") is None
    assert {"name", "version", "instance_id"} <= hello["client"].keys()
    assert hello["client"]["device_id"] == "phone"
    assert session.connection.subprotocol == "headrace.v1"
    assert session.path == "/ws"  # the token is never in the URL
    await program.link("connecting")
    await session.connected(4, resync="fresh")
    await program.link("connected")
    await session.event(5, "message.created", message(2, "after"))
    resynced = await program.item("resynced")
    assert (resynced["reason"], list(resynced["rooms"].values())) == ("fresh", [["before"]])
    event = await program.item("message.created")
    assert (event["position"], event["data"]["content"]) == (f"{EPOCH}-5", {"text": "after"})


async def test_close_codes_below_4500_reconnect_and_resume(server: ScriptedServer, run: Run) -> None:
    program = await run(start=False)
    for code in [4000, 4001, 4002, 4003, 4005, 4006, 4007, 4499, 1001, 1002, 1003, 1007, 1009, 1012]:
        await program.start(server, client=str(code))
        session = await server.fresh(3)
        await program.item("resynced", client=str(code))
        await session.close(code)
        await program.link("disconnected", client=str(code))
        assert (await (await server.session()).expect("connect"))["resume"] == f"{EPOCH}-3"
        await program("close", client=str(code))


async def test_close_codes_from_4500_stop(server: ScriptedServer, run: Run) -> None:
    program = await run(start=False)
    for code in [4500, 4501, 4502, 4503, 4504, 4505, 4506, 4507, 4999]:
        await program.start(server, client=str(code))
        session = await server.fresh()
        await program.item("resynced", client=str(code))
        await program("send", client=str(code), conversation_id="c", text="hello")
        await session.expect("message.send")
        await session.close(code, "no")
        assert (await program.report("stopped", client=str(code)))["code"] == code
        assert (await program.report("sending", client=str(code)))["state"] == "stopped"
        await program.link("disconnected", client=str(code))
        with pytest.raises(Refused, match="Stopped"):
            await program("send", client=str(code), conversation_id="c", text="more")


async def test_disconnect_frame_counts_when_the_close_code_is_lost(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.link("connected")
    await session.say({"type": "disconnect", "code": 4501, "reason": "revoked", "reconnect": False})
    session.cut()
    assert (await program.report("stopped"))["code"] == 4501


async def test_disconnect_that_rules_out_a_reconnect_stops_whatever_its_code(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.link("connected")
    await session.say({"type": "disconnect", "code": 4499, "reason": "from the future", "reconnect": False})
    await session.close(4499)
    await program.report("stopped")


async def test_servers_hint_is_the_least_wait(server: ScriptedServer, run: Run) -> None:
    program = await run(speed=1)
    session = await server.fresh()
    await program.link("connected")
    await session.say(
        {"type": "disconnect", "code": 4005, "reason": "draining", "reconnect": True, "retry_after_ms": 4000}
    )
    begun = time.monotonic()
    await session.close(4005)
    await server.session()
    waited = (time.monotonic() - begun) * program.speed
    assert 3.9 <= waited < 4 + BASE_S + NOISE_S * program.speed


async def test_first_retries_of_many_are_spread_from_nothing_on(server: ScriptedServer, run: Run) -> None:
    """Full jitter: of clients that lost the same server some come at once, and none later than the base."""
    program = await run(speed=1, start=False)
    sessions: list[Session] = []
    for n in range(16):
        await program.start(server, client=str(n))
        sessions.append(await server.fresh())
        await program.link("connected", client=str(n))
    begun = time.monotonic()
    for session in sessions:
        session.cut()
    waits: list[float] = []
    for _ in sessions:
        await server.session()
        waits.append(time.monotonic() - begun)
    assert waits[0] < BASE_S / 2 < waits[-1] < BASE_S + 1.0
    assert waits[-1] - waits[0] > BASE_S / 4


@pytest.mark.parametrize("stable", [True, False])
async def test_only_a_connection_that_was_stable_resets_the_backoff(
    server: ScriptedServer, run: Run, stable: bool
) -> None:
    """After six failures the next wait is up to 20 s, and up to half a second again after 30 s of connection."""
    program = await run(speed=10, start=False)
    server.states.append(state(0))
    names = [str(n) for n in range(8)]
    for name in names:
        await program.start(server, client=name, device=name)
    failures: Counter[str] = Counter()
    cut_at: dict[str, float] = {}
    waits: list[float] = []
    async with asyncio.TaskGroup() as living:
        while len(waits) < len(names):
            session = await server.session()
            name = (await session.expect("connect"))["client"]["device_id"]
            failures[name] += 1
            if name in cut_at:
                waits.append((time.monotonic() - cut_at[name]) * program.speed)
            elif failures[name] <= 6:
                session.cut()
            else:
                living.create_task(live(program, session, name, cut_at, seconds=STABLE_S + 1 if stable else 0))
    mean = sum(waits) / len(waits)  # a quarter of a second, or ten
    assert mean < 5 if stable else mean > 2


async def live(program: Program, session: Session, name: str, cut_at: dict[str, float], *, seconds: float) -> None:
    await session.connected(0, resync="fresh")
    for _ in range(3):
        await program.sleep(seconds / 3)
        await session.ping(0)
    cut_at[name] = time.monotonic()
    session.cut()


async def test_silent_server_is_left_after_its_interval_and_ten_seconds(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.session()
    await session.expect("connect")
    server.states.append(state(0))
    await session.connected(0, resync="fresh", heartbeat_interval_ms=4_000)
    await program.link("connected")
    await program.sleep(9)
    await session.ping(0)  # whatever comes begins the time anew
    begun = time.monotonic()
    await program.link("disconnected")
    silent = (time.monotonic() - begun) * program.speed
    assert 4 + GRACE_S - 0.5 <= silent < 4 + GRACE_S + NOISE_S * program.speed
    assert (await (await server.session()).expect("connect"))["resume"] == f"{EPOCH}-0"


async def test_server_that_does_not_say_connected_is_left_after_ten_seconds(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.session()
    await session.expect("connect")
    begun = time.monotonic()
    await server.session()
    waited = (time.monotonic() - begun) * program.speed
    assert CONNECT_S - 0.5 <= waited < CONNECT_S + BASE_S + NOISE_S * program.speed


async def test_three_failed_resumes_end_in_a_fresh_connection(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh(3)
    await program.item("resynced")
    session.cut()
    for _ in range(3):
        session = await server.session()
        assert (await session.expect("connect")).get("resume") == f"{EPOCH}-3"
        session.cut()
    session = await server.session()
    assert (await session.expect("connect")).get("resume") is None


async def test_position_that_the_server_can_not_read_is_given_up(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh(3)
    await program.item("resynced")
    session.cut()
    session = await server.session()
    assert (await session.expect("connect")).get("resume") == f"{EPOCH}-3"
    await session.close(4504)
    session = await server.session()
    assert (await session.expect("connect")).get("resume") is None


async def test_a_running_copy_has_one_instance_id(server: ScriptedServer, run: Run) -> None:
    """D1: the server tells a client that comes back from a second one by it."""
    await run(device="phone")
    session = await server.session()
    first = (await session.expect("connect"))["client"]
    await session.connected(0, resync="fresh")
    session.cut()
    again = (await (await server.session()).expect("connect"))["client"]
    await run(device="phone")
    other = (await (await server.session()).expect("connect"))["client"]
    assert first == again
    assert other["instance_id"] != first["instance_id"]


async def test_nobody_at_the_address_is_waited_for(server: ScriptedServer, run: Run) -> None:
    program = await run(start=False)
    await program("start", url="http://127.0.0.1:9", token="t")
    key = await program.send()
    for _ in range(2):
        await program.link("connecting")
        await program.link("disconnected")
    assert await program.pending() == [key]


async def test_unknown_frames_fields_and_events_are_tolerated(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    await session.say({"type": "from_the_future", "x": 1})
    await session.event(1, "message.boiled", {"conversation_id": "c", "celsius": 100})
    await session.event(2, "message.created", message(1, "hi", sparkle=True), colour="red")
    await session.say({"type": "ephemeral", "event": "humming", "data": {"tune": "A"}})
    items: list[Frame] = await program.items(3)
    assert [item["name"] for item in items] == ["message.boiled", "message.created", "humming"]
    assert items[0]["data"]["celsius"] == 100
    assert items[1]["data"]["content"] == {"text": "hi"}


async def test_noise_is_passed_over(server: ScriptedServer, run: Run) -> None:
    program = await run()
    session = await server.fresh()
    for noise in [
        "null",
        "[]",
        '"type"',
        "{}",
        '{"type": 7}',
        *(json.dumps({"type": one}) for one in ("event", "reply")),
    ]:
        await session.connection.send(noise)
    await session.event(1, "message.created", message(1))
    assert [item["name"] for item in await program.items(2)] == ["resynced", "message.created"]


async def test_event_of_a_shape_that_is_not_known_moves_the_position_like_any_other(
    server: ScriptedServer, run: Run
) -> None:
    program = await run()
    session = await server.fresh()
    await program.item("resynced")
    shapes = [
        ("message.created", {"text": "from the future"}),
        ("message.rejected", {"conversation_id": CHAT}),
        ("member.left", {"conversation_id": CHAT}),
        ("receipt.updated", {"conversation_id": CHAT}),
        ("conversation.updated", {"title": "?"}),
    ]
    for offset, (name, data) in enumerate(shapes, 1):
        await session.event(offset, name, data, event_id=str(offset))
        assert (await program.item(name))["data"] == data
    session.cut()
    assert (await (await server.session()).expect("connect"))["resume"] == f"{EPOCH}-{len(shapes)}"
