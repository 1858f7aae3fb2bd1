"""What ephemera need of a connection, and of whoever knows who may do what."""

from collections.abc import Sequence
from typing import Literal, Protocol

from backplane.grants import Pair
from gateway.socket.wants import Wants
from schemas.ids import UserId

Kind = Literal["typing", "presence", "session"]


class Listener(Protocol):
    """A connection, as ephemera see it."""

    @property
    def connection_id(self) -> str:
        """Its name, unlike that of any other connection."""
        ...

    @property
    def user(self) -> UserId:
        """Whose it is."""
        ...

    @property
    def instance(self) -> str | None:
        """The running copy of a client that it belongs to, if that says so."""
        ...

    @property
    def active_at(self) -> float:
        """When its client last said anything, on the monotonic clock."""
        ...

    @property
    def wants(self) -> Wants:
        """What it wants to hear; empty once it has ended."""
        ...

    def offer(self, kind: Kind, frame: bytes) -> bool:
        """Send a frame if there is room; else it is dropped. Returns which."""
        ...


class Grants(Protocol):
    """Who is a member of what. Not told here: this side of the gateway knows no store (hole C19)."""

    async def may(self, pair: Pair) -> bool:
        """Whether this person may watch and type in this conversation; raises Transient."""
        ...

    async def refused(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Those of many who may not; raises Transient."""
        ...
