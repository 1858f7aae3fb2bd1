"""What arrives: in order, without gaps, each change once; and how far the program has taken it. No I/O.

Offsets are dense, so a hole is seen and mended by `sync`. What the program has no room for is not kept: the log on the server is the
buffer, and the rest is asked for when there is room again. While the state is being loaded, live events are held and those above its
position are applied after it (hole C8).
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from headrace_client.entities import Message, State, newest_messages
from headrace_client.events import AnyEvent, Data, Event, Resynced
from headrace_client.wire import Logged, Page, Position

REMEMBERED = 10_000

V = TypeVar("V")


class Heard(Enum):
    """What became of a log entry."""

    TAKEN = auto()
    REPEATED = auto()
    LATER = auto()
    """Held, beyond a gap, or no room: it will come again by a sync."""
    FOREIGN = auto()
    """Of another epoch: the log that we followed is gone."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One step of the position; `item` is what the program sees, None for what it has seen in a newer form already."""

    position: Position | None
    item: AnyEvent | None
    settles: str | None = None
    """The `client_msg_id` whose outbox row goes with this step, in the same transaction (hole D3)."""


class Inbox:
    """The log of one user as this client follows it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[Delivery] = deque()
        self._held: list[Logged] | None = None
        self._seen_ids: OrderedDict[str, None] = OrderedDict()
        self._revs: OrderedDict[str, int] = OrderedDict()
        self._head = -1
        self._passed_over: Position | None = None
        self.last: Position | None = None
        """The newest position in the queue or taken from it."""
        self.repeats = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def loading(self) -> bool:
        """Whether live events are held for a state that is being loaded."""
        return self._held is not None

    @property
    def gap_after(self) -> Position | None:
        """After where entries are missing that there is room for; None if nothing is."""
        if self.last is None or self.loading or self._head <= self.last.offset or len(self._queue) > self._limit // 2:
            return None
        return self.last

    def follow(self, position: Position) -> None:
        """The server replays everything after this position: go on from it; a state is not needed any more."""
        self.last, self._head, self._held = position, position.offset, None

    def hear(self, entry: Logged, data: Data, *, settles: str | None = None, hide: bool = False) -> Heard:
        """One entry of the log, live or from a page. `hide`: it counts, but the program need not see it."""
        position = Position.parse(entry.position)
        if self._held is not None:
            if len(self._held) < self._limit:
                self._held.append(entry)
            else:
                self._passed_over = position
            return Heard.LATER
        if self.last is None or position.epoch != self.last.epoch:
            return Heard.FOREIGN
        self._head = max(self._head, position.offset)
        if position.offset <= self.last.offset:
            return Heard.REPEATED
        if position.offset > self.last.offset + 1 or len(self._queue) >= self._limit:
            return Heard.LATER
        self.last = position
        self._queue.append(Delivery(position, None if hide else self._unseen(entry, data), settles))
        return Heard.TAKEN

    def hear_head(self, head: Position) -> bool:
        """The log ends at `head`. Returns False if that is another log than ours."""
        if self.loading:
            return True
        if self.last is None or head.epoch != self.last.epoch:
            return False
        self._head = max(self._head, head.offset)
        return True

    def mends(self, page: Page) -> bool:
        """Whether a page goes on where we are: it must begin at the next offset, of the same epoch (hole C9)."""
        if self.last is None or not page.events:
            return False
        first = Position.parse(page.events[0].position)
        return first.epoch == self.last.epoch and first.offset <= self.last.offset + 1

    def add_ephemeral(self, item: AnyEvent) -> None:
        """Typing or presence: dropped if there is no room."""
        if len(self._queue) < self._limit:
            self._queue.append(Delivery(None, item))

    def hold(self) -> None:
        """From now on live events wait for the state."""
        if self._held is None:
            self._held = []

    def replace(self, state: State, reason: str) -> list[Logged]:
        """The state is here: it takes the place of everything before it. Returns what was held above it, to be heard now."""
        held, self._held = self._held or [], None
        self.last = Position.parse(state.position)
        self._head = self.last.offset
        if self._passed_over is not None and self._passed_over.epoch == self.last.epoch:
            self._head = max(self._head, self._passed_over.offset)
        self._passed_over = None
        self._seen_ids.clear()
        self._revs.clear()
        for message in newest_messages(state):
            self._newer(message)
        self._queue.append(Delivery(self.last, Resynced(state, reason)))
        return [entry for entry in held if Position.parse(entry.position).epoch == self.last.epoch]

    def take(self) -> Delivery | None:
        """The next step for the program; None if there is none."""
        return self._queue.popleft() if self._queue else None

    def _unseen(self, entry: Logged, data: Data) -> Event | None:
        new = self._newer(data) if isinstance(data, Message) else True
        if entry.event_id:
            new = new and entry.event_id not in self._seen_ids
            _remember(self._seen_ids, entry.event_id, None)
        if not new:
            self.repeats += 1
            return None
        return Event(entry.event, entry.event_id, entry.ts, entry.position, data, entry.actor_id)

    def _newer(self, message: Message) -> bool:
        if message.rev <= self._revs.get(message.message_id, -1):
            return False
        _remember(self._revs, message.message_id, message.rev)
        return True


def _remember(cache: OrderedDict[str, V], key: str, value: V) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > REMEMBERED:
        cache.popitem(last=False)
