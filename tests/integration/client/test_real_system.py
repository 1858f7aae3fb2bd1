"""The SDK and `headrace chat` against the whole system, as `headrace up` starts it."""

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Self

import anyio
import psutil
import pytest

from cli.up import ports
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
    Typing,
    Unreachable,
)
from headrace_client.http import request

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
UP_S = 60.0
PATIENCE_S = 60.0


class System:
    """Two gateways and one consumer process under their supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.urls = [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]

    def kill(self, mark: str) -> int:
        """SIGKILL the processes whose command line holds `mark`; the supervisor starts them again."""
        found = [
            each
            for each in psutil.Process(self.process.pid).children(recursive=True)
            if mark in " ".join(each.cmdline())
        ]
        for each in found:
            each.kill()
        return len(found)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    port = next(port for port in iter(ports.choose, None) if ports.is_free(port + 1))  # one for each gateway
    command = [
        sys.executable,
        "-P",
        "-m",
        "cli.main",
        "up",
        "--data",
        str(folder / "data"),
        "--port",
        str(port),
        "--gateways",
        "2",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
    system = System(process, port)
    try:
        anyio.run(ready, system, folder / "up.log")
        yield system
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


async def ready(system: System, log: Path) -> None:
    with anyio.fail_after(UP_S):
        for url in system.urls:
            while True:
                assert system.process.poll() is None, tail(log)
                with contextlib.suppress(ApiError, Unreachable):
                    await request(Api(url).address, "GET", "/health/ready", timeout_s=2)
                    break
                await asyncio.sleep(0.1)


def tail(log: Path) -> str:
    return log.read_text()[-3000:]


async def person(url: str) -> Api:
    api = Api(url)
    await api.register(f"sdk-{secrets.token_hex(5)}", "correct horse battery")
    return api


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


@pytest.fixture
async def demo(system: System, tmp_path: Path) -> Path:
    """A data folder as `headrace up --demo` leaves it."""
    password = "correct horse battery"
    people = [Api(url) for url in system.urls]
    names = [f"{name}-{secrets.token_hex(4)}" for name in ("alice", "bob")]
    for api, name in zip(people, names, strict=True):
        await api.register(name, password)
    chat = await people[0].create("group", [(await people[1].me()).user_id], "Demo")
    content = {
        "url": system.urls[0],
        "users": [{"username": name, "password": password} for name in names],
        "conversations": [{"conversation_id": chat.conversation_id, "title": "Demo"}],
    }
    (tmp_path / "demo.json").write_text(json.dumps(content))
    return tmp_path


async def chat(folder: Path, name: str, typed: str, *options: str) -> tuple[int, str, str]:
    """`headrace chat` with this on its standard input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "cli.main", "chat", "--data", str(folder), "--as", name, *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_chat_sends_lines_and_waits_until_they_are_stored(demo: Path) -> None:
    alice, bob = (user["username"] for user in json.loads((demo / "demo.json").read_text())["users"])
    code, out, err = await chat(demo, alice, "hello\nhow are you?\n")
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"#1 {alice}: hello", f"#2 {alice}: how are you?"]
    code, out, _ = await chat(demo, bob, "fine\n/list\n")
    assert code == 0
    assert {f"#1 {alice}: hello", f"#2 {alice}: how are you?", f"#3 {bob}: fine"} <= set(out.splitlines())
    assert "Demo" in out
    code, out, _ = await chat(demo, alice, "good\n")
    assert out.splitlines() == [f"#3 {bob}: fine", f"#4 {alice}: good"]


async def test_chat_opens_new_conversations(demo: Path) -> None:
    alice, bob = (user["username"] for user in json.loads((demo / "demo.json").read_text())["users"])
    code, out, _ = await chat(demo, alice, f"/new @{bob}\npsst\n")
    assert code == 0
    assert f"#1 {alice}: psst" in out
    code, out, _ = await chat(demo, bob, "yes?\n", "--conversation", alice)
    assert code == 0
    assert f"#2 {bob}: yes?" in out


class OpenChat:
    """A `headrace chat` whose input stays open."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, folder: Path, name: str) -> AsyncIterator[Self]:
        command = (sys.executable, "-P", "-m", "cli.main", "chat", "--data", str(folder), "--as", name)
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield cls(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def until(self, wanted: str, *, whole: bool = True) -> None:
        """Read on until a line is printed that is exactly this, or begins so."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not any(line == wanted or (not whole and line.startswith(wanted)) for line in self.lines):
                    line = await self.process.stdout.readline()
                    assert line, f"it ended without {wanted!r}: {self.lines}"
                    self.lines.append(line.decode().rstrip("\n"))
        except TimeoutError:
            pytest.fail(f"{wanted!r} did not come: {self.lines}")

    async def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


async def test_chats_see_each_others_changes(system: System, demo: Path) -> None:
    alice, bob = (user["username"] for user in json.loads((demo / "demo.json").read_text())["users"])
    carol = f"carol-{secrets.token_hex(4)}"
    await Api(system.urls[0]).register(carol, "correct horse battery")
    async with OpenChat.of(demo, alice) as hers, OpenChat.of(demo, bob) as his:

        async def both(wanted: str) -> None:
            await asyncio.gather(hers.until(wanted), his.until(wanted))

        hers.say(f"hello @{bob}")
        await both(f"#1 {alice}: hello @{bob}")
        hers.say("/edit 1 good morning")
        await both(f"#1 {alice} (edited): good morning")
        his.say("/react 1 👍")
        await both(f"#1 👍 {bob}")
        his.say("/unreact #1 👍")
        await both(f"#1 👍 {bob}: taken back")
        his.say("/reply 1 good evening")
        await both(f"#2 {bob} ↳ #1: good evening")
        hers.say("/pin 2")
        await both(f"#2 pinned by {alice}")
        his.say("/title Ours")
        await his.until("!! This is not allowed to you. (forbidden)")
        hers.say(f"/role @{bob} admin")
        await both(f"-- Demo: {alice} changed roles: {bob} is admin --")
        his.say("/title Ours")
        await both(f"-- {bob} calls this “Ours” --")
        hers.say(f"/add @{carol}")
        await both(f"-- Ours: {alice} added {carol} --")
        his.say("/edit 1 mine")
        await his.until("!! not done: /edit 1 mine — This is not allowed to you.")
        hers.say("/delete 1")
        await both(f"#1 {alice}: deleted")
        hers.say("/who")
        await hers.until(f"admin    @{bob}  has read ", whole=False)  # how far: marks come when they come
        his.say("/status busy")
        asking = asyncio.create_task(ask_often(hers, "/who"))  # it comes when it comes
        await hers.until(f"admin    @{bob}  has read everything  (busy)")
        asking.cancel()
        his.say("/leave")
        await both(f"-- Ours: {bob} left --")
        assert await hers.end() == 0
        assert await his.end() == 1, "one of his changes was refused"


async def ask_often(chat: "OpenChat", line: str) -> None:
    while True:
        chat.say(line)
        await asyncio.sleep(0.3)


async def test_a_chat_reaches_messages_that_it_does_not_show(demo: Path) -> None:
    """A state has the newest 30 of a conversation; older ones are fetched. The end of the input waits for changes too."""
    alice, bob = (user["username"] for user in json.loads((demo / "demo.json").read_text())["users"])
    assert (await chat(demo, alice, "".join(f"message {n}\n" for n in range(1, 36))))[0] == 0
    code, out, _ = await chat(demo, bob, f"/reply 1 indeed @{alice}\n/react 2 👍\n/react 2 👍\n/pin 99\n/edit\n")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"#6 {alice}: message 6"
    assert f"#36 {bob} ↳ #1: indeed @{alice}" in lines
    assert lines.count(f"#2 👍 {bob}") == 1, "the second time changes nothing"
    assert {"!! there is no #99 here", "!! say which message, and the TEXT: 12 TEXT"} <= set(lines)
    api = Api(json.loads((demo / "demo.json").read_text())["url"])
    await api.login(alice, "correct horse battery")
    assert (await api.conversations())[0].mention_count == 1


async def test_a_chat_hears_of_conversations_that_are_not_open(system: System, demo: Path) -> None:
    found = json.loads((demo / "demo.json").read_text())
    alice, bob = (user["username"] for user in found["users"])
    hers = Api(system.urls[0])
    await hers.login(alice, "correct horse battery")
    async with OpenChat.of(demo, bob) as his:
        his.say(f"/new @{alice}")
        await his.until(f"-- {alice} --")
        his.say("hello")
        await his.until(f"#1 {bob}: hello")
        await hers.send(found["conversations"][0]["conversation_id"], "over here")
        await his.until(f"-- Demo: {alice}: over here --")
        his.say(f"/block @{alice}")
        await his.until(f"-- {alice} is blocked --")
        his.say(f"/unblock @{alice}")
        await his.until(f"-- {alice} is not blocked any more --")
        his_id = next(each.user_id for each in await hers.users(bob))
        second = await hers.create("group", [his_id], "Second")
        await his.until("-- Second: you were added; /list --")
        his.say("/open Second")
        await his.until("-- Second --")
        for command, told in (
            ("/mute", "muted"),
            ("/archive", "archived"),
            ("/unmute", "not muted any more"),
            ("/unarchive", "not archived any more"),
        ):
            his.say(command)
            await his.until(f"-- {told} --")
        his.say("/mute")
        his.say("/open Demo")
        await his.until("-- Demo --")
        await hers.send(second.conversation_id, "not heard")
        await hers.remove_member(second.conversation_id, his_id)
        await his.until(f"-- Second: {alice} removed {bob} --")
        assert not [line for line in his.lines if "not heard" in line]
        assert await his.end() == 0


async def test_what_a_chat_prints_is_read(system: System, demo: Path) -> None:
    found = json.loads((demo / "demo.json").read_text())
    alice, bob = (user["username"] for user in found["users"])
    await chat(demo, alice, "one\ntwo\n")
    async with OpenChat.of(demo, bob) as his:
        await his.until(f"#2 {alice}: two")
        assert await his.end() == 0
    api = Api(system.urls[0])
    await api.login(bob, "correct horse battery")
    seen = await api.conversation(found["conversations"][0]["conversation_id"])
    assert (seen.read_seq, seen.unread_count) == (2, 0)


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (["--url", "http://127.0.0.1:9"], "does not answer", 3),
        (["--password", "wrong password"], "can not sign in", 1),
        (["--conversation", "nowhere"], "no conversation 'nowhere'", 1),
        (["--url", "gopher://mill"], "not a server's URL", 1),
    ],
)
async def test_chat_explains_usual_failures_in_a_line(demo: Path, options: list[str], says: str, code: int) -> None:
    name = json.loads((demo / "demo.json").read_text())["users"][0]["username"]
    found, out, err = await chat(demo, name, "hello\n", *options)
    assert found == code
    assert out == ""
    assert says in err
    assert "Traceback" not in err


async def test_chat_asks_who_one_is(demo: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "cli.main", "chat", "--data", str(demo)),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"--as NAME" in err
