"""Who in REST listens to which channel: waiting calls to this gateway's own, long polls to their user's doorbell.

Sockets have doorbells of their own: a long poll that ends must never silence a socket of the same user.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable

from backplane.doorbells import Doorbells

Hear = Callable[[bytes | None], None]
"""Called with each payload, and with None when something may have been missed; must not block or raise."""


class Listeners:
    """Counts the listeners of each channel, and keeps it subscribed while there is one."""

    def __init__(self) -> None:
        self._doorbells: Doorbells | None = None
        self._hearing: dict[str, list[Hear]] = {}

    def attach(self, doorbells: Doorbells) -> None:
        """Give it the doorbells whose callbacks are its `on_ring` and `on_lost`."""
        self._doorbells = doorbells

    def on_ring(self, channel: str, payload: bytes) -> None:
        """A message of a channel."""
        for hear in tuple(self._hearing.get(channel, ())):
            hear(payload)

    def on_lost(self) -> None:
        """Messages may have been missed on every channel."""
        for hearers in tuple(self._hearing.values()):
            for hear in tuple(hearers):
                hear(None)

    @contextlib.asynccontextmanager
    async def hearing(self, channel: str, hear: Hear) -> AsyncGenerator[None]:
        """Hear everything that is said on a channel from here on.

        Raises:
            Transient: Redis did not acknowledge the subscription.
        """
        assert self._doorbells is not None  # noqa: S101 - the composition root attaches before it serves
        hearers = self._hearing.setdefault(channel, [])
        hearers.append(hear)
        try:
            await self._doorbells.subscribe(channel)
            yield
        finally:
            hearers.remove(hear)
            if not hearers and self._hearing.get(channel) is hearers:
                del self._hearing[channel]
                await self._doorbells.unsubscribe(channel)
