"""One abusive client, a storm of logins and half-open sockets, while others talk: they do not notice (holes D1, and the limits of docs/limits.md)."""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

from backplane.store.users import StoredUser
from gateway.tokens import Tokens
from schemas.ids import SessionId, UserId
from tests.system.flooder import LOGINS
from tests.system.stack import ROOT, Stack, run_stack, until

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(240)]

PEOPLE = 10
SECONDS = 12.0
PAUSE = 0.2


class Talker:
    """Somebody who says something now and then, and measures until it is stored and told."""

    def __init__(self, socket: ClientConnection, room: str) -> None:
        self.socket, self.room = socket, room
        self.seconds: list[float] = []
        self._said: dict[str, float] = {}

    async def listen(self) -> None:
        async for raw in self.socket:
            frame = msgspec.json.decode(raw)
            if frame["type"] == "ping":
                await self.socket.send('{"type":"pong"}')
            elif frame["type"] == "event" and frame["event"] == "message.created":
                if began := self._said.pop(frame["data"]["client_msg_id"], None):
                    self.seconds.append(time.perf_counter() - began)
            elif frame["type"] == "reply":
                assert frame["ok"], frame

    async def talk(self, seconds: float) -> None:
        """For so long, and until all of it is told."""
        self.seconds.clear()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            key = str(uuid.uuid4())
            self._said[key] = time.perf_counter()
            say = {
                "type": "message.send",
                "conversation_id": self.room,
                "client_msg_id": key,
                "content": {"text": "hi"},
            }
            await self.socket.send(msgspec.json.encode(say).decode())
            await asyncio.sleep(PAUSE)
        await until(self.all_told, 20, "not everything that was said is stored")

    async def all_told(self) -> bool:
        return not self._said


def token_of(stack: Stack, user: UserId) -> str:
    return Tokens(stack.settings).issue(user, SessionId("s"), now_ms=int(time.time() * 1000))


async def arrive(stack: Stack, user: UserId) -> ClientConnection:
    socket = await connect(f"ws://{stack.addresses[0]}/ws", subprotocols=["headrace.v1"], ping_interval=None)
    await socket.send(msgspec.json.encode({"type": "connect", "token": token_of(stack, user), "client": {}}).decode())
    assert msgspec.json.decode(await socket.recv())["type"] == "connected"
    return socket


@contextlib.asynccontextmanager
async def talkers(stack: Stack, http: httpx2.AsyncClient) -> AsyncIterator[list[Talker]]:
    people = [UserId(str(uuid.uuid4())) for _ in range(PEOPLE)]
    for user in people:
        name = f"u{user[:12]}"
        await stack.store.users.create(
            StoredUser(user_id=user, username=name, display_name=name, password_hash="-", created_ms=1)
        )
    found: list[Talker] = []
    for one, other in zip(people[::2], people[1::2], strict=True):
        headers = {"Authorization": f"Bearer {token_of(stack, one)}"}
        body = {"kind": "direct", "member_ids": [other]}
        answer = await http.post(f"http://{stack.addresses[0]}/api/conversations", json=body, headers=headers)
        room = answer.json()["conversation_id"]
        found += [Talker(await arrive(stack, user), room) for user in (one, other)]
    listening = [asyncio.create_task(one.listen()) for one in found]
    yield found
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    for one in found:
        await one.socket.close()


async def p99_ms(talking: list[Talker]) -> float:
    """The 99th percentile of what it takes while all of them talk."""
    await asyncio.gather(*(one.talk(SECONDS) for one in talking))
    seconds = sorted(took for one in talking for took in one.seconds)
    assert len(seconds) > PEOPLE * SECONDS / PAUSE * 0.7
    return seconds[int(len(seconds) * 0.99)] * 1000


async def test_nobody_else_notices_a_flood(tmp_path: Path) -> None:
    async with (
        run_stack(tmp_path, gateways=1, consumers=1, rate_limits="", log_level="warning") as stack,
        httpx2.AsyncClient(timeout=60) as http,
        talkers(stack, http) as talking,
    ):
        gateway = psutil.Process(stack.gateways[0].running.pid)
        calm_ms = max(await p99_ms(talking), await p99_ms(talking))
        before = gateway.memory_info().rss
        token = token_of(stack, UserId(str(uuid.uuid4())))
        command = [sys.executable, "-m", "tests.system.flooder", stack.addresses[0], token, str(SECONDS)]
        flooder = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        flooded_ms = await p99_ms(talking)
        said, _ = await flooder.communicate()
        grown = (gateway.memory_info().rss - before) / 2**20
        print(f"p99 {calm_ms:.0f} → {flooded_ms:.0f} ms, +{grown:.0f} MiB, {said.decode()}")
        found = json.loads(said)
        closed, logins = found["closed"], found["logins"]
        assert set(closed) == {"4006"}
        assert sum(logins.values()) == LOGINS
        assert set(logins) <= {"401", "429", "503"}
        assert logins["429"] > LOGINS * 0.9
        assert grown < 64
        assert flooded_ms < 2 * calm_ms
