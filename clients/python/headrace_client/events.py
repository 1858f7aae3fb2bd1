"""What `Client.events()` yields.

A durable event moves the position: it is delivered at least once, in order. `Resynced` replaces everything known before.
`Ephemeral` may be lost at any time.
"""

from dataclasses import dataclass

from headrace_client.entities import (
    Blocking,
    Conversation,
    MemberChanged,
    Message,
    Presence,
    Receipt,
    Rejection,
    SessionRevoked,
    State,
    Typing,
    Unknown,
    Voided,
)

Data = Message | Conversation | MemberChanged | Blocking | Receipt | Rejection | Voided | Unknown


@dataclass(frozen=True, slots=True)
class Event:
    """A fact: `name` as in the protocol, e.g. `message.created`; `data` by its name, `Unknown` where the name is new."""

    name: str
    event_id: str
    ts: str
    position: str
    data: Data
    actor_id: str | None = None
    """Of a change: who made it."""


@dataclass(frozen=True, slots=True)
class Resynced:
    """The events since the last position could not be replayed (`reason`): here is the state instead. Replace, do not merge."""

    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """Typing, presence, a session of one's own that ended: true now, soon not. `data` by its name, `Unknown` where the name is new."""

    name: str
    data: Typing | Presence | SessionRevoked | Unknown


AnyEvent = Event | Resynced | Ephemeral
