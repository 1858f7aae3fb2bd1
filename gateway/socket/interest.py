"""Who here wants to hear which channel of ephemera: it is subscribed while somebody does.

Subscribing and unsubscribing of one channel go one after the other, as in the roster (hole D7). Leaving never waits: a connection that
ends has no time for a Redis that does not answer.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar

from backplane.errors import Transient

C = TypeVar("C")

OnChannel = Callable[[str], Awaitable[None]]


class _Circle(Generic[C]):
    def __init__(self) -> None:
        self.members: dict[C, None] = {}  # in the order in which they came
        self.subscribed = False
        self.turn = asyncio.Lock()


class Interest(Generic[C]):
    """The listeners of each channel.

    Args:
        subscribe: returns once the channel is heard; raises Transient, and then undoes itself what it may have done.
        unsubscribe: returns once it is not.
    """

    def __init__(self, subscribe: OnChannel, unsubscribe: OnChannel) -> None:
        self._subscribe, self._unsubscribe = subscribe, unsubscribe
        self._circles: dict[str, _Circle[C]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._circles)

    def __contains__(self, channel: str) -> bool:
        return channel in self._circles

    def members(self, channel: str) -> Collection[C]:
        """Who hears a channel."""
        circle = self._circles.get(channel)
        return tuple(circle.members) if circle else ()

    async def join(self, channel: str, member: C) -> None:
        """Returns once the channel is heard; from the call on, the member is told. Somebody may have left again meanwhile.

        Raises:
            Transient: it could not be subscribed; the member does not hear it.
        """
        circle = self._circles.setdefault(channel, _Circle())
        circle.members[member] = None
        try:
            async with circle.turn:
                if not circle.subscribed:
                    await self._subscribe(channel)
                    circle.subscribed = True
        except BaseException:
            self.leave(channel, member)
            raise

    def leave(self, channel: str, member: C) -> None:
        """Tell a member no more, from now on; the last one takes the subscription along."""
        circle = self._circles.get(channel)
        if circle is None or member not in circle.members:
            return
        del circle.members[member]
        if not circle.members:
            task = asyncio.create_task(self._release(channel, circle))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Wait for no subscription any more."""
        for task in tuple(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _release(self, channel: str, circle: _Circle[C]) -> None:
        async with circle.turn:
            if circle.members or self._circles.get(channel) is not circle:
                return
            if circle.subscribed:
                with contextlib.suppress(Transient):  # what is heard by nobody does no harm
                    await self._unsubscribe(channel)
                circle.subscribed = False
            if not circle.members:
                del self._circles[channel]
