"""The open loop: messages leave on a fixed schedule, whatever the server does."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

import msgspec

from bench.member import Data, Frame, Member, connect_all
from bench.pace import Schedule, paced, settled
from bench.people import Person, count_messages, make_conversation

TEXT_BYTES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Schedule):
    """What to do: messages in `groups` conversations of `group` members each; nobody is in two."""

    scenario: str
    group: int
    groups: int

    @property
    def people(self) -> int:
        """How many accounts it takes."""
        return self.group * self.groups


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
        members = await connect_all(self._people[: self.plan.people], self._urls, self._heard)
        conversations = await self._converse(members)
        await self._send(list(islice(cycle(_turns(conversations)), self.plan.total)))
        await settled(self._arrived_count, self._whole)
        for conversation_id, group in conversations.items():
            count = await count_messages(group[0].person, conversation_id)
            self.records.counts[conversation_id] = count - self._before[conversation_id]
        for member in members:
            self.records.lost_connections += member.leave()
        return self.records

    async def _converse(self, members: Sequence[Member]) -> dict[str, list[Member]]:
        """Groups of the people."""
        conversations: dict[str, list[Member]] = {}
        for number in range(self.plan.groups):
            group = list(members[number * self.plan.group : (number + 1) * self.plan.group])
            title = None if self.plan.group == 2 else f"{self.plan.scenario} {number}"
            conversation_id = await make_conversation([each.person for each in group], title)
            conversations[conversation_id] = group
            self._before[conversation_id] = await count_messages(group[0].person, conversation_id)
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

        def act(number: int, due: float) -> None:
            member = turns[number][1]
            self._intended[number], self._senders[number] = due, member.person.user_id
            member.socket.send(frames[number])

        self.records.lag = await paced(self.plan, act)

    def _arrived_count(self) -> int:
        return sum(map(len, self.records.arrivals.values()))

    def _whole(self) -> bool:
        return self._arrived_count() >= self._expected and not math.isnan(sum(self.records.accepted))

    def _heard(self, user_id: str, frame: Frame, now: float) -> None:
        if frame.type == "reply":
            self.answered(frame.id, frame.ok, now)
        elif frame.event == "message.created" and frame.data is not None:
            self.arrived(user_id, frame.data, now)

    def answered(self, number: int | None, ok: bool, now: float) -> None:
        """A reply came."""
        if number is None or not ok:
            self.records.refused += not ok
        else:
            self.records.accepted[number] = now - self._intended[number]

    def arrived(self, user_id: str, data: Data, now: float) -> None:
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


def _turns(conversations: dict[str, list[Member]]) -> list[tuple[str, Member]]:
    """Who writes where: one conversation after the other, within each one member after the other."""
    size = max(map(len, conversations.values()))
    return [(key, group[turn % len(group)]) for turn in range(size) for key, group in conversations.items()]
