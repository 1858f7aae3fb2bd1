"""Which sockets this gateway takes: not too many in a second, of one address, of one person.

What is refused first costs least: the wave of a whole fleet that reconnects meets a counter, before any token is looked at.
"""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Generator

from backplane.settings import Settings
from gateway.addresses import network_of
from gateway.buckets import Bucket
from gateway.limiter import Limiter
from gateway.socket.handshake import Refused
from schemas.errors import CLOSES
from schemas.ids import UserId
from schemas.limits import PolicyName
from schemas.server_frames import Rate

RECONNECT_MS = (1000, 5000)
"""How long who came in a wave waits, at least and at most."""
_ANNOUNCED: tuple[PolicyName, ...] = ("send", "conversation", "change", "typing", "frames", "connect")


class Admission:
    """The door of one gateway's sockets."""

    def __init__(self, settings: Settings, limiter: Limiter) -> None:
        self._limiter = limiter
        self._a_person, self._an_address = settings.connections_per_user, settings.connections_per_address
        self._accepts = Bucket(2 * settings.accepts_per_second, 2)
        self._by_network: Counter[str] = Counter()
        found = ((name, limiter.policy(name)) for name in _ANNOUNCED)
        self.rates = {name: Rate(policy.burst, policy.seconds) for name, policy in found if policy is not None}
        """The rate limits that a client is told."""

    @contextlib.contextmanager
    def counted(self, address: str) -> Generator[None]:
        """Count a socket of an address for as long as it is there."""
        network = network_of(address)
        self._by_network[network] += 1
        try:
            yield
        finally:
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]

    def check_address(self, address: str) -> None:
        """Judge a socket that is counted already, of whom nothing else is known.

        Raises:
            Refused: `overloaded`, `connection_limit`.
        """
        if self._accepts.take(time.monotonic()):
            raise Refused(CLOSES["overloaded"], retry_after_ms=random.randrange(*RECONNECT_MS))
        if self._by_network[network_of(address)] > self._an_address:
            raise Refused(CLOSES["connection_limit"], f"more than {self._an_address} sockets of one address")

    async def punish(self, user_id: UserId) -> None:
        """Somebody has flooded a connection: let them come again less often."""
        await self._limiter.punish(user_id)

    async def check_person(self, user_id: UserId, address: str, *, connections: int) -> None:
        """Judge a socket whose token is valid; `connections`: how many its user has here already.

        Raises:
            Refused: `rate_limited`, `connection_limit`.
        """
        for spent in (
            await self._limiter.address("connect_address", address),
            await self._limiter.person("connect", user_id),
        ):
            if spent and spent.wait_ms:
                raise Refused(CLOSES["rate_limited"], "too many connections in a short time", spent.wait_ms)
        if connections >= self._a_person:
            raise Refused(CLOSES["connection_limit"], f"more than {self._a_person} sockets of one person")
