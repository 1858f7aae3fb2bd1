"""Presence: writing who is here, and telling who wants to know.

A task of its own writes what happened, many users at a time; nobody waits for it. What could not be written is tried again at the next
sweep: whoever wants to be invisible must not depend on a Redis that was away for a moment.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence

import structlog

from backplane.errors import Permanent, Transient
from backplane.presence import Changes, Outcome, Presence, Presences, Status, parse_presence
from gateway.intake import Refused
from gateway.socket.acquaintance import NOWHERE, Acquaintance, presence_state
from gateway.socket.attendance import Attendance
from gateway.socket.interest import Interest, OnChannel
from gateway.socket.listener import Listener
from gateway.socket.wants import MAX_PEOPLE
from schemas.errors import error
from schemas.ids import UserId
from schemas.names import Names
from schemas.server_frames import Ephemeral, PresenceState, encode_frame

CLOSE_SECONDS = 2.0
_SETTLE_SECONDS = 0.05
"""After the grace: by the server's clock it is over then."""

_log = structlog.get_logger(__name__)


class Attendants:
    """Says who is here: writes what the connections of this process say of their users.

    Args:
        grace_seconds: as `presences` has it: when somebody who has gone is looked at again.
    """

    def __init__(self, presences: Presences, *, grace_seconds: float) -> None:
        self._presences, self._grace_seconds = presences, grace_seconds
        self._attendance = Attendance()
        self._listeners: dict[str, Listener] = {}
        self._gone: deque[tuple[float, UserId]] = deque()  # when to look, the earliest first
        self._work = asyncio.Event()
        self._sweep_now = self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start writing."""
        self._task = asyncio.create_task(self._write_forever(), name="presence")

    async def close(self) -> None:
        """Write what waits, and stop."""
        self._closing = True
        self._work.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=CLOSE_SECONDS)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def arrive(self, listener: Listener) -> None:
        """A connection came."""
        self._listeners[listener.connection_id] = listener
        self._attendance.arrive(listener.connection_id, listener.user, listener.instance, time.monotonic())
        self._work.set()

    def choose(self, listener: Listener, status: Status) -> None:
        """A client chose a status."""
        if listener.connection_id in self._listeners:
            self._attendance.choose(listener.connection_id, status)
            self._work.set()

    def depart(self, listener: Listener) -> None:
        """A connection ended."""
        if self._listeners.pop(listener.connection_id, None) is not None:
            self._attendance.depart(listener.connection_id, listener.active_at)
            self._work.set()

    def sweep(self) -> None:
        """Say soon that every connection still lives."""
        self._sweep_now = True
        self._work.set()

    async def _write_forever(self) -> None:
        while not self._closing or self._work.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._gone[0][0] if self._gone else None):
                    await self._work.wait()
            self._work.clear()
            changes = self._attendance.take(time.monotonic(), _now_ms()) + self._over() + self._renewals()
            try:
                await self._apply(changes)
            except (Transient, Permanent) as failure:
                for one in changes:
                    self._attendance.unwritten(one)
                _log.warning("presence is not written", users=len(changes), error=str(failure))
            except Exception:  # noqa: BLE001 - without this task nobody would ever be seen
                _log.exception("writing presence failed")

    def _over(self) -> list[Changes]:
        """Those whose grace is over: looking at them tells whoever wants to know."""
        now = asyncio.get_running_loop().time()
        over: list[Changes] = []
        while self._gone and self._gone[0][0] <= now:
            over.append(Changes(self._gone.popleft()[1]))
        return over

    def _renewals(self) -> list[Changes]:
        """In the writer's turn, not beside it: what is said to live after it was written to have gone would be a ghost."""
        if not self._sweep_now:
            return []
        self._sweep_now = False
        active = {key: listener.active_at for key, listener in self._listeners.items()}
        return self._attendance.renewals(active, time.monotonic(), _now_ms())

    async def _apply(self, changes: Sequence[Changes]) -> None:
        outcomes: list[Outcome] = await self._presences.apply(changes)
        due = asyncio.get_running_loop().time() + self._grace_seconds + _SETTLE_SECONDS
        for one, outcome in zip(changes, outcomes, strict=True):
            self._attendance.written(one, outcome.own)
            if any(change.what == "down" for change in one.changes):
                self._gone.append((due, one.user))


class Onlookers:
    """Tells those who want to know: the presence of other users."""

    def __init__(self, names: Names, presences: Presences, *, subscribe: OnChannel, unsubscribe: OnChannel) -> None:
        self._names, self._presences = names, presences
        self._interest: Interest[Listener] = Interest(subscribe, unsubscribe)
        self._known: dict[str, Acquaintance] = {}
        self._lacking: set[Listener] = set()  # those who missed something

    def __len__(self) -> int:
        """Of how many users somebody here wants to know."""
        return len(self._interest)

    async def subscribe(self, listener: Listener, users: Sequence[UserId]) -> list[PresenceState]:
        """Tell a connection of these users from now on, and how they are now.

        Raises:
            Refused: too many.
            Transient: Redis is away.
        """
        new = set(users) - listener.wants.people
        if not listener.wants.subscribe(users):
            raise Refused(error("bad_request", f"a connection subscribes to at most {MAX_PEOPLE} people"))
        channels = {self._names.presence(user): user for user in dict.fromkeys(users)}
        try:
            # Known from before the subscription on: what is told meanwhile counts.
            for channel, user in channels.items():
                self._known.setdefault(channel, Acquaintance(user))
            await self._join(listener, channels)
            states = await self._read(channels)
        except BaseException:
            self.unsubscribe(listener, new)
            raise
        # A connection that ended while Redis was asked wants nothing any more.
        self.unsubscribe(listener, set(users) - listener.wants.people)
        return [presence_state(user, states[channel]) for channel, user in channels.items()]

    def unsubscribe(self, listener: Listener, users: Iterable[UserId]) -> None:
        """Tell a connection no more of these users."""
        for user in tuple(users):
            channel = self._names.presence(user)
            listener.wants.people.discard(user)
            listener.wants.missed.discard(user)
            self._interest.leave(channel, listener)
            if not self._interest.members(channel):
                self._known.pop(channel, None)

    def ring(self, channel: str, payload: bytes) -> None:
        """Somebody's presence has changed."""
        known = self._known.get(channel)
        if known is not None and (presence := parse_presence(payload)) and known.heard(presence):
            self._tell(self._interest.members(channel), known)

    async def sweep(self) -> None:
        """Look at everybody again: a gateway that died tells nobody, and messages get lost. Raises Transient."""
        await self._read({channel: known.user for channel, known in self._known.items()})
        lacking, self._lacking = self._lacking, set()
        for listener in lacking:
            for user in tuple(listener.wants.missed):
                if known := self._known.get(self._names.presence(user)):
                    self._tell([listener], known)

    def depart(self, listener: Listener) -> None:
        """A connection ended."""
        self._lacking.discard(listener)
        self.unsubscribe(listener, listener.wants.people)

    async def close(self) -> None:
        """Stop; the subscriptions end with their connection."""
        await self._interest.close()

    async def _join(self, listener: Listener, channels: Iterable[str]) -> None:
        """Returns once all of these are heard: asked for together, they are one command."""
        joins = [self._interest.join(channel, listener) for channel in channels]
        for result in await asyncio.gather(*joins, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _read(self, channels: dict[str, UserId]) -> dict[str, Presence]:
        asked = {channel: known.presence for channel in channels if (known := self._known.get(channel))}
        found = await self._presences.read(list(channels.values()))
        states: dict[str, Presence] = {}
        for channel, presence in zip(channels, found, strict=True):
            known = self._known.get(channel)
            if known is None:
                states[channel] = presence
                continue
            if known.read(presence, asked.get(channel)):
                self._tell(self._interest.members(channel), known)
            states[channel] = known.presence or NOWHERE
        return states

    def _tell(self, listeners: Iterable[Listener], known: Acquaintance) -> None:
        frame = encode_frame(Ephemeral("presence", presence_state(known.user, known.presence or NOWHERE)))
        for listener in listeners:
            if listener.offer("presence", frame):
                listener.wants.missed.discard(known.user)
            else:
                listener.wants.missed.add(known.user)
                self._lacking.add(listener)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
