"""Thousands of hostile frames over real sockets: each has its answer or its close code, and the neighbours hear nothing of it."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from websockets.asyncio.client import ClientConnection, connect

from schemas.client_frames import ClientFrame
from tests.system.fuzz.attacker import Attacker
from tests.system.fuzz.bugs import Logs
from tests.system.fuzz.conftest import thrown
from tests.system.fuzz.frames import Shot, first_shots, shots
from tests.system.fuzz.world import Person, sign_up
from tests.system.stack import Stack

FEW, MANY = 2_000, 20_000
"""Frames; the many are for the long runs."""
AN_EXAMPLE = 20
HEARD_SECONDS = 2.0

pytestmark = [pytest.mark.slow]


@dataclass
class Neighbour:
    """Somebody else's connection, which is to go on as if nothing were."""

    socket: ClientConnection
    heard: dict[str, float] = field(default_factory=dict)
    """Message id → when it came."""
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Until the connection ends, which only its own hanging up may bring about."""
        async for raw in self.socket:
            frame = msgspec.json.decode(raw)
            if frame["type"] == "ping":
                await self.socket.send('{"type":"pong"}')
            elif frame["type"] == "event" and frame["event"] == "message.created":
                self.heard[frame["data"]["message_id"]] = time.monotonic()
                self._more.set()

    async def hear(self, message_id: str, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while message_id not in self.heard:
                self._more.clear()
                await self._more.wait()


@dataclass
class Street:
    """Ada attacks; Bob, who shares a group with her, and Cy live next door."""

    address: str
    http: httpx2.Client
    ada: Person = field(init=False)
    bob: Person = field(init=False)
    cy: Person = field(init=False)

    def __post_init__(self) -> None:
        self.ada, self.bob, self.cy = (sign_up(self.http) for _ in range(3))
        self.shared, self.quiet = self.ada.group(self.bob), self.bob.group(self.cy)
        self.messages = [self.ada.say(self.shared), self.bob.say(self.shared)]
        position = self.ada("GET", "/api/sync")["position"]
        epoch = position.partition("-")[0]
        users = [self.ada.user_id, self.bob.user_id]
        self.pools: dict[str, Sequence[str]] = {
            "token": [self.ada.access_token],
            "conversation_id": [self.shared, self.quiet],
            "message_id": self.messages,
            "reply_to": self.messages,
            "thread_root_id": self.messages,
            "user_ids": users,
            "mentions": [*users, "all"],
            "emoji": ["\N{THUMBS UP SIGN}", ":ok:"],
            "after": [position, f"{epoch}-0", f"{epoch}-{2**53 - 1}", f"{2**53 - 1}-0", "0-0"],
            "resume": [position, f"{epoch}-1", f"{epoch}-{2**53 - 1}", "0-0"],
            "client_msg_id": [str(uuid.UUID(int=number)) for number in range(3)],
            "client_op_id": [str(uuid.UUID(int=number)) for number in range(3)],
        }

    @property
    def url(self) -> str:
        return f"ws://{self.address}/ws"


@pytest.fixture(scope="module")
def street(stack: Stack) -> Iterator[Street]:
    with httpx2.Client(base_url=f"http://{stack.addresses[0]}", timeout=30) as http:
        yield Street(stack.addresses[0], http)


@pytest.mark.parametrize("frames", [FEW, pytest.param(MANY, marks=pytest.mark.chaos)])
def test_hostile_frames_are_answered_or_end_their_own_connection_alone(
    runner: asyncio.Runner, stack: Stack, street: Street, frames: int
) -> None:
    logs, attacker = Logs(stack), Attacker(street.url, street.ada.access_token)
    logs.bugs()
    neighbour, listening = runner.run(move_in(street))

    @thrown(frames // AN_EXAMPLE, alike=frames == FEW)
    @given(
        st.lists(shots(street.pools), min_size=AN_EXAMPLE - 1, max_size=AN_EXAMPLE - 1),
        first_shots(street.pools),
        st.sampled_from([1, 1, 3, AN_EXAMPLE]),
    )
    def attack(volley: list[Shot], first: Shot, at_once: int) -> None:
        runner.run(attacker.knock(first))
        for start in range(0, len(volley), at_once):
            runner.run(attacker.attack(volley[start : start + at_once]))
        assert not listening.done(), "the neighbour's connection has ended"

    attack()
    assert attacker.shots >= frames
    assert not unseen(attacker)
    runner.run(said_next_door(street, neighbour))
    assert not listening.done()
    assert not logs.bugs()
    runner.run(move_out(attacker, neighbour, listening))


async def move_in(street: Street) -> tuple[Neighbour, asyncio.Task[None]]:
    socket = await connect(street.url, subprotocols=["headrace.v1"], compression=None, ping_interval=None)
    await socket.send(msgspec.json.encode({"type": "connect", "token": street.bob.access_token}).decode())
    assert msgspec.json.decode(await socket.recv())["type"] == "connected"
    neighbour = Neighbour(socket)
    return neighbour, asyncio.create_task(neighbour.listen())


async def said_next_door(street: Street, neighbour: Neighbour) -> None:
    """A message of somebody else's arrives as fast as ever."""
    message_id = await asyncio.to_thread(street.cy.say, street.quiet)
    await neighbour.hear(message_id, HEARD_SECONDS)


async def move_out(attacker: Attacker, neighbour: Neighbour, listening: asyncio.Task[None]) -> None:
    await attacker.close()
    await neighbour.socket.close()
    with contextlib.suppress(Exception):
        await listening


def unseen(attacker: Attacker) -> set[object]:
    """What an attack that is worth its name has brought about, and this one has not."""
    kinds = inspect.type_info(ClientFrame)
    assert isinstance(kinds, inspect.UnionType)
    tags = {one.tag for one in kinds.types if isinstance(one, inspect.StructType)}
    shapes = {"message", "fragments", "control", "sized", "binary", "bad UTF-8", "protocol error", "noise"}
    codes = {"ok", "bad_request", "not_member", "conflict", "authentication_failed"}
    return (
        (tags - {*attacker.types})
        | (shapes - {*attacker.kinds})
        | (codes - {*attacker.codes})
        | ({1002, 1003, 1007, 1009, 4504} - {*attacker.closes})
    )
