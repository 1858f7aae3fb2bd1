"""What is written down while a system runs under faults: one record for each thing that a device did, saw or was told.

A history is a list of records in the order in which they happened, as one observer saw them. `t` is in seconds since the
run began. As JSON lines it can be kept, read by a person, and checked again.
"""

from collections.abc import Iterable

import msgspec


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A message as somebody saw it, or as it is stored. A void number has no sender and no text, a deleted one no text."""

    message_id: str
    conversation_id: str
    seq: int
    rev: int
    sender_id: str | None
    client_msg_id: str
    text: str | None
    deleted: bool = False
    pinned: bool = False
    reactions: dict[str, list[str]] = {}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a conversation, as somebody saw it."""

    user: str
    role: str
    rev: int
    delivered_seq: int = 0
    read_seq: int = 0


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """How far somebody has received and read, as somebody was told."""

    user: str
    delivered_seq: int
    read_seq: int


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag="send"):
    """A device put a send on the wire: the first try or a repeat of the same `client_msg_id`."""

    t: float
    device: str
    user: str
    conversation_id: str
    client_msg_id: str
    text: str
    attempt: int = 1


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """The gateway said that the intent is taken."""

    t: float
    device: str
    user: str
    conversation_id: str
    client_msg_id: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The gateway did not take it. Permanent refusals are final; temporary ones say nothing about earlier tries."""

    t: float
    device: str
    user: str
    conversation_id: str
    client_msg_id: str
    code: str
    temporary: bool


class Changed(msgspec.Struct, frozen=True, kw_only=True, tag="change"):
    """A device asked for a change: the first try or a repeat of the same `client_op_id`."""

    t: float
    device: str
    user: str
    conversation_id: str
    client_op_id: str
    kind: str
    """As its frame or its intent is called."""
    target: str
    """A message, or a person."""
    value: str = ""
    """The text, emoji or role."""
    attempt: int = 1


class ChangeAccepted(msgspec.Struct, frozen=True, kw_only=True, tag="change_accepted"):
    """The gateway said that the change is taken."""

    t: float
    device: str
    user: str
    conversation_id: str
    client_op_id: str


class ChangeRefused(msgspec.Struct, frozen=True, kw_only=True, tag="change_refused"):
    """The gateway said no. Permanent refusals are final; temporary ones say nothing about earlier tries."""

    t: float
    device: str
    user: str
    conversation_id: str
    client_op_id: str
    code: str
    temporary: bool


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """A durable event reached a device, with its position in the user's log."""

    t: float
    device: str
    user: str
    position: str
    event: str
    event_id: str
    via: str = "live"
    """`live` as it came on the socket, `sync` in a page that the device asked for."""
    message: Text | None = None
    """Of `message.created`."""
    duplicate: bool = False
    conversation_id: str = ""
    client_msg_id: str = ""
    code: str = ""
    """Of `message.rejected` and `operation.rejected`: which send or change, and why."""
    client_op_id: str = ""
    actor: str = ""
    """Of a change: which, and whose."""
    now: Text | None = None
    """Of a change of a message: the message as it is now."""
    rev: int = 0
    """Of a change of members: its number."""
    members: list[Member] = []
    """Of a change of members: those concerned. Of `conversation.created`: everybody."""
    levels: Levels | None = None
    """Of `receipt.updated` of a conversation."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag="loaded"):
    """A device read a message over REST, as part of a resync."""

    t: float
    device: str
    user: str
    message: Text


class LoadedRoom(msgspec.Struct, frozen=True, kw_only=True, tag="room"):
    """A device read over REST who is in a conversation, as of `rev` or later."""

    t: float
    device: str
    user: str
    conversation_id: str
    rev: int
    members: list[Member]


class Connected(msgspec.Struct, frozen=True, kw_only=True, tag="resume"):
    """A socket was opened: from where the device asked to resume, and what it was promised."""

    t: float
    device: str
    user: str
    resumed_from: str | None
    position: str
    recovered: bool
    resync: str | None


class Disconnected(msgspec.Struct, frozen=True, kw_only=True, tag="disconnected"):
    """A socket ended, by whomever."""

    t: float
    device: str
    code: int = 1006


class ResyncTold(msgspec.Struct, frozen=True, kw_only=True, tag="resync_required"):
    """A live device was told that there is a gap, and from where it goes on."""

    t: float
    device: str
    reason: str
    position: str


class Synced(msgspec.Struct, frozen=True, kw_only=True, tag="sync"):
    """A resync is complete: the device holds the state as of `position`."""

    t: float
    device: str
    position: str


class Died(msgspec.Struct, frozen=True, kw_only=True, tag="crash"):
    """A device went away for good, with its outbox: it repeats nothing, and nothing more is owed to it."""

    t: float
    device: str


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """The tester broke something. With `loses_accepted`, what was only accepted by then may be gone (design §4, “Not promised”)."""

    t: float
    what: str
    loses_accepted: bool = False


class Healed(msgspec.Struct, frozen=True, kw_only=True, tag="healed"):
    """The last fault is over: from here the system has to come to rest."""

    t: float


class Members(msgspec.Struct, frozen=True, kw_only=True, tag="members"):
    """Who is in a conversation, from its beginning to the end of the history; others may come and go."""

    conversation_id: str
    users: list[str]


class Stored(msgspec.Struct, frozen=True, kw_only=True, tag="stored"):
    """A message as the database holds it after the end."""

    message: Text


class Recorded(msgspec.Struct, frozen=True, kw_only=True, tag="recorded"):
    """A change that the database holds as made, or, with a code, as refused, after the end."""

    conversation_id: str
    user: str
    client_op_id: str
    code: str = ""


class Spans(msgspec.Struct, frozen=True, kw_only=True, tag="spans"):
    """From which to before which number of a conversation's changes somebody was in it, as stored after the end."""

    conversation_id: str
    user: str
    spans: list[tuple[int, int | None]]


class Fresh(msgspec.Struct, frozen=True, kw_only=True, tag="fresh"):
    """What the server shows a person of a conversation after the end."""

    user: str
    conversation_id: str
    rev: int
    members: list[Member]
    messages: list[Text]


class Quiesced(msgspec.Struct, frozen=True, kw_only=True, tag="quiesced"):
    """The end: what was still on its way when nothing moved any more. `Stored` records follow it."""

    t: float
    unsettled: dict[str, int] = {}
    """Entries not acknowledged, by stage and partition; -1 when it can not be told."""
    dead: int = 0
    outboxes: dict[str, list[str]] = {}
    """What devices still wait for: device → client_msg_ids and client_op_ids."""


Record = (
    Sent
    | Accepted
    | Refused
    | Changed
    | ChangeAccepted
    | ChangeRefused
    | Event
    | Loaded
    | LoadedRoom
    | Connected
    | Disconnected
    | ResyncTold
    | Synced
    | Died
    | Fault
    | Healed
    | Members
    | Stored
    | Recorded
    | Spans
    | Fresh
    | Quiesced
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def to_lines(records: Iterable[Record]) -> bytes:
    """A history as JSON lines."""
    return _encoder.encode_lines(list(records))


def from_lines(raw: bytes) -> list[Record]:
    """Read what `to_lines` wrote."""
    return _decoder.decode_lines(raw)
