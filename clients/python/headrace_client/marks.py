"""How far this user has received and read, on its way to the server. No I/O.

A mark is a number that only rises: marks of one thing are merged while they wait, and one is sent again after every reconnect until
`receipt.updated`, or a loaded state, says as much. Kept in memory: what is lost with the process, the next reading says again.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from headrace_client.entities import Conversation, ErrorBody, Receipt

PAUSE_S = 0.3
"""Between two times at which marks are written; the first goes at once."""
AT_ONCE = 100
RETRY_S = 1.0
REMEMBERED = 10_000
NEVER = float("inf")


class Key(NamedTuple):
    """What a mark is about."""

    conversation_id: str
    thread_root_id: str | None = None


class Levels(NamedTuple):
    """Watermarks; 0 says nothing."""

    delivered_seq: int = 0
    read_seq: int = 0
    private_read_seq: int = 0

    def with_(self, other: "Levels") -> "Levels":
        """The higher of each."""
        return Levels(*map(max, self, other))

    def covers(self, other: "Levels") -> bool:
        """Whether nothing of the other is higher."""
        return self.with_(other) == self


@dataclass(slots=True)
class _Waiting:
    levels: Levels
    due: float
    requests: tuple[int, ...] = ()
    """Numbers of its frames, should one be refused."""


class Marks:
    """The marks of one user that the server has not confirmed."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}
        self._known: OrderedDict[Key, Levels] = OrderedDict()
        self._write_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def raise_to(self, key: Key, levels: Levels, now: float) -> None:
        """Want these levels; what is known to be reached needs nothing."""
        waiting = self._waiting.get(key)
        levels = levels.with_(waiting.levels) if waiting else levels
        if self._known.get(key, Levels()).covers(levels) or (waiting and waiting.levels == levels):
            return
        self._waiting[key] = _Waiting(levels, now)

    def take_due(self, now: float) -> Iterator[tuple[Key, Levels]]:
        """What to write now; the caller says under which numbers with `written`."""
        if now < self._write_at:
            return
        due = [key for key, waiting in self._waiting.items() if waiting.due <= now][:AT_ONCE]
        if due:
            self._write_at = now + PAUSE_S
        for key in due:
            self._waiting[key].due = NEVER
            yield key, self._waiting[key].levels

    def written(self, key: Key, requests: tuple[int, ...]) -> None:
        """Its frames went out under these numbers."""
        self._waiting[key].requests = requests

    def confirm(self, key: Key, levels: Levels) -> None:
        """The server has this much."""
        known = self._known[key] = levels.with_(self._known.get(key, Levels()))
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        waiting = self._waiting.get(key)
        if waiting is not None and known.covers(waiting.levels):
            del self._waiting[key]

    def heard(self, receipt: Receipt) -> None:
        """A `receipt.updated` of this user."""
        self.confirm(
            Key(receipt.conversation_id, receipt.thread_root_id),
            Levels(receipt.delivered_seq, receipt.read_seq, receipt.private_read_seq),
        )

    def loaded(self, conversation: Conversation, user_id: str | None) -> None:
        """A conversation as the server has it."""
        for member in conversation.members:
            if member.user_id == user_id:
                levels = Levels(member.delivered_seq, member.read_seq, conversation.private_read_seq)
                self.confirm(Key(conversation.conversation_id), levels)

    def refuse(self, request: int | None, error: ErrorBody, now: float) -> None:
        """A frame was refused: again later if that may help, else never."""
        for key, waiting in list(self._waiting.items()):
            if request is not None and request in waiting.requests:
                if error.temporary:
                    waiting.due = now + ((error.retry_after_ms or 0) / 1000 or RETRY_S)
                else:
                    del self._waiting[key]

    def disconnected(self) -> None:
        """What is not confirmed is due again: it may never have arrived."""
        self._write_at = 0.0
        for waiting in self._waiting.values():
            waiting.due, waiting.requests = 0.0, ()

    def next_due(self) -> float:
        """When `take_due` has something; infinite if nothing waits for the clock."""
        due = min((waiting.due for waiting in self._waiting.values()), default=NEVER)
        return due if due == NEVER else max(due, self._write_at)


def frames_of(key: Key, levels: Levels) -> list[dict[str, object]]:
    """The frames that say these levels: one for what others may see, one for what they may not."""
    about: dict[str, object] = {
        "type": "receipt",
        "conversation_id": key.conversation_id,
        "thread_root_id": key.thread_root_id,
    }
    frames: list[dict[str, object]] = []
    if levels.delivered_seq or levels.read_seq:
        frames.append(about | {"delivered_seq": levels.delivered_seq or None, "read_seq": levels.read_seq or None})
    if levels.private_read_seq:
        frames.append(about | {"read_seq": levels.private_read_seq, "private": True})
    return frames
