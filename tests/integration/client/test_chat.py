"""`headrace chat` against the whole system, as `headrace up` starts it."""

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

from headrace_client import (
    Api,
)
from tests.integration.client.conftest import PATIENCE_S, System

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


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
    async def of(cls, folder: Path, name: str, here: Path | None = None) -> AsyncIterator[Self]:
        """With `folder` as its data, in the folder `here`."""
        command = (sys.executable, "-P", "-m", "cli.main", "chat", "--data", str(folder), "--as", name)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=here
        )
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
