"""What the connections here say of their users, until it is written. Pure: the time is told.

What waits is bounded by the connections: of each, at most that it came, what it chose last, and that it has gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backplane.presence import Change, Changes, Status
from schemas.ids import UserId

ACTIVE_SECONDS = 60.0
"""When a user was last active is written at most this often."""


@dataclass(slots=True)
class _Seat:
    user: UserId
    instance: str | None
    status: Status
    written_at: float
    """The newest activity that was written."""


class Attendance:
    """The connections of this gateway, and what of them has not been written yet. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._seats: dict[str, _Seat] = {}
        self._waiting: dict[UserId, dict[tuple[str, str], Change]] = {}
        self._active: dict[UserId, float] = {}

    def arrive(self, connection_id: str, user: UserId, instance: str | None, now: float) -> None:
        """A connection came."""
        self._seats[connection_id] = _Seat(user, instance, "online", now)
        self._active[user] = now
        self._put(user, Change.up(connection_id, instance))

    def choose(self, connection_id: str, status: Status) -> None:
        """It chose a status."""
        seat = self._seats[connection_id]
        seat.status = status
        self._put(seat.user, Change("set", connection_id, status))

    def depart(self, connection_id: str, active_at: float) -> None:
        """It has ended."""
        seat = self._seats.pop(connection_id)
        if active_at > seat.written_at:
            self._active[seat.user] = active_at
        self._put(seat.user, Change("down", connection_id))

    def take(self, now: float, now_ms: int) -> list[Changes]:
        """What is to be written now, user by user."""
        waiting, self._waiting = self._waiting, {}
        active, self._active = self._active, {}
        return [
            Changes(user, tuple(changes.values()), _wall(active.get(user), now, now_ms))
            for user, changes in waiting.items()
        ]

    def unwritten(self, changes: Changes) -> None:
        """It could not be written: it waits again, before what has come since. What is said again at each sweep does not."""
        again = {(one.what, one.connection_id): one for one in changes.changes if one.what != "keep"}
        since = self._waiting.pop(changes.user, {})
        if whole := {key: one for key, one in again.items() if key not in since} | since:
            self._waiting[changes.user] = whole

    def written(self, changes: Changes, own: Sequence[Status | None]) -> None:
        """What came of it: a connection may go on with what another one had said."""
        for change, status in zip(changes.changes, own, strict=True):
            seat = self._seats.get(change.connection_id)
            chosen = ("set", change.connection_id) in self._waiting.get(changes.user, {})
            if seat is not None and status is not None and not chosen:
                seat.status = status

    def renewals(self, active: Mapping[str, float], now: float, now_ms: int) -> list[Changes]:
        """That every connection still lives; `active`: when each was last active."""
        kept: dict[UserId, list[Change]] = {}
        last: dict[UserId, float] = {}
        for connection_id, seat in self._seats.items():
            kept.setdefault(seat.user, []).append(Change.keep(connection_id, seat.status, seat.instance))
            active_at = active[connection_id]
            if active_at > seat.written_at and now - seat.written_at >= ACTIVE_SECONDS:
                seat.written_at = active_at
                last[seat.user] = max(last.get(seat.user, active_at), active_at)
        return [Changes(user, tuple(changes), _wall(last.get(user), now, now_ms)) for user, changes in kept.items()]

    def _put(self, user: UserId, change: Change) -> None:
        changes = self._waiting.setdefault(user, {})
        changes.pop((change.what, change.connection_id), None)  # the newest one of a kind, and behind what came before
        changes[change.what, change.connection_id] = change


def _wall(at: float | None, now: float, now_ms: int) -> int | None:
    """A moment of the monotonic clock, in milliseconds since 1970."""
    return None if at is None else now_ms - max(0, round((now - at) * 1000))
