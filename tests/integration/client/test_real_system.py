"""The SDK against the whole system, as `headrace up` starts it."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headrace_client import (
    AnyEvent,
    Api,
    ApiError,
    Client,
    Ephemeral,
    Event,
    Link,
    Message,
    Presence,
    Receipt,
    Rejected,
    Resynced,
    SessionRevoked,
    Stopped,
    Typing,
)
from headrace_client.http import request
from tests.integration.client.conftest import PATIENCE_S, ROOT, System, person

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


async def watch(client: Client, texts: list[str], wanted: int) -> None:
    """Collect the texts of a conversation as a program would show them: state, then events."""
    async for event in client.events():
        take(event, texts)
        if len(texts) >= wanted:
            return


def take(event: AnyEvent, texts: list[str]) -> None:
    match event:
        case Resynced(state):
            texts[:] = [message.text for each in state.conversations for message in each.messages]
        case Event("message.created", data=Message() as message):
            texts.append(message.text)
        case _:
            pass


async def test_messages_arrive_in_order_through_two_gateways(system: System) -> None:
    alice, bob = await person(system.urls[0]), await person(system.urls[1])
    chat = await alice.create("direct", [(await bob.me()).user_id])
    wanted = [f"message {n}" for n in range(20)]
    seen: list[str] = []
    async with Client(system.urls[0], token=alice.token) as sender, Client(system.urls[1], token=bob.token) as reader:
        watching = asyncio.create_task(watch(reader, seen, len(wanted)))
        sendings = [sender.send(chat.conversation_id, text) for text in wanted]
        async with asyncio.timeout(PATIENCE_S):
            stored = [await each.stored for each in sendings]
            await watching
    assert [message.seq for message in stored] == list(range(1, 21))
    assert seen == wanted
    assert [message.text for message in await bob.messages(chat.conversation_id)] == wanted


async def test_what_one_reads_the_other_is_told(system: System) -> None:
    """C11: through the SDK, a gateway, and the stage that `headrace up` runs."""
    alice, bob = await person(system.urls[0]), await person(system.urls[1])
    me = (await bob.me()).user_id
    chat = await alice.create("direct", [me])
    async with Client(system.urls[0], token=alice.token) as sender, Client(system.urls[1], token=bob.token) as reader:
        for number in range(5):
            await asyncio.wait_for(sender.send(chat.conversation_id, f"message {number}").stored, PATIENCE_S)
        for number in range(1, 6):
            reader.mark(chat.conversation_id, read_seq=number)
        async with asyncio.timeout(PATIENCE_S):
            async for event in sender.events():
                match event:
                    case Event("receipt.updated", data=Receipt(user_id=user, read_seq=5, delivered_seq=5)) if (
                        user == me
                    ):
                        break
                    case _:
                        pass
    seen = await bob.conversation(chat.conversation_id)
    assert (seen.unread_count, seen.read_seq, seen.mention_count) == (0, 5, 0)
    assert await bob.read(chat.conversation_id, 3) == Receipt(
        conversation_id=chat.conversation_id, user_id=me, delivered_seq=5, read_seq=5
    )


async def test_typing_and_presence_are_seen_also_after_a_reconnect(system: System) -> None:
    """C19: what one looks at is said again on the next connection; nothing of it needs a log."""
    alice, bob = await person(system.urls[0]), await person(system.urls[1])
    me, other = (await alice.me()).user_id, (await bob.me()).user_id
    chat = await alice.create("direct", [other])
    async with Client(system.urls[0], token=alice.token) as typist, Client(system.urls[1], token=bob.token) as watcher:
        watcher.watch(chat.conversation_id)
        watcher.subscribe_presence([me])
        typist.watch(chat.conversation_id)
        typist.set_presence("busy")
        seen = ephemera(watcher)
        async with asyncio.timeout(PATIENCE_S):
            await first(seen, lambda data: isinstance(data, Presence) and (data.user_id, data.status) == (me, "busy"))
            await types_until(typist, chat.conversation_id, seen, me)
            for client in (typist, watcher):
                assert client._socket is not None
                client._socket.transport.abort()
                await client.wait_for(Link.DISCONNECTED)
            await first(seen, lambda data: isinstance(data, Presence) and (data.user_id, data.status) == (me, "busy"))
            await types_until(typist, chat.conversation_id, seen, me)


async def types_until(typist: Client, room: str, seen: AsyncIterator[object], me: str) -> None:
    """Type, as somebody does, until the other one has seen it."""

    async def type_on() -> None:
        while True:
            typist.typing(room)
            typist.typing(room, stop=True)
            await asyncio.sleep(0.3)

    typing = asyncio.create_task(type_on())
    try:
        await first(seen, lambda data: isinstance(data, Typing) and (data.user_id, data.state) == (me, "start"))
    finally:
        typing.cancel()


async def ephemera(client: Client) -> AsyncIterator[object]:
    async for event in client.events():
        if isinstance(event, Ephemeral):
            yield event.data


async def first(seen: AsyncIterator[object], wanted: Callable[[object], bool]) -> None:
    async for data in seen:
        if wanted(data):
            return


async def test_stranger_is_rejected(system: System) -> None:
    alice, bob, eve = [await person(system.urls[0]) for _ in range(3)]
    chat = await alice.create("direct", [(await bob.me()).user_id])
    async with Client(system.urls[0], token=eve.token) as client:
        with pytest.raises(Rejected) as failure:
            async with asyncio.timeout(PATIENCE_S):
                await client.send(chat.conversation_id, "let me in").stored
    assert failure.value.code == "not_member"


async def test_nothing_is_lost_or_doubled_when_processes_are_killed(system: System, tmp_path: Path) -> None:
    """A1, A3, A5: gateways, consumers and Redis die in the middle of a conversation."""
    alice, bob = await person(system.urls[0]), await person(system.urls[1])
    chat = await alice.create("direct", [(await bob.me()).user_id])
    wanted = [f"message {n}" for n in range(27)]  # a state has the newest 30 of a conversation
    seen: list[str] = []
    async with (
        Client(system.urls[0], token=alice.token, store=tmp_path / "a.db") as sender,
        Client(system.urls[1], token=bob.token, store=tmp_path / "b.db") as reader,
    ):
        watching = asyncio.create_task(watch(reader, seen, len(wanted)))
        async with asyncio.timeout(150):
            for victim, batch in zip(("-m gateway", "-m consumers", "-server"), (0, 9, 18), strict=True):
                sendings = [sender.send(chat.conversation_id, text) for text in wanted[batch : batch + 9]]
                await sendings[3].stored
                assert system.kill(victim)
                for sending in sendings:
                    await sending.stored
            await watching
        assert sender.stats().outbox == 0
    assert seen == wanted
    history = await bob.messages(chat.conversation_id, limit=200)
    assert [(message.seq, message.text) for message in history] == list(enumerate(wanted, 1))


async def test_the_example_bot_answers_what_mentions_it(system: System, tmp_path: Path) -> None:
    """`examples/echo_bot.py` as its docstring says, with a token of the least scopes."""
    alice = await person(system.urls[0])
    body = {"username": f"echo-{secrets.token_hex(4)}", "scopes": ["messages:read", "messages:write"]}
    _, raw = await request(alice.address, "POST", "/api/bots", token=await alice.token(), body=body)
    made = json.loads(raw)
    bot_id = made["bot"]["user_id"]
    chat = await alice.create("group", [bot_id], "with a bot")
    environment = os.environ | {"HEADRACE_BOT_TOKEN": made["token"], "ECHO_BOT_STORE": str(tmp_path / "bot.db")}
    bot = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "examples" / "echo_bot.py"), system.urls[1], env=environment
    )
    seen: list[str] = []
    try:
        async with Client(system.urls[0], token=alice.token) as client, asyncio.timeout(PATIENCE_S):
            # An answer says that it is there; what came before it is not answered, because it was not there.
            while not seen:
                client.send(chat.conversation_id, "ping", mentions=[bot_id])
                await asyncio.sleep(0.2)
                seen = [
                    message.text
                    for message in await alice.messages(chat.conversation_id)
                    if message.sender_id == bot_id
                ]
            await client.send(chat.conversation_id, "not for the bot").stored
            last = await client.send(chat.conversation_id, "hello", mentions=[bot_id]).stored
            async for event in client.events():
                match event:
                    case Event("message.created", data=Message(reply_to=last.message_id) as echo):
                        break
    finally:
        bot.terminate()
        await bot.wait()
    assert (echo.sender_id, echo.text) == (bot_id, "you said: hello")
    history = await alice.messages(chat.conversation_id, limit=200)
    assert "you said: not for the bot" not in [message.text for message in history]


async def test_a_bot_signs_in_again_by_itself_and_not_with_a_revoked_token(system: System) -> None:
    alice = await person(system.urls[0])
    body = {"username": f"bot-{secrets.token_hex(4)}"}
    _, raw = await request(alice.address, "POST", "/api/bots", token=await alice.token(), body=body)
    made = json.loads(raw)
    bot = Api(system.urls[1])
    first = await bot.bot(made["token"])
    assert (first.user.bot if first.user else None) is True
    assert (await bot.refresh()).access_token != first.access_token
    path = f"/api/bots/{made['bot']['user_id']}/tokens/{made['bot']['tokens'][0]['token_id']}"
    await request(alice.address, "DELETE", path, token=await alice.token())
    with pytest.raises(ApiError) as failure:
        await bot.refresh()
    assert failure.value.code == "authentication_failed"


async def test_another_device_is_signed_out_and_hears_no_more(system: System) -> None:
    alice = await person(system.urls[0])
    assert alice.session is not None
    phone = Api(system.urls[1])
    username = alice.session.user.username if alice.session.user else ""
    opened = await phone.login(username, "correct horse battery", device="phone")
    devices = await alice.sessions()
    assert [(one.device, one.current) for one in devices] == [("phone", False), (None, True)]
    async with (
        Client(system.urls[0], token=alice.token) as here,
        Client(system.urls[1], token=phone.token) as there,
    ):
        await here.wait_for(Link.CONNECTED)
        await there.wait_for(Link.CONNECTED)
        await alice.end_session(opened.session_id)
        async with asyncio.timeout(5):
            with pytest.raises(Stopped):
                async for _ in there.events():
                    pass
            async for event in here.events():
                if isinstance(event, Ephemeral) and isinstance(event.data, SessionRevoked):
                    break
    assert event.data.session_id == opened.session_id
    with pytest.raises(ApiError) as refused:
        await phone.me()
    assert refused.value.code == "session_revoked"
    await alice.change_password("correct horse battery", "another horse battery")
    with pytest.raises(ApiError):
        await Api(system.urls[0]).login(username, "correct horse battery")
    await Api(system.urls[0]).login(username, "another horse battery")
