"""What the core asks of the shell."""

from dataclasses import dataclass
from enum import Enum

from headrace_client.entities import Message
from headrace_client.errors import HeadraceError, Rejected


class Link(Enum):
    """Whether there is a connection."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class Write:
    """Write this frame to the socket."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Hang:
    """Close the socket and report `lost`."""

    why: str


@dataclass(frozen=True, slots=True)
class Load:
    """GET /api/sync; answer with `loaded` or `load_failed` and this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """Get a new token; answer with `refreshed`."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """We are connected as this user."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server has this message; it is not stored yet."""

    client_msg_id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a message's way: it is stored, or refused for good. `forget`: no event will remove its outbox row."""

    client_msg_id: str
    result: Message | Rejected
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """A message of an earlier run is on its way again."""

    client_msg_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """There is no point in going on."""

    failure: HeadraceError


Effect = Write | Hang | Load | Refresh | Adopt | Accepted | Settled | Restored | Stop
