"""A history turned so that each rule finds its evidence at hand: by message, by conversation, by device."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.histories.records import (
    Accepted,
    ChangeAccepted,
    Changed,
    ChangeRefused,
    Connected,
    Died,
    Disconnected,
    Event,
    Fault,
    Fresh,
    Healed,
    Loaded,
    LoadedRoom,
    Members,
    Quiesced,
    Record,
    Recorded,
    Refused,
    ResyncTold,
    Sent,
    Spans,
    Stored,
    Synced,
    Text,
)


class Key(NamedTuple):
    """What makes a send one message, however often it is repeated."""

    conversation_id: str
    user: str
    client_msg_id: str

    def __str__(self) -> str:
        return f"{self.client_msg_id[:8]} of {self.user} in {self.conversation_id[:8]}"


class Op(NamedTuple):
    """What makes a change one change, however often it is asked for."""

    conversation_id: str
    user: str
    client_op_id: str

    def __str__(self) -> str:
        return f"change {self.client_op_id[:8]} of {self.user} in {self.conversation_id[:8]}"


class Sight(NamedTuple):
    """Somebody saw a message."""

    at: int
    """Index of the record in the history."""
    t: float
    device: str
    message: Text
    how: str


def key_of(message: Text) -> Key:
    """The key of a message that has a sender."""
    return Key(message.conversation_id, message.sender_id or "", message.client_msg_id)


@dataclass
class Index:
    """The evidence. Indices are places in the history: smaller is earlier."""

    records: Sequence[Record]
    sends: dict[Key, list[tuple[int, Sent]]] = field(default_factory=lambda: defaultdict(list))
    accepted: dict[Key, list[tuple[int, Accepted]]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[Key, list[tuple[int, Refused]]] = field(default_factory=lambda: defaultdict(list))
    rejected: dict[Key, list[tuple[int, Event]]] = field(default_factory=lambda: defaultdict(list))
    sights: dict[str, list[Sight]] = field(default_factory=lambda: defaultdict(list))
    """By device, in the order in which it saw them."""
    wire: dict[str, list[tuple[int, Connected | Disconnected | ResyncTold | Synced | Event]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By device: what decides whether its positions are dense."""
    users: dict[str, str] = field(default_factory=dict)
    """Device → user, of every device that was ever connected."""
    died: set[str] = field(default_factory=set)
    members: dict[str, list[str]] = field(default_factory=dict)
    stored: dict[str, list[Text]] = field(default_factory=lambda: defaultdict(list))
    """By conversation, by seq."""
    changes: dict[Op, list[tuple[int, Changed]]] = field(default_factory=lambda: defaultdict(list))
    changes_accepted: dict[Op, list[tuple[int, ChangeAccepted]]] = field(default_factory=lambda: defaultdict(list))
    changes_refused: dict[Op, list[tuple[int, ChangeRefused]]] = field(default_factory=lambda: defaultdict(list))
    changes_rejected: dict[Op, list[tuple[int, Event]]] = field(default_factory=lambda: defaultdict(list))
    changes_told: dict[Op, list[tuple[int, Event]]] = field(default_factory=lambda: defaultdict(list))
    targets: set[str] = field(default_factory=set)
    """What somebody wanted to change."""
    recorded: set[Op] = field(default_factory=set)
    """Made."""
    recorded_refusals: set[Op] = field(default_factory=set)
    learned: dict[str, list[Event | Loaded | LoadedRoom]] = field(default_factory=lambda: defaultdict(list))
    """By device: all that its view is made of, in order."""
    spans: dict[tuple[str, str], list[tuple[int, int | None]]] = field(default_factory=dict)
    """By conversation and user."""
    fresh: dict[str, list[Fresh]] = field(default_factory=lambda: defaultdict(list))
    """By user."""
    losses: list[int] = field(default_factory=list)
    """Where a fault was allowed to lose what was only accepted."""
    healed: Healed | None = None
    quiesced: Quiesced | None = None

    def stored_by_key(self) -> dict[Key, list[Text]]:
        """The messages in the database, voids left out."""
        found: dict[Key, list[Text]] = defaultdict(list)
        for messages in self.stored.values():
            for message in messages:
                if message.sender_id is not None:
                    found[key_of(message)].append(message)
        return found

    def devices_of(self, conversation_id: str) -> list[str]:
        """The devices that have to see this conversation whole: those of its members, unless they died."""
        members = self.members.get(conversation_id, [])
        return [device for device, user in self.users.items() if user in members and device not in self.died]


def index(records: Sequence[Record]) -> Index:
    """Sort a history's records by what the rules ask."""
    evidence = Index(records)
    for at, record in enumerate(records):
        _file(evidence, at, record)
    for messages in evidence.stored.values():
        messages.sort(key=lambda message: message.seq)
    return evidence


def _file(evidence: Index, at: int, record: Record) -> None:  # noqa: C901, PLR0912 (flat: one case a kind)
    match record:
        case Sent():
            evidence.sends[_key(record)].append((at, record))
        case Accepted():
            evidence.accepted[_key(record)].append((at, record))
        case Refused():
            evidence.refused[_key(record)].append((at, record))
        case Changed():
            evidence.changes[_op(record)].append((at, record))
            evidence.targets.add(record.target)
        case ChangeAccepted():
            evidence.changes_accepted[_op(record)].append((at, record))
        case ChangeRefused():
            evidence.changes_refused[_op(record)].append((at, record))
        case Event():
            _file_event(evidence, at, record)
        case LoadedRoom():
            evidence.learned[record.device].append(record)
        case Loaded():
            evidence.learned[record.device].append(record)
            evidence.sights[record.device].append(Sight(at, record.t, record.device, record.message, "REST"))
        case Connected():
            evidence.users[record.device] = record.user
            evidence.wire[record.device].append((at, record))
        case Disconnected() | ResyncTold() | Synced():
            evidence.wire[record.device].append((at, record))
        case Died():
            evidence.died.add(record.device)
        case Fault(loses_accepted=True):
            evidence.losses.append(at)
        case Healed():
            evidence.healed = record
        case Members():
            evidence.members[record.conversation_id] = record.users
        case Stored():
            evidence.stored[record.message.conversation_id].append(record.message)
        case Recorded():
            (evidence.recorded_refusals if record.code else evidence.recorded).add(_op(record))
        case Spans():
            evidence.spans[record.conversation_id, record.user] = record.spans
        case Fresh():
            evidence.fresh[record.user].append(record)
        case Quiesced():
            evidence.quiesced = record
        case Fault():
            pass


def _file_event(evidence: Index, at: int, event: Event) -> None:
    evidence.wire[event.device].append((at, event))
    evidence.learned[event.device].append(event)
    if event.message is not None:
        how = f"event at {event.position}" + (" (duplicate)" if event.duplicate else "")
        evidence.sights[event.device].append(Sight(at, event.t, event.device, event.message, how))
    if event.event == "message.rejected":
        evidence.rejected[Key(event.conversation_id, event.user, event.client_msg_id)].append((at, event))
    if event.client_op_id:
        rejected = event.event == "operation.rejected"
        op = Op(event.conversation_id, event.user if rejected else event.actor, event.client_op_id)
        (evidence.changes_rejected if rejected else evidence.changes_told)[op].append((at, event))


def _op(record: Changed | ChangeAccepted | ChangeRefused | Recorded) -> Op:
    return Op(record.conversation_id, record.user, record.client_op_id)


def _key(record: Sent | Accepted | Refused) -> Key:
    return Key(record.conversation_id, record.user, record.client_msg_id)
