"""Sharded pub/sub: what rings for the users connected to this gateway (design §1, step 4).

One connection per node, for SSUBSCRIBE and SUNSUBSCRIBE alike, and each waits for its own acknowledgement, so that a user who
leaves and comes back at once is heard (hole D7). A doorbell may be lost without harm; a lost connection is reported,
re-made with back-off, and every channel subscribed again.
"""

from collections.abc import Callable

from backplane.redis import Redis


class Doorbells:
    """The subscriptions of one gateway.

    Args:
        redis: the process' Redis.
        on_ring: called in the event loop with (channel, payload) for each message; must not block or raise.
        on_lost: called when messages may have been missed: after every channel is subscribed again.
    """

    def __init__(self, redis: Redis, on_ring: Callable[[str, bytes], None], on_lost: Callable[[], None]) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Connect and start the reader."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop the reader and close."""
        raise NotImplementedError

    async def subscribe(self, channel: str) -> None:
        """Return once Redis has acknowledged: from then on every message of the channel is heard.

        Raises:
            Transient: no acknowledgement within 5 s.
        """
        raise NotImplementedError

    async def unsubscribe(self, channel: str) -> None:
        """Stop hearing a channel; returns once acknowledged or the connection is gone."""
        raise NotImplementedError


async def ring(redis: Redis, channel: str, payload: bytes) -> int:
    """SPUBLISH to one channel, at most once; returns the number of listeners."""
    raise NotImplementedError
