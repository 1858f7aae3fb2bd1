"""Who is connected here, and which doorbells are subscribed for them: one per user, counted.

Joining and leaving of one user go one after the other, so that a user whose last connection leaves while another comes is
heard (hole D7): whoever comes second sees what the first one did.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from backplane.errors import Transient
from schemas.ids import UserId
from schemas.names import Names

C = TypeVar("C")

OnChannel = Callable[[str], Awaitable[None]]


class Seat(Generic[C]):
    """One user's connections here."""

    def __init__(self, user: UserId) -> None:
        self.user = user
        self.connections: list[C] = []
        self.unswept_since: float | None = None
        """Since when the sweep got no answer for this user; None while it does."""
        self.subscribed = False
        self.turn = asyncio.Lock()


class Roster(Generic[C]):
    """The seats of this process, by doorbell channel.

    Args:
        subscribe: returns once the channel is heard; raises Transient, and then undoes itself what it may have done.
        unsubscribe: returns once it is not.
    """

    def __init__(self, names: Names, subscribe: OnChannel, unsubscribe: OnChannel) -> None:
        self._names, self._subscribe, self._unsubscribe = names, subscribe, unsubscribe
        self._seats: dict[str, Seat[C]] = {}

    def __len__(self) -> int:
        return sum(len(seat.connections) for seat in self._seats.values())

    def __iter__(self) -> Iterator[C]:
        for seat in tuple(self._seats.values()):
            yield from tuple(seat.connections)

    def seat(self, channel: str) -> Seat[C] | None:
        """Whose doorbell a channel is, if anybody of them is here."""
        return self._seats.get(channel)

    def count(self, user: UserId) -> int:
        """How many connections of a user are here."""
        seat = self._seats.get(self._names.log(user))
        return len(seat.connections) if seat else 0

    def shards(self) -> list[list[Seat[C]]]:
        """All seats, those of one shard together: one that is away concerns nobody else."""
        groups: dict[int, list[Seat[C]]] = {}
        for seat in self._seats.values():
            groups.setdefault(self._names.shard_of(seat.user), []).append(seat)
        return list(groups.values())

    async def join(self, user: UserId, connection: C) -> Seat[C]:
        """Seat a connection; returns once its user's doorbell is heard. From the call on, the connection is told what rings.

        Raises:
            Transient: the doorbell could not be subscribed; the connection has no seat.
        """
        channel = self._names.log(user)
        seat = self._seats.setdefault(channel, Seat(user))
        seat.connections.append(connection)
        try:
            async with seat.turn:
                if not seat.subscribed:
                    await self._subscribe(channel)
                    seat.subscribed = True
        except BaseException:
            await self.leave(user, connection)
            raise
        return seat

    async def leave(self, user: UserId, connection: C) -> None:
        """Give a connection's seat up; the last one takes the doorbell's subscription along."""
        channel = self._names.log(user)
        seat = self._seats[channel]
        seat.connections.remove(connection)
        async with seat.turn:
            if seat.connections or self._seats.get(channel) is not seat:
                return
            if seat.subscribed:
                with contextlib.suppress(Transient):  # a doorbell that rings for nobody does no harm
                    await self._unsubscribe(channel)
                seat.subscribed = False
            if not seat.connections:
                del self._seats[channel]
