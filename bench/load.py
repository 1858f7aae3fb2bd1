"""The open loop: messages leave on a fixed schedule, whatever the server does."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

import msgspec

from bench.people import Person, make_conversation, patiently
from bench.socket import Socket, dial

TEXT_BYTES = 300
QUIET_S = 10.0
"""After the last send: how long stragglers are waited for."""
CONNECT_AT_ONCE = 20


class _Data(msgspec.Struct):
    conversation_id: str = ""
    seq: int = 0
    client_msg_id: str = ""


class _Frame(msgspec.Struct):
    type: str
    id: int | None = None
    ok: bool = True
    event: str = ""
    resync: str | None = None
    data: _Data | None = None


_decoder = msgspec.json.Decoder(_Frame)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `rate` messages a second for `seconds`, after a warm-up that counts for correctness alone."""

    scenario: str
    group: int
    groups: int
    rate: float
    seconds: float
    warmup_s: float = 2.0

    @property
    def total(self) -> int:
        """Messages, those of the warm-up included."""
        return round(self.rate * (self.warmup_s + self.seconds))

    @property
    def warmup(self) -> int:
        """Messages of the warm-up."""
        return round(self.rate * self.warmup_s)


@dataclass(slots=True)
class Records:
    """What was seen: one entry a message, in seconds after its intended moment; NaN: never."""

    plan: Plan
    lag: list[float]
    accepted: list[float]
    stored: list[float]
    delivered: list[float] = field(default_factory=list[float])
    arrivals: dict[tuple[str, str], list[int]] = field(default_factory=dict[tuple[str, str], list[int]])
    """(conversation, member) → the `seq` of every arrival as it came, counted from the start of the run."""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """Conversation → how many messages the server says it has got since the start of the run."""
    refused: int = 0
    lost_connections: int = 0


class Member:
    """One connected person."""

    def __init__(self, person: Person, run: "Run") -> None:
        self.person, self._run = person, run
        self.socket: Socket
        self.connected = asyncio.Event()

    async def connect(self, url: str) -> None:
        """Connect and wait until it is live."""
        self.socket = await dial(url, self._on_frame)
        token = await self.person.api.token()
        self.socket.send(msgspec.json.encode({"type": "connect", "token": token, "client": {"name": "bench"}}))
        await asyncio.wait_for(self.connected.wait(), 30)

    def _on_frame(self, payload: bytes, now: float) -> None:
        frame = _decoder.decode(payload)
        match frame.type:
            case "event":
                if frame.event == "message.created" and frame.data is not None:
                    self._run.arrived(self.person.user_id, frame.data, now)
            case "reply":
                self._run.answered(frame.id, frame.ok, now)
            case "ping":
                self.socket.send(b'{"type":"pong"}')
            case "connected":
                self.connected.set()
            case "resync_required":
                self._run.records.lost_connections += 1
            case _:
                pass


class Run:
    """One plan, carried out once."""

    def __init__(self, plan: Plan, people: Sequence[Person], urls: Sequence[str]) -> None:
        self.plan, self._people, self._urls = plan, people, urls
        never = [math.nan] * plan.total
        self.records = Records(plan, never.copy(), never.copy(), never.copy())
        self._intended = never
        self._senders: list[str] = [""] * plan.total
        self._prefix = f"{time.time_ns() & 0xFFFFFFFF:08x}-0000-4000-8000-"
        self._expected = 0
        self._before: dict[
            str, int
        ] = {}  # conversation → messages of earlier runs: two people's conversation is always the same

    async def __call__(self) -> Records:
        """Make conversations, connect everybody, send, wait for stragglers, hang up."""
        members = await self._connect()
        conversations = await self._converse(members)
        await self._send(list(islice(cycle(_turns(conversations)), self.plan.total)))
        await self._settle()
        for conversation_id, group in conversations.items():
            count = await _count(group[0].person, conversation_id)
            self.records.counts[conversation_id] = count - self._before[conversation_id]
        for member in members:
            self.records.lost_connections += member.socket.closed.done()
            member.socket.close()
        return self.records

    async def _connect(self) -> list[Member]:
        turnstile = asyncio.Semaphore(CONNECT_AT_ONCE)
        members = [Member(person, self) for person in self._people[: self.plan.group * self.plan.groups]]

        async def connect(number: int, member: Member) -> None:
            async with turnstile:
                await member.connect(self._urls[number % len(self._urls)])

        await asyncio.gather(*(connect(number, member) for number, member in enumerate(members)))
        return members

    async def _converse(self, members: Sequence[Member]) -> dict[str, list[Member]]:
        """Groups of the people."""
        conversations: dict[str, list[Member]] = {}
        for number in range(self.plan.groups):
            group = list(members[number * self.plan.group : (number + 1) * self.plan.group])
            title = None if self.plan.group == 2 else f"{self.plan.scenario} {number}"
            conversation_id = await make_conversation([each.person for each in group], title)
            conversations[conversation_id] = group
            self._before[conversation_id] = await _count(group[0].person, conversation_id)
            for each in group:
                self.records.arrivals[conversation_id, each.person.user_id] = []
        return conversations

    async def _send(self, turns: Sequence[tuple[str, Member]]) -> None:
        text = "x" * TEXT_BYTES
        sizes: dict[str, int] = defaultdict(int)
        for conversation_id, _ in self.records.arrivals:
            sizes[conversation_id] += 1
        frames = [
            msgspec.json.encode(
                {
                    "type": "message.send",
                    "id": number,
                    "conversation_id": conversation_id,
                    "client_msg_id": f"{self._prefix}{number:012x}",
                    "content": {"text": text},
                }
            )
            for number, (conversation_id, _) in enumerate(turns)
        ]
        self._expected = sum(sizes[conversation_id] for conversation_id, _ in turns)
        start = time.perf_counter() + 0.1
        for number, (_, member) in enumerate(turns):
            due = start + number / self.plan.rate
            self._intended[number] = due
            self._senders[number] = member.person.user_id
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            member.socket.send(frames[number])
            self.records.lag[number] = time.perf_counter() - due

    async def _settle(self) -> None:
        """Until everything arrived, or nothing new has for `QUIET_S`."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            arrived = sum(map(len, self.records.arrivals.values()))
            if arrived >= self._expected and not math.isnan(sum(self.records.accepted)):
                return
            if arrived != seen:
                seen, since = arrived, time.monotonic()
            await asyncio.sleep(0.05)

    def answered(self, number: int | None, ok: bool, now: float) -> None:
        """A reply came."""
        if number is None or not ok:
            self.records.refused += not ok
        else:
            self.records.accepted[number] = now - self._intended[number]

    def arrived(self, user_id: str, data: _Data, now: float) -> None:
        """A message came to a member."""
        if not data.client_msg_id.startswith(self._prefix):
            return
        self.records.arrivals[data.conversation_id, user_id].append(data.seq - self._before[data.conversation_id])
        number = int(data.client_msg_id[-12:], 16)
        took = now - self._intended[number]
        if self._senders[number] == user_id:
            self.records.stored[number] = took
        elif number >= self.plan.warmup:
            self.records.delivered.append(took)


async def _count(person: Person, conversation_id: str) -> int:
    """How many messages the server says there are."""
    return (await patiently(lambda: person.api.conversation(conversation_id))).last_seq


def _turns(conversations: dict[str, list[Member]]) -> list[tuple[str, Member]]:
    """Who writes where: one conversation after the other, within each one member after the other."""
    size = max(map(len, conversations.values()))
    return [(key, group[turn % len(group)]) for turn in range(size) for key, group in conversations.items()]
