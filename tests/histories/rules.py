"""The promises of docs/architecture.md §4 as rules over a history: each yields what contradicts it, explained.

A rule never guesses: an unknown outcome may have gone either way, a repeat is allowed, and what a device was told to resync is no gap.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from schemas.ids import Position
from tests.histories.index import Index, Key, Sight, key_of
from tests.histories.records import Connected, Disconnected, Event, ResyncTold, Synced, Text

LOSS_WINDOW_SECONDS = 5.0
"""An `accepted` may be written down this long after the fault that lost its intent."""


class Anomaly(NamedTuple):
    """One contradiction: the rule, and in words which messages and devices, and what was seen."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


Rule = Callable[[Index], Iterator[Anomaly]]


def lost(history: Index) -> Iterator[Anomaly]:
    """What was accepted is stored or rejected; what anybody saw is stored; what is stored was seen by every device of every member."""
    stored = history.stored_by_key()
    for key, accepts in history.accepted.items():
        at, accept = accepts[0]
        if key in stored or key in history.rejected or _permanently_refused(history, key) or _excused(history, key):
            continue
        fate = "which then died" if accept.device in history.died else "which still waits for it"
        yield Anomaly(
            "lost", f"{key} was accepted at {accept.t:.3f} s (record {at}) by {accept.device}, {fate}; it is not stored"
        )
    known = {message.message_id for messages in history.stored.values() for message in messages}
    told: dict[str, Sight] = {}
    for sights in history.sights.values():
        for sight in sights:
            told.setdefault(sight.message.message_id, sight)
    for message_id, sight in told.items():
        if message_id not in known:
            yield Anomaly(
                "lost",
                f"{_name(sight.message)} was shown to {sight.device} ({sight.how}, {sight.t:.3f} s); it is not stored",
            )
    yield from _unseen(history)


def _unseen(history: Index) -> Iterator[Anomaly]:
    seen = {device: {sight.message.message_id for sight in sights} for device, sights in history.sights.items()}
    for device, learned in history.learned.items():
        seen.setdefault(device, set()).update(
            record.now.message_id for record in learned if isinstance(record, Event) and record.now is not None
        )
    for conversation_id, messages in history.stored.items():
        for device in history.devices_of(conversation_id):
            missing = [m for m in messages if m.sender_id is not None and m.message_id not in seen.get(device, set())]
            if missing:
                yield Anomaly(
                    "lost",
                    f"{device} never saw {len(missing)} of the {len(messages)} stored messages of {conversation_id[:8]}: "
                    f"{_few([_name(message) for message in missing])}",
                )


def _permanently_refused(history: Index, key: Key) -> bool:
    return any(not refused.temporary for _, refused in history.refused.get(key, []))


def _excused(history: Index, key: Key) -> bool:
    _, accept = history.accepted[key][0]
    losses = [history.records[at].t for at in history.losses]  # type: ignore[union-attr]
    return accept.device in history.died and any(t >= accept.t - LOSS_WINDOW_SECONDS for t in losses)


def ghost(history: Index) -> Iterator[Anomaly]:
    """What was finally rejected is never stored, except that another body was stored under the same id before."""
    stored = history.stored_by_key()
    for key, events in history.rejected.items():
        _, event = events[0]
        if key in stored and event.code != "idempotency_conflict":
            yield Anomaly(
                "ghost",
                f"{key} was rejected ({event.code}) to {event.device} at {event.t:.3f} s, and is stored as {_name(stored[key][0])}",
            )
    for key, refusals in history.refused.items():
        final = [refused for _, refused in refusals if not refused.temporary]
        if final and key in stored:
            yield Anomaly(
                "ghost",
                f"{key} was refused ({final[0].code}) to {final[0].device} at {final[0].t:.3f} s, and is stored as {_name(stored[key][0])}",
            )


def double_store(history: Index) -> Iterator[Anomaly]:
    """One send is one message, whoever saw it and however often it was repeated."""
    ids: dict[Key, dict[str, str]] = defaultdict(dict)
    places: dict[str, dict[tuple[str, int], str]] = defaultdict(dict)
    for message, where in _all_texts(history):
        if message.sender_id is not None:
            ids[key_of(message)].setdefault(message.message_id, f"{message.message_id[:8]} #{message.seq} ({where})")
        places[message.message_id].setdefault((message.conversation_id, message.seq), f"#{message.seq} ({where})")
    for key, found in ids.items():
        if len(found) > 1:
            yield Anomaly("double store", f"{key} became {len(found)} messages: {_few(list(found.values()))}")
    for message_id, found in places.items():
        if len(found) > 1:
            yield Anomaly(
                "double store", f"message {message_id[:8]} has {len(found)} numbers: {_few(list(found.values()))}"
            )


def phantom(history: Index) -> Iterator[Anomaly]:
    """What is seen or stored was sent, by that person, with that text or one that they gave it later; or somebody deleted it."""
    texts: dict[Key, set[str | None]] = {key: {sent.text for _, sent in sends} for key, sends in history.sends.items()}
    given: dict[str, set[str | None]] = defaultdict(set)
    for op, changes in history.changes.items():
        for _, change in changes:
            if change.kind == "message.edit":
                given[f"{change.target} by {op.user}"].add(change.value)
            elif change.kind == "message.delete":
                given[change.target].add(None)
    reported: set[str] = set()
    for message, where in _all_texts(history):
        if message.sender_id is None or message.message_id in reported:
            continue
        key = key_of(message)
        changed = given[f"{message.message_id} by {message.sender_id}"] | given[message.message_id]
        if key not in texts:
            reported.add(message.message_id)
            yield Anomaly("phantom", f"{_name(message)} ({where}) was never sent: nobody sent {key}")
        elif message.text not in texts[key] | changed:
            reported.add(message.message_id)
            known = sorted(str(text) for text in texts[key] | changed)
            yield Anomaly("phantom", f"{_name(message)} ({where}) says {message.text!r}; {key} was sent as {known!r}")


def order(history: Index) -> Iterator[Anomaly]:
    """Numbers are 1, 2, 3 … without a hole, `rev` is given once, and every device meets the messages in that order."""
    for conversation_id, messages in history.stored.items():
        numbers = [message.seq for message in messages]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong = sorted(set(range(1, max(numbers) + 1)) - set(numbers)) or [
                n for n in numbers if numbers.count(n) > 1
            ]
            yield Anomaly(
                "order",
                f"{conversation_id[:8]} is not numbered 1…{len(numbers)}: missing or doubled {_few(list(map(str, wrong)))}",
            )
        revs = [message.rev for message in messages]
        if len(set(revs)) < len(revs):
            yield Anomaly(
                "order",
                f"{conversation_id[:8]} gave a rev twice: {_few([str(r) for r in set(revs) if revs.count(r) > 1])}",
            )
    for device, sights in history.sights.items():
        yield from _first_sights(device, [sight for sight in sights if _in_order(history, device, sight.message)])


def _in_order(history: Index, device: str, message: Text) -> bool:
    """Whether a device owes it to the order of numbers when it first saw this message.

    Whoever comes later hears of what is new before they have loaded what is old; and a state that is loaded while a message is being
    changed lacks it until the event of that change.
    """
    members = history.members.get(message.conversation_id)
    is_guest = members is not None and history.users.get(device) not in members
    return not is_guest and message.message_id not in history.targets


def _first_sights(device: str, sights: list[Sight]) -> Iterator[Anomaly]:
    highest: dict[str, Sight] = {}
    seen: set[str] = set()
    for sight in sights:
        message = sight.message
        if message.message_id in seen:
            continue
        seen.add(message.message_id)
        before = highest.get(message.conversation_id)
        if before is not None and message.seq < before.message.seq:
            yield Anomaly(
                "order",
                f"{device} first saw {_name(message)} ({sight.how}, {sight.t:.3f} s) after {_name(before.message)} ({before.how}, {before.t:.3f} s)",
            )
        else:
            highest[message.conversation_id] = sight


def agreement(history: Index) -> Iterator[Anomaly]:
    """All agree which message has a number, and what stands at a position of one person's log."""
    numbers: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for message, where in _all_texts(history):
        numbers[message.conversation_id, message.seq].setdefault(
            message.message_id, f"{message.message_id[:8]} ({where})"
        )
    for (conversation_id, seq), found in numbers.items():
        if len(found) > 1:
            yield Anomaly(
                "agreement",
                f"number {seq} of {conversation_id[:8]} is {len(found)} messages: {_few(list(found.values()))}",
            )
    places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for wire in history.wire.values():
        for _, record in wire:
            if isinstance(record, Event):
                places[record.user, record.position].setdefault(
                    _identity(record), f"{record.event} {record.event_id[:40]} to {record.device}"
                )
    for (user, position), found in places.items():
        if len(found) > 1:
            yield Anomaly(
                "agreement",
                f"position {position} of {user} holds {len(found)} events (A5): {_few(list(found.values()))}",
            )


def session_order(history: Index) -> Iterator[Anomaly]:
    """What a device first sent after an earlier send of its own was accepted has the higher number."""
    stored = {key: messages[0] for key, messages in history.stored_by_key().items()}
    sessions: dict[tuple[str, str], list[tuple[int, Key]]] = defaultdict(list)
    for key, sends in history.sends.items():
        if key in stored:
            at, first = sends[0]
            sessions[first.device, key.conversation_id].append((at, key))
    for (device, _), keys in sessions.items():
        keys.sort(key=lambda pair: pair[0])
        yield from _inversions(history, device, keys, stored)


def _inversions(history: Index, device: str, keys: list[tuple[int, Key]], stored: dict[Key, Text]) -> Iterator[Anomaly]:
    """Walks the sends in order, holding the highest number among those accepted before the send at hand."""
    accepted = sorted((history.accepted[key][0][0], key) for _, key in keys if history.accepted.get(key))
    highest: Key | None = None
    done = 0
    for at, key in keys:
        while done < len(accepted) and accepted[done][0] < at:
            candidate = accepted[done][1]
            if not _lost_since(history, accepted[done][0]) and (
                highest is None or stored[candidate].seq > stored[highest].seq
            ):
                highest = candidate
            done += 1
        if highest is not None and highest != key and stored[key].seq < stored[highest].seq:
            yield Anomaly(
                "session order",
                f"{device} sent {_name(stored[key])} after {_name(stored[highest])} was accepted, and it has the lower number",
            )


def _lost_since(history: Index, at: int) -> bool:
    """Whether an accepted intent may have been lost, and sent anew behind others."""
    t: float = history.records[at].t  # type: ignore[union-attr]
    return any(history.records[loss].t >= t - LOSS_WINDOW_SECONDS for loss in history.losses)  # type: ignore[union-attr]


def silent_gap(history: Index) -> Iterator[Anomaly]:
    """Positions are dense on every socket: from where it resumed if that was called whole, else from where it was told to go on."""
    for device, wire in history.wire.items():
        last: Position | None = None
        for _, record in wire:
            match record:
                case Connected():
                    last = Position.parse(record.position)
                    if record.recovered:
                        yield from _whole(device, record)
                        last = Position.parse(record.resumed_from or record.position)
                case ResyncTold() | Synced():
                    last = Position.parse(record.position)
                case Disconnected():
                    last = None
                case Event():
                    yield from _jump(device, last, record)
                    last = _advance(last, Position.parse(record.position))


def _whole(device: str, record: Connected) -> Iterator[Anomaly]:
    head = Position.parse(record.position)
    asked = Position.parse(record.resumed_from) if record.resumed_from else None
    if asked is None or record.resync is not None:
        yield Anomaly(
            "silent gap",
            f"{device} was told recovered=true (resumed from {asked}, resync {record.resync}) at {record.t:.3f} s",
        )
    elif asked.epoch != head.epoch or asked.offset > head.offset:
        yield Anomaly(
            "silent gap",
            f"{device} resumed from {asked} and was told recovered=true with the head {head} at {record.t:.3f} s",
        )


def _advance(last: Position | None, here: Position) -> Position | None:
    if last is None or here.epoch != last.epoch:
        return here if last else None
    return max(last, here)


def _jump(device: str, last: Position | None, event: Event) -> Iterator[Anomaly]:
    here = Position.parse(event.position)
    if last is None:
        yield Anomaly("silent gap", f"{device} got {here} ({event.event}) on no open socket at {event.t:.3f} s")
    elif here.epoch != last.epoch:
        yield Anomaly(
            "silent gap", f"{device} got {here} after {last}: another epoch, and no resync was told ({event.t:.3f} s)"
        )
    elif here.offset > last.offset + 1:
        yield Anomaly(
            "silent gap",
            f"{device} got {here} ({event.event}, {event.via}) after {last}: {here.offset - last.offset - 1} positions were skipped ({event.t:.3f} s)",
        )


def double_effect(history: Index) -> Iterator[Anomaly]:
    """Within an epoch an event stands once in a person's log; only a marked duplicate may follow it (holes B2, B5)."""
    places: dict[tuple[str, int, str], dict[int, str]] = defaultdict(dict)
    for wire in history.wire.values():
        for _, record in wire:
            if isinstance(record, Event) and not record.duplicate and record.event != "message.rejected":
                position = Position.parse(record.position)
                places[record.user, position.epoch, _identity(record)][position.offset] = record.event
    for (user, epoch, identity), offsets in places.items():
        if len(offsets) > 1:
            at = _few([str(offset) for offset in sorted(offsets)])
            yield Anomaly(
                "double effect",
                f"{next(iter(offsets.values()))} {identity[:40]} stands {len(offsets)} times in {user}'s log {epoch}: offsets {at}",
            )


def stuck(history: Index) -> Iterator[Anomaly]:
    """At the end nothing is on its way any more, and nothing died that was not meant to."""
    end = history.quiesced
    if end is None:
        yield Anomaly("stuck", "the history has no end: the system never came to rest")
        return
    for place, entries in end.unsettled.items():
        if entries != 0:
            yield Anomaly(
                "stuck", f"{place} still has {'an unknown number of' if entries < 0 else entries} unsettled entries"
            )
    for device, keys in end.outboxes.items():
        if keys and device not in history.died:
            yield Anomaly(
                "stuck", f"{device} still waits for {len(keys)} of its sends: {_few([key[:8] for key in keys])}"
            )


ALL: tuple[Rule, ...] = (
    lost,
    ghost,
    double_store,
    phantom,
    order,
    agreement,
    session_order,
    silent_gap,
    double_effect,
    stuck,
)


def _identity(event: Event) -> str:
    """What an event is about: two with the same identity say the same."""
    if event.message is not None:
        return event.message.message_id
    # Two changes of a thing that are made again after a crash are both told as it is then: under one number.
    return f"{event.event_id} {event.client_op_id}".strip()


def _all_texts(history: Index) -> Iterator[tuple[Text, str]]:
    for messages in history.stored.values():
        for message in messages:
            yield message, "stored"
    for device, sights in history.sights.items():
        for sight in sights:
            yield sight.message, f"{device}, {sight.how}"
    for device, learned in history.learned.items():
        for record in learned:
            if isinstance(record, Event) and record.now is not None:
                yield record.now, f"{device}, {record.event} at {record.position}"


def _name(message: Text) -> str:
    return f"{message.conversation_id[:8]}#{message.seq} {message.message_id[:8]}"


def _few(items: list[str], limit: int = 6) -> str:
    return ", ".join(items[:limit]) + (f" … ({len(items)} in all)" if len(items) > limit else "")
