"""The server as a small model: gateway, intent stream, persist, events, fan-out, logs and database, each step on its own.

Every mistake that the rules must catch has a switch. A crash forgets what a process held in memory and nothing else.
"""

import enum
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.ids import Position
from tests.histories.records import Text


class Mistake(enum.Enum):
    """What a mutant of the server does wrong."""

    ACCEPTS_BEFORE_APPENDING = enum.auto()
    ACKNOWLEDGES_BEFORE_STORING = enum.auto()
    DOES_NOT_DEDUPLICATE = enum.auto()
    RESUMES_PAST_THE_TRIM = enum.auto()
    TELLS_REPEATS_TO_THE_SENDER_ALONE = enum.auto()  # hole A1
    STORES_WHAT_IT_REJECTS = enum.auto()  # hole A3
    KEEPS_THE_EPOCH_OF_A_REWOUND_LOG = enum.auto()  # hole A5
    INSERTS_UNORDERED = enum.auto()  # hole A9
    APPENDS_AGAIN = enum.auto()  # hole B2
    ACKNOWLEDGES_BEFORE_APPENDING = enum.auto()
    SKIPS_A_LOST_DOORBELL = enum.auto()  # hole C9
    SWAPS_EVENTS = enum.auto()
    LEAVES_ENTRIES_PENDING = enum.auto()  # hole A4
    ALTERS_TEXT = enum.auto()


class Crash(Exception):
    """The process at work dies here."""


class Intent(NamedTuple):
    """A send on the stream."""

    intent_id: int
    user: str
    conversation_id: str
    client_msg_id: str
    text: str


class Fact(NamedTuple):
    """An event on its way to logs: to everybody, or to one."""

    event: str
    event_id: str
    conversation_id: str
    message: Text | None
    to: str | None = None
    duplicate: bool = False
    client_msg_id: str = ""


@dataclass
class Log:
    """A user's log: entries by offset, and what was trimmed is gone."""

    epoch: int
    head: int = 0
    entries: dict[int, Fact] = field(default_factory=dict)


class Server:
    """The state of all server parts. `crash_rate` is the chance to die at each of the places where that hurts."""

    def __init__(self, rng: random.Random, members: dict[str, list[str]], mistake: Mistake | None) -> None:
        self.rng, self.members, self.mistake = rng, members, mistake
        self.crash_rate = 0.0
        self.log_limit = 12
        self.intents: list[Intent] = []
        self.taken = 0
        self.pending: list[int] = []
        self.events: list[Fact] = []
        self.fanned = 0
        self.done: dict[str, int] = defaultdict(lambda: -1)
        self.stored: dict[str, list[Text]] = defaultdict(list)
        self.intent_of: dict[str, int] = {}
        self.epochs = 0
        self.logs: dict[str, Log] = {}
        self.crashes = 0

    # What survives a crash of the process at work is written before it; the rest is local.

    def _maybe_crash(self) -> None:
        if self.rng.random() < self.crash_rate:
            self.crashes += 1
            raise Crash

    def append(self, intent: Intent) -> bool:
        """The gateway takes a send; True if its `accepted` reached the client. Raises Crash after the append, or before it."""
        if self.mistake is Mistake.ACCEPTS_BEFORE_APPENDING and self.rng.random() < self.crash_rate:
            return True
        self._maybe_crash()
        self.intents.append(intent)
        self._maybe_crash()
        return True

    def persist(self) -> None:
        """One batch: take, store, settle; dies between any two of them."""
        batch = self._take()
        if not batch:
            return
        if self.mistake is Mistake.ACKNOWLEDGES_BEFORE_STORING:
            self.pending = [at for at in self.pending if at not in batch]
            self._maybe_crash()
        facts = {at: self._store(self.intents[at]) for at in self._storing_order(batch)}
        self._maybe_crash()
        for at in batch:
            self.events += facts[at]
        self.pending = [at for at in self.pending if at not in batch]

    def _take(self) -> list[int]:
        if self.pending and self.mistake is not Mistake.LEAVES_ENTRIES_PENDING:
            return self.pending[:4]
        batch = list(range(self.taken, min(self.taken + 4, len(self.intents))))
        self.taken += len(batch)
        self.pending += batch
        if batch:
            self._maybe_crash()
        return batch

    def _storing_order(self, batch: list[int]) -> list[int]:
        if self.mistake is Mistake.INSERTS_UNORDERED:
            return self.rng.sample(batch, len(batch))
        return batch

    def _store(self, intent: Intent) -> list[Fact]:
        conversation = self.stored[intent.conversation_id]
        found = next(
            (m for m in conversation if (m.sender_id, m.client_msg_id) == (intent.user, intent.client_msg_id)), None
        )
        if found is not None and self.mistake is not Mistake.DOES_NOT_DEDUPLICATE:
            return [self._repeat(intent, found)]
        member = intent.user in self.members[intent.conversation_id]
        rejection = Fact(
            "message.rejected",
            f"r{intent.intent_id}",
            intent.conversation_id,
            None,
            intent.user,
            client_msg_id=intent.client_msg_id,
        )
        if not member and self.mistake is not Mistake.STORES_WHAT_IT_REJECTS:
            return [rejection]
        message = self._number(intent, len(conversation) + 1)
        conversation.append(message)
        self.intent_of[message.message_id] = intent.intent_id
        self._maybe_crash()
        return (
            [Fact("message.created", message.message_id, message.conversation_id, message)] if member else [rejection]
        )

    def _number(self, intent: Intent, seq: int) -> Text:
        if self.mistake is Mistake.INSERTS_UNORDERED and self.rng.random() < self.crash_rate:
            seq += 1  # its neighbour's number was taken, and the neighbour was not stored
        text = intent.text.upper() if self.mistake is Mistake.ALTERS_TEXT and self.rng.random() < 0.02 else intent.text
        return Text(
            message_id=f"m{intent.intent_id}"
            if self.mistake is Mistake.DOES_NOT_DEDUPLICATE
            else f"m-{intent.user}-{intent.client_msg_id}",
            conversation_id=intent.conversation_id,
            seq=seq,
            rev=seq,
            sender_id=intent.user,
            client_msg_id=intent.client_msg_id,
            text=text,
        )

    def _repeat(self, intent: Intent, found: Text) -> Fact:
        own = self.intent_of[found.message_id] == intent.intent_id
        if own and self.mistake is not Mistake.TELLS_REPEATS_TO_THE_SENDER_ALONE:
            return Fact("message.created", found.message_id, found.conversation_id, found)
        return Fact("message.created", found.message_id, found.conversation_id, found, intent.user, duplicate=True)

    def fan_out(self) -> None:
        """One event to all its recipients' logs, then its acknowledgement."""
        if self.fanned >= len(self.events):
            return
        at = self.fanned
        if self.mistake is Mistake.SWAPS_EVENTS and at + 1 < len(self.events) and self.rng.random() < 0.1:
            self.events[at], self.events[at + 1] = self.events[at + 1], self.events[at]
        if self.mistake is Mistake.ACKNOWLEDGES_BEFORE_APPENDING:
            self.fanned += 1
        fact = self.events[at]
        for user in [fact.to] if fact.to else self.members[fact.conversation_id]:
            if self.done[user] < at or self.mistake is Mistake.APPENDS_AGAIN:
                self._log(user, fact)
                self.done[user] = at
            self._maybe_crash()
        self.fanned = at + 1

    def _log(self, user: str, fact: Fact) -> None:
        if (log := self.logs.get(user)) is None:
            return
        log.head += 1
        log.entries[log.head] = fact
        log.entries.pop(log.head - self.log_limit, None)

    def rewind(self) -> None:
        """Redis comes back without the newest entries of every log; the era makes all of them lost."""
        for user, log in self.logs.items():
            if self.mistake is Mistake.KEEPS_THE_EPOCH_OF_A_REWOUND_LOG:
                cut = min(log.head, 3)
                log.entries = {offset: fact for offset, fact in log.entries.items() if offset <= log.head - cut}
                log.head -= cut
            else:
                self.logs[user] = self._new_log()

    def _new_log(self) -> Log:
        self.epochs += 1
        return Log(epoch=1_000 + self.epochs)

    def head(self, user: str) -> Position:
        """Open the user's log, and where it ends."""
        log = self.logs.setdefault(user, self._new_log())
        return Position(log.epoch, log.head)

    def resume(self, user: str, position: Position | None) -> str | None:
        """Why the log can not be resumed from there; None if it can, whole."""
        head = self.head(user)
        if position is None:
            return "fresh"
        if position.epoch != head.epoch:
            return "epoch_changed"
        if position.offset > head.offset:
            return "position_ahead"
        whole = position.offset == head.offset or position.offset + 1 in self.logs[user].entries
        return None if whole or self.mistake is Mistake.RESUMES_PAST_THE_TRIM else "position_trimmed"

    def after(self, user: str, position: Position) -> tuple[Position, Fact] | None:
        """The next entry for a connection at this position; None if there is none. Raises KeyError if the log lost it."""
        log = self.logs[user]
        if log.epoch != position.epoch or log.head < position.offset:
            raise KeyError(user)
        offset = position.offset + 1
        if self.mistake is Mistake.SKIPS_A_LOST_DOORBELL and offset + 1 in log.entries and self.rng.random() < 0.05:
            offset += 1
        if offset not in log.entries and self.mistake is Mistake.RESUMES_PAST_THE_TRIM:
            offset = next((present for present in log.entries if present >= offset), log.head + 1)
        if offset > log.head:
            return None
        return Position(log.epoch, offset), log.entries[offset]
