"""A connected person: says who they are, answers pings, and passes on what they hear."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.people import Person, count_messages
from bench.socket import Socket, dial

CONNECT_AT_ONCE = 20


class Data(msgspec.Struct):
    """What the runs need of an event's data, whichever event it is."""

    conversation_id: str = ""
    message_id: str = ""
    seq: int = 0
    rev: int = 0
    client_msg_id: str = ""
    client_op_id: str = ""
    user_id: str = ""
    delivered_seq: int = 0
    read_seq: int = 0


class Frame(msgspec.Struct):
    """What the runs need of a server's frame."""

    type: str
    id: int | None = None
    ok: bool = True
    event: str = ""
    resync: str | None = None
    data: Data | None = None
    actor_id: str = ""
    client_op_id: str = ""


Hear = Callable[[str, Frame, float], None]
"""User id of who heard it, the frame, and when it was read (`time.perf_counter`)."""

_decoder = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


class Member:
    """One person on one connection."""

    def __init__(self, person: Person, hear: Hear) -> None:
        self.person, self._hear = person, hear
        self.socket: Socket
        self.lost = 0
        self._connected = asyncio.Event()

    async def connect(self, url: str) -> None:
        """Connect and wait until it is live."""
        self.socket = await dial(url, self._on_frame)
        token = await self.person.api.token()
        self.say({"type": "connect", "token": token, "client": {"name": "bench"}})
        await asyncio.wait_for(self._connected.wait(), 30)

    def say(self, frame: dict[str, Any]) -> None:
        """Send a frame that was not encoded before."""
        self.socket.send(_encoder.encode(frame))

    def leave(self) -> int:
        """Hang up; returns how often this connection was lost until then."""
        self.lost += self.socket.closed.done()
        self.socket.close()
        return self.lost

    def _on_frame(self, payload: bytes, now: float) -> None:
        frame = _decoder.decode(payload)
        match frame.type:
            case "event" | "reply" | "ephemeral":
                self._hear(self.person.user_id, frame, now)
            case "ping":
                self.socket.send(b'{"type":"pong"}')
            case "connected":
                self._connected.set()
            case "resync_required":
                self.lost += 1
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Room:
    """A conversation of connected people."""

    conversation_id: str
    members: tuple[Member, ...]

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Of its members."""
        return tuple(each.person.user_id for each in self.members)

    async def count(self) -> int:
        """How many messages the server says there are."""
        return await count_messages(self.members[0].person, self.conversation_id)


async def connect_all(people: Sequence[Person], urls: Sequence[str], hear: Hear) -> list[Member]:
    """Everybody connected, spread over the gateways."""
    turnstile = asyncio.Semaphore(CONNECT_AT_ONCE)
    members = [Member(person, hear) for person in people]

    async def connect(number: int, member: Member) -> None:
        async with turnstile:
            await member.connect(urls[number % len(urls)])

    await asyncio.gather(*(connect(number, member) for number, member in enumerate(members)))
    return members
