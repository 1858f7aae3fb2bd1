"""Tokens: asked for before the first connection, when one is about to end, and when it has."""

import time

import pytest

from tests.client_conformance.conftest import Run
from tests.client_conformance.program import Program
from tests.client_conformance.scripted import EPOCH, ScriptedServer, message

pytestmark = pytest.mark.anyio


async def give(program: Program, token: str) -> None:
    """Wait until a token is wanted, and answer."""
    await program.report("token")
    await program("token", token=token)


async def refuse(program: Program, *, temporary: bool, retry_after_s: float | None = None) -> None:
    await program.report("token")
    code, status = ("unavailable", 503) if temporary else ("session_revoked", 401)
    error = {"status": status, "code": code, "message": code, "temporary": temporary, "retry_after_s": retry_after_s}
    await program("token", error=error)


async def test_expired_token_is_renewed_before_the_next_connection(server: ScriptedServer, run: Run) -> None:
    program = await run(token=None)
    await give(program, "first")
    session = await server.fresh(1)
    await program.item("resynced")
    await session.close(4005)
    session = await server.session()
    assert (await session.expect("connect"))["token"] == "first"
    await session.connected(1)
    await session.close(4004)
    await give(program, "second")
    session = await server.session()
    hello = await session.expect("connect")
    assert (hello["token"], hello["resume"]) == ("second", f"{EPOCH}-1")
    await session.connected(1)
    await session.close(4005)
    assert (await (await server.session()).expect("connect"))["token"] == "second"
    assert program.nothing_new("token")


async def test_expiring_token_is_replaced_on_the_live_socket(server: ScriptedServer, run: Run) -> None:
    program = await run(token=None)
    await give(program, "first")
    session = await server.fresh()
    await session.say({"type": "token_expiring", "expires_at": "2026-11-22T13:00:00Z"})
    await give(program, "second")
    refresh = await session.expect("refresh")
    assert refresh["token"] == "second"
    await session.answer(refresh, {})
    session.cut()
    assert (await (await server.session()).expect("connect"))["token"] == "second"


async def test_request_that_came_too_late_for_its_token_is_said_again_with_another(
    server: ScriptedServer, run: Run
) -> None:
    program = await run(token=None)
    await give(program, "first")
    session = await server.fresh()
    await program.send()
    frame = await session.expect("message.send")
    await session.refuse(frame, "token_expired")
    await give(program, "second")
    assert (await session.expect("refresh"))["token"] == "second"
    assert {**await session.expect("message.send"), "id": 0} == {**frame, "id": 0}


async def test_no_token_now_is_no_token_later_unless_it_is_for_good(server: ScriptedServer, run: Run) -> None:
    """As late as was asked, and as often as it takes."""
    program = await run(token=None)
    await refuse(program, temporary=True)
    await refuse(program, temporary=True, retry_after_s=3)
    refused_at = time.monotonic()
    await program.report("token")
    assert (time.monotonic() - refused_at) * program.speed >= 2.9
    await program("token", token="third")
    assert (await (await server.session()).expect("connect"))["token"] == "third"


async def test_refused_token_ends_the_client(server: ScriptedServer, run: Run) -> None:
    program = await run(token=None)
    await refuse(program, temporary=False)
    await program.report("stopped")
    await program.link("disconnected")


async def test_expired_token_is_not_used_again_because_there_was_no_other(server: ScriptedServer, run: Run) -> None:
    program = await run(token=None)
    await give(program, "first")
    session = await server.fresh()
    await program.item("resynced")
    await session.close(4004)
    await refuse(program, temporary=True)
    await give(program, "second")
    assert (await (await server.session()).expect("connect"))["token"] == "second"


async def test_state_that_is_refused_for_the_token_is_asked_for_with_another(server: ScriptedServer, run: Run) -> None:
    program = await run(token=None)
    await give(program, "first")
    server.tokens = {"second"}
    session = await server.fresh()
    await give(program, "second")
    await program.item("resynced")
    await session.event(1, "message.created", message(1))
    await program.item("message.created")
