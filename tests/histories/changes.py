"""The promises about changes as rules over a history: edits, deletions, reactions, pins, members, receipts.

As in `rules`, a rule never guesses: what is told as it is now after a crash may skip states, a repeat is marked `duplicate`, and who was
not in a conversation is owed nothing of that time.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from schemas.ids import Position
from tests.histories.index import Index, Op
from tests.histories.records import ChangeAccepted, Event, Fresh, Loaded, LoadedRoom, Member, Text
from tests.histories.rules import LOSS_WINDOW_SECONDS, Anomaly, Rule

MEMBER_EVENTS = ("member.joined", "member.left", "member.role_changed")


def lost_change(history: Index) -> Iterator[Anomaly]:
    """What was accepted is made, or rejected to whoever asked; where a log was lost with the rejection, it is recorded."""
    refused = history.recorded_refusals | history.changes_rejected.keys()
    for op, accepts in history.changes_accepted.items():
        _, accept = accepts[0]
        final = any(not refused.temporary for _, refused in history.changes_refused.get(op, []))
        if op in history.recorded or op in refused or final or _excused(history, accept):
            continue
        yield Anomaly(
            "lost change",
            f"{_about(history, op)} was accepted at {accept.t:.3f} s by {accept.device}; it is neither made nor rejected",
        )
    for op, told in history.changes_told.items():
        if op not in history.recorded and not all(event.duplicate for _, event in told):
            yield Anomaly("lost change", f"{_about(history, op)} was told to {told[0][1].device}; it is not recorded")


def _excused(history: Index, accept: ChangeAccepted) -> bool:
    losses = [history.records[at].t for at in history.losses]  # type: ignore[union-attr]
    return accept.device in history.died and any(t >= accept.t - LOSS_WINDOW_SECONDS for t in losses)


def ghost_change(history: Index) -> Iterator[Anomaly]:
    """What was finally rejected is not made, and nobody is told of it; unless a repeat was decided anew, of a device that had not heard."""
    heard: dict[Op, dict[str, tuple[int, str]]] = {}
    for op, events in history.changes_rejected.items():
        for at, event in events:
            heard.setdefault(op, {}).setdefault(event.device, (at, event.code))
    for op, refusals in history.changes_refused.items():
        for at, refused in refusals:
            if not refused.temporary:
                by_device = heard.setdefault(op, {})
                by_device[refused.device] = min(by_device.get(refused.device, (at, refused.code)), (at, refused.code))
    for op, by_device in heard.items():
        _, code = min(by_device.values())
        repeated = any(
            change.attempt > 1 and (change.device not in by_device or tried < by_device[change.device][0])
            for tried, change in history.changes.get(op, [])
        )
        if repeated or code == "idempotency_conflict":
            continue
        if op in history.recorded:
            yield Anomaly("ghost change", f"{_about(history, op)} was rejected ({code}), and is recorded as made")
        if told := history.changes_told.get(op):
            yield Anomaly(
                "ghost change", f"{_about(history, op)} was rejected ({code}), and told to {told[0][1].device}"
            )


def numbers(history: Index) -> Iterator[Anomaly]:
    """A `rev` is one change of one thing, and everybody who sees that number sees the same."""
    things: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    states: dict[tuple[str, int], dict[bytes, str]] = defaultdict(dict)
    for text, where in _states(history):
        place = text.conversation_id, text.rev
        things[place].setdefault(f"message {text.message_id[:8]}", where)
        states[place].setdefault(_content(text), f"{_content(text).decode()} ({where})")
    for device, event in _events(history):
        if event.event in MEMBER_EVENTS and not event.duplicate:
            for member in event.members:
                things[event.conversation_id, member.rev].setdefault("members", f"{device}, {event.event}")
    for (conversation_id, rev), found in things.items():
        if len(found) > 1 and rev > 1:  # with its first number come the conversation and its members
            yield Anomaly("rev", f"number {rev} of {conversation_id[:8]} is {len(found)} changes: {found}")
    for (conversation_id, rev), contents in states.items():
        if len(contents) > 1:
            yield Anomaly("rev", f"number {rev} of {conversation_id[:8]} is not one state: {list(contents.values())}")


def rev_order(history: Index) -> Iterator[Anomaly]:
    """In a person's log a thing's `rev` never goes back: the newest event of it is how it is."""
    logs: dict[tuple[str, int], dict[int, Event]] = defaultdict(dict)
    for _, event in _events(history):
        position = Position.parse(event.position)
        logs[event.user, position.epoch].setdefault(position.offset, event)
    for (user, _), entries in logs.items():
        highest: dict[str, tuple[int, str]] = {}
        for offset in sorted(entries):
            event = entries[offset]
            for thing, rev in _revs(event):
                before, where = highest.get(thing, (0, ""))
                if rev < before:
                    yield Anomaly(
                        "rev order",
                        f"{user} got {event.event} of {thing} with rev {rev} at {event.position} after {before} at {where}",
                    )
                highest[thing] = max((rev, event.position), (before, where))


def _revs(event: Event) -> Iterator[tuple[str, int]]:
    if state := event.message or event.now:
        yield f"message {state.message_id}", state.rev
    elif event.event in MEMBER_EVENTS:
        for member in event.members:
            yield f"member {event.conversation_id} {member.user}", member.rev


def trespass(history: Index) -> Iterator[Anomaly]:
    """Nobody is told of a change that was made while they were not in the conversation, but of their own leaving and requests."""
    for device, event in _events(history):
        state = event.message or event.now
        conversation_id = state.conversation_id if state else event.conversation_id
        rev = state.rev if state else event.rev
        spans = history.spans.get((conversation_id, event.user))
        if not rev or not history.spans or event.duplicate or event.event == "conversation.created":
            continue  # the last is for newcomers alone, and says how everything is by then
        about_me = event.event == "member.left" and any(member.user == event.user for member in event.members)
        if not about_me and not any(low <= rev and (high is None or rev < high) for low, high in spans or ()):
            yield Anomaly(
                "trespass",
                f"{device} got {event.event} with rev {rev} of {conversation_id[:8]} at {event.position}; "
                f"{event.user} was in it {spans or 'never'}",
            )


def receipts(history: Index) -> Iterator[Anomaly]:
    """Levels never go back in a person's log, and never pass the newest message."""
    for device, learned in history.learned.items():
        highest: dict[tuple[str, str, int], tuple[int, int]] = {}
        last: Position | None = None
        for event in learned:
            if not isinstance(event, Event):
                continue
            position = Position.parse(event.position)
            if last is not None and last.epoch == position.epoch and position.offset <= last.offset:
                continue  # a page that was read again
            last = position
            if event.levels is None:
                continue
            key = event.conversation_id, event.levels.user, position.epoch
            levels = event.levels.delivered_seq, event.levels.read_seq
            before = highest.get(key, (0, 0))
            if levels[0] < before[0] or levels[1] < before[1]:
                yield Anomaly("receipt", f"{device} was told {levels} of {key[1]} after {before} at {event.position}")
            end = len(history.stored.get(event.conversation_id, []))
            if max(levels) > end:
                yield Anomaly("receipt", f"{device} was told {levels} of {key[1]}: {end} messages are stored")
            highest[key] = max(levels[0], before[0]), max(levels[1], before[1])


class View(NamedTuple):
    """What a device shows: the newest it has heard of each thing."""

    messages: dict[str, Text]
    members: dict[tuple[str, str], Member | int]
    """By conversation and person; of who is out, the number of that."""
    levels: dict[tuple[str, str], tuple[int, int]]


def view_of(learned: list[Event | Loaded | LoadedRoom]) -> View:
    """Apply what a device heard and loaded, as the protocol says: a thing only if its `rev` is newer, levels to their maximum."""
    view = View({}, {}, defaultdict(lambda: (0, 0)))
    for record in learned:
        match record:
            case Loaded(message=message):
                _take(view, message)
            case LoadedRoom():
                _load(view, record)
            case Event():
                if state := record.message or record.now:
                    _take(view, state)
                if record.event in MEMBER_EVENTS or record.event == "conversation.created":
                    _change_members(view, record)
                if record.levels is not None:
                    _raise(view, record.conversation_id, record.levels.user, record.levels)
    return view


def _take(view: View, message: Text) -> None:
    known = view.messages.get(message.message_id)
    if known is None or known.rev < message.rev:
        view.messages[message.message_id] = message


def _load(view: View, room: LoadedRoom) -> None:
    there = {member.user for member in room.members}
    for key, known in list(view.members.items()):
        elsewhere = key[0] != room.conversation_id or key[1] in there
        if not elsewhere and isinstance(known, Member) and known.rev <= room.rev:
            view.members[key] = room.rev
    for member in room.members:
        _enter(view, room.conversation_id, member)


def _change_members(view: View, event: Event) -> None:
    for member in event.members:
        key = event.conversation_id, member.user
        if event.event != "member.left":
            _enter(view, event.conversation_id, member)
        elif _rev(view.members.get(key)) <= member.rev:
            view.members[key] = member.rev


def _enter(view: View, conversation_id: str, member: Member) -> None:
    key = conversation_id, member.user
    known = view.members.get(key)
    if _rev(known) < member.rev or (isinstance(known, Member) and known.rev == member.rev):
        view.members[key] = member
    _raise(view, conversation_id, member.user, member)


def _rev(known: Member | int | None) -> int:
    return known.rev if isinstance(known, Member) else known or 0


def _raise(view: View, conversation_id: str, user: str, levels: object) -> None:
    delivered, read = view.levels[conversation_id, user]
    view.levels[conversation_id, user] = (
        max(delivered, getattr(levels, "delivered_seq", 0)),
        max(read, getattr(levels, "read_seq", 0)),
    )


def stale(history: Index) -> Iterator[Anomaly]:
    """At the end every living device shows what a fresh fetch shows its person."""
    for device, learned in history.learned.items():
        user = history.users.get(device)
        if device in history.died or user is None or user not in history.fresh:
            continue
        view = view_of(learned)
        for fresh in history.fresh[user]:
            yield from _messages_differ(history, device, view, fresh)
            yield from _members_differ(device, view, fresh)


def _messages_differ(history: Index, device: str, view: View, fresh: Fresh) -> Iterator[Anomaly]:
    shown = {message.message_id: message for message in fresh.messages}
    for message_id, message in shown.items():
        known = view.messages.get(message_id)
        if known is None:
            if fresh.user in history.members.get(fresh.conversation_id, []) and message.sender_id is not None:
                yield Anomaly("stale", f"{device} does not show {_of(message)}, which a fresh fetch does")
        elif _content(known) != _content(message) or known.rev != message.rev:
            yield Anomaly(
                "stale",
                f"{device} shows {_of(known)} rev {known.rev} as {_content(known).decode()}; "
                f"a fresh fetch rev {message.rev} as {_content(message).decode()}",
            )
    for message in view.messages.values():
        if message.conversation_id == fresh.conversation_id and message.message_id not in shown:
            yield Anomaly("stale", f"{device} shows {_of(message)}, which a fresh fetch does not")


def _members_differ(device: str, view: View, fresh: Fresh) -> Iterator[Anomaly]:
    room = fresh.conversation_id
    seen = {
        user: (member.role, member.rev, *view.levels[room, user])
        for (conversation_id, user), member in view.members.items()
        if conversation_id == room and isinstance(member, Member)
    }
    shown = {one.user: (one.role, one.rev, one.delivered_seq, one.read_seq) for one in fresh.members}
    for user in sorted(seen.keys() | shown.keys()):
        if seen.get(user) != shown.get(user):
            yield Anomaly(
                "stale",
                f"{device} shows {user} in {room[:8]} as {seen.get(user)}; a fresh fetch as {shown.get(user)} (role, rev, levels)",
            )


ALL: tuple[Rule, ...] = (lost_change, ghost_change, numbers, rev_order, trespass, receipts, stale)


def _events(history: Index) -> Iterator[tuple[str, Event]]:
    for device, learned in history.learned.items():
        for record in learned:
            if isinstance(record, Event):
                yield device, record


def _states(history: Index) -> Iterator[tuple[Text, str]]:
    """Every state of a message that anybody saw, and the stored ones."""
    for device, learned in history.learned.items():
        for record in learned:
            match record:
                case Loaded(message=message):
                    yield message, f"{device}, REST"
                case Event() if state := record.message or record.now:
                    yield state, f"{device}, {record.event} at {record.position}"
                case _:
                    pass
    for messages in history.stored.values():
        for message in messages:
            yield message, "stored"


def _content(text: Text) -> bytes:
    """What can be changed of a message."""
    reactions = sorted((emoji, sorted(users)) for emoji, users in text.reactions.items() if users)
    return f"{text.text!r} deleted={text.deleted} pinned={text.pinned} {reactions}".encode()


def _about(history: Index, op: Op) -> str:
    tries = history.changes.get(op)
    return f"{op} ({tries[0][1].kind} of {tries[0][1].target[:8]})" if tries else str(op)


def _of(message: Text) -> str:
    return f"{message.conversation_id[:8]}#{message.seq} {message.message_id[:8]}"
