"""One abusive client, a storm of logins and half-open sockets, while others talk: they do not notice (holes D1, and the limits of docs/limits.md)."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from backplane.store.users import StoredUser
from gateway.tokens import Tokens
from schemas.ids import SessionId, UserId
from tests.system.stack import Stack, run_stack, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

PEOPLE = 10
SECONDS = 12.0
PAUSE = 0.2
LOGINS = 5000
HALF_OPEN = 500
FRAMES_A_SECOND = 1000


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

    async def talk(self, seconds: float) -> float:
        """For so long; the 99th percentile of what it took."""
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
        return 0.0

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
    await asyncio.gather(*(one.talk(SECONDS) for one in talking))
    seconds = sorted(took for one in talking for took in one.seconds)
    assert len(seconds) > PEOPLE * SECONDS / PAUSE * 0.7
    return seconds[int(len(seconds) * 0.99)] * 1000


async def flood_frames(stack: Stack, stop: asyncio.Event) -> list[int]:
    """1 000 frames a second from one person, who comes again whenever they are sent away."""
    user, closed = UserId(str(uuid.uuid4())), list[int]()
    frame = msgspec.json.encode({"type": "watch", "id": 1, "conversation_id": str(uuid.uuid4())}).decode()
    while not stop.is_set():
        try:
            # It reads what it is told, else it would not hear why it is sent away.
            async with connect(f"ws://{stack.addresses[0]}/ws", subprotocols=["headrace.v1"], max_queue=None) as socket:
                hello = {"type": "connect", "token": token_of(stack, user), "client": {}}
                await socket.send(msgspec.json.encode(hello).decode())
                while not stop.is_set():
                    for _ in range(FRAMES_A_SECOND // 50):
                        await socket.send(frame)
                    await asyncio.sleep(0.02)
        except ConnectionClosed as gone:
            closed.append(gone.rcvd.code if gone.rcvd else 1006)
            await asyncio.sleep(0.05)
    return closed


async def storm_logins(stack: Stack, http: httpx2.AsyncClient) -> dict[int, int]:
    """5 000 passwords, as fast as they are answered."""
    statuses: dict[int, int] = {}
    url = f"http://{stack.addresses[0]}/api/auth/login"

    async def some(numbers: range) -> None:
        for number in numbers:
            body = {"username": f"victim-{number % 7}", "password": "a guess"}
            answer = await http.post(url, json=body)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    await asyncio.gather(*(some(range(start, LOGINS, 20)) for start in range(20)))
    return statuses


@contextlib.asynccontextmanager
async def half_open(stack: Stack) -> AsyncIterator[None]:
    """500 sockets that say nothing: half of them no request, half of them no `connect`."""
    host, _, port = stack.addresses[0].partition(":")
    async with contextlib.AsyncExitStack() as held:
        for number in range(HALF_OPEN):
            if number % 2:
                _, writer = await asyncio.open_connection(host, int(port))
                held.callback(writer.close)
            else:
                with contextlib.suppress(InvalidHandshake):
                    await held.enter_async_context(
                        connect(f"ws://{stack.addresses[0]}/ws", subprotocols=["headrace.v1"])
                    )
        yield


async def test_nobody_else_notices_a_flood(tmp_path: Path) -> None:
    limits = httpx2.Limits(max_connections=40)
    async with (
        run_stack(tmp_path, gateways=1, consumers=1, rate_limits="", log_level="warning") as stack,
        httpx2.AsyncClient(timeout=60, limits=limits) as http,
        talkers(stack, http) as talking,
    ):
        gateway = psutil.Process(stack.gateways[0].running.pid)
        calm_ms = await p99_ms(talking)
        before = gateway.memory_info().rss
        stop = asyncio.Event()
        async with half_open(stack):
            frames = asyncio.create_task(flood_frames(stack, stop))
            logins = asyncio.create_task(storm_logins(stack, http))
            flooded_ms = await p99_ms(talking)
            stop.set()
            closed, statuses = await frames, await logins
        grown = (gateway.memory_info().rss - before) / 2**20
        print(f"p99 {calm_ms:.0f} → {flooded_ms:.0f} ms, closed {closed}, logins {statuses}, +{grown:.0f} MiB")
        assert set(closed) == {4006}
        assert statuses.pop(429) > LOGINS * 0.9
        assert set(statuses) <= {401, 503}
        assert grown < 64
        assert flooded_ms < 2 * calm_ms
