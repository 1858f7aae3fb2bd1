"""What this user looks at, whose presence they want to see, and how they show themselves. No I/O.

All of it belongs to one connection on the server, so it is kept here as what is wanted, and said anew on every connection: what was
said on this one and what is wanted differ by the frames that are due.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from headrace_client.entities import ErrorBody

Status = Literal["online", "away", "busy", "invisible"]

MAX_WATCHED: Final = 20
MAX_PEOPLE: Final = 500
IN_A_FRAME: Final = 200
TYPING_S: Final = 3.2
"""Between two times at which it is said that we type in a conversation, stopped meanwhile or not: the server passes one in 3 s."""
TYPED_IN: Final = 64
RETRY_S: Final = 1.0
NEVER: Final = float("inf")

Frame = dict[str, str | tuple[str, ...] | None]


class Interest:
    """The ephemeral wants of one user."""

    def __init__(self) -> None:
        self.watched: dict[str, None] = {}
        self.people: dict[str, None] = {}
        self.status: Status | None = None
        self._typing: dict[str, tuple[float, bool]] = {}
        """By conversation: when we said so last, and whether it goes on; the oldest first."""
        self._away: set[str] = set()
        self._requests: dict[int, Frame] = {}
        self._again_at = 0.0
        self._forget()

    def watch(self, conversation_id: str) -> None:
        """Look at a conversation; raises `ValueError` beyond 20."""
        if conversation_id not in self.watched and len(self.watched) >= MAX_WATCHED:
            raise ValueError(f"{MAX_WATCHED} conversations are watched already; unwatch one")
        self.watched[conversation_id] = None

    def unwatch(self, conversation_id: str) -> None:
        """Look away."""
        self.watched.pop(conversation_id, None)
        self._away.discard(conversation_id)

    def subscribe(self, user_ids: Iterable[str]) -> None:
        """Want to see these people's presence; raises `ValueError` beyond 500 in all."""
        people = self.people | dict.fromkeys(user_ids)
        if len(people) > MAX_PEOPLE:
            raise ValueError(f"presence is shown of at most {MAX_PEOPLE} people; unsubscribe some")
        self.people = people

    def unsubscribe(self, user_ids: Iterable[str]) -> None:
        """See these people's presence no more."""
        for user_id in user_ids:
            self.people.pop(user_id, None)

    def type(self, conversation_id: str, thread_root_id: str | None, *, stop: bool, now: float) -> Frame | None:
        """The frame to write now; None where it would say nothing new. What is not said at once is not worth saying later."""
        at, goes_on = self._typing.get(conversation_id, (-NEVER, False))
        if stop:
            if not goes_on:
                return None
            self._typing[conversation_id] = at, False
        else:
            if now - at < TYPING_S:
                return None
            self._typing.pop(conversation_id, None)
            if len(self._typing) >= TYPED_IN:
                del self._typing[next(iter(self._typing))]
            self._typing[conversation_id] = now, True
        state = "stop" if stop else "start"
        return {"type": "typing", "conversation_id": conversation_id, "state": state, "thread_root_id": thread_root_id}

    def left(self, conversation_id: str) -> None:
        """We are put out of a conversation: the server has ended the watching, and would refuse another."""
        self._said_rooms.discard(conversation_id)
        self._away.add(conversation_id)

    def came(self, conversation_id: str) -> None:
        """We are in a conversation, perhaps again."""
        self._away.discard(conversation_id)

    def take_due(self, now: float) -> Iterator[Frame]:
        """What to say now; the caller says under which number with `written`."""
        if now < self._again_at:
            return
        self._again_at = 0.0
        for room in [one for one in self._said_rooms if one not in self.watched]:
            self._said_rooms.discard(room)
            yield {"type": "unwatch", "conversation_id": room}
        for room in [one for one in self.watched if one not in self._said_rooms | self._away]:
            self._said_rooms.add(room)
            yield {"type": "watch", "conversation_id": room}
        yield from self._people_due()
        if self.status is not None and self.status != self._said_status:
            self._said_status = self.status
            yield {"type": "presence.set", "status": self.status}

    def _people_due(self) -> Iterator[Frame]:
        gone = [one for one in self._said_people if one not in self.people]
        new = [one for one in self.people if one not in self._said_people]
        for kind, users in (("presence.unsubscribe", gone), ("presence.subscribe", new)):
            for start in range(0, len(users), IN_A_FRAME):
                yield {"type": kind, "user_ids": tuple(users[start : start + IN_A_FRAME])}
        self._said_people = set(self.people)

    def written(self, request: int, frame: Frame) -> None:
        """A frame of `take_due` went out under this number."""
        self._requests[request] = frame

    def answered(self, request: int | None) -> bool:
        """Whether that was a request for presence: its answer has the states."""
        frame = self._requests.pop(request, None) if request is not None else None
        return frame is not None and frame["type"] == "presence.subscribe"

    def refused(self, request: int | None, error: ErrorBody, now: float) -> None:
        """A frame was refused: said again later if that may help; else it is wanted no more."""
        frame = self._requests.pop(request, None) if request is not None else None
        if frame is None:
            return
        if error.temporary:
            self._again_at = now + ((error.retry_after_ms or 0) / 1000 or RETRY_S)
        match frame:
            case {"type": "watch", "conversation_id": str(room)}:
                self._said_rooms.discard(room)
                if not error.temporary:
                    self.unwatch(room)
            case {"type": "unwatch", "conversation_id": str(room)} if error.temporary:
                self._said_rooms.add(room)
            case {"type": "presence.unsubscribe", "user_ids": tuple(users)} if error.temporary:
                self._said_people |= set(users)
            case {"type": "presence.subscribe", "user_ids": tuple(users)}:
                self._said_people -= set(users)
                if not error.temporary:
                    self.unsubscribe(users)
            case {"type": "presence.set"}:
                self._said_status = None
                self.status = self.status if error.temporary else None
            case _:
                pass

    def disconnected(self) -> None:
        """The server forgets with the connection what was said on it."""
        self._again_at = 0.0
        self._typing.clear()
        self._requests.clear()
        self._forget()

    def next_due(self) -> float:
        """When `take_due` has something that waits for the clock; infinite if nothing does."""
        return self._again_at or NEVER

    def _forget(self) -> None:
        self._said_rooms: set[str] = set()
        self._said_people: set[str] = set()
        self._said_status: Status | None = None
