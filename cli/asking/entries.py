"""What an operator sees of a stream entry: who and where, when, and the text only when asked for it."""

import time

from backplane.streams import Entry
from cli.places import Reference
from schemas.entities import rfc3339
from schemas.events import decode_header
from schemas.intents import Intent, SendMessage, decode_intent
from schemas.marks import decode_mark
from schemas.names import BODY_FIELD, HEADER_FIELD, INTENT_FIELD, MARK_FIELD
from schemas.stages import STAGES, PartitionStream, StreamKind

_CARRIED = (INTENT_FIELD, MARK_FIELD, HEADER_FIELD, BODY_FIELD)


def summary(kind: PartitionStream, partition: int, entry: Entry, *, bodies: bool = False) -> dict[str, object]:
    """One row for an entry. `kind`: of the stream that it is in."""
    row: dict[str, object] = {"entry": str(Reference(partition, entry.id)), "at": rfc3339(entry.id.ms)}
    match kind:
        case "intents":
            return row | intent_summary(entry, bodies=bodies)
        case "receipts":
            return row | mark_summary(entry)
        case "events":
            return row | event_summary(entry, bodies=bodies)
        case "dead":
            return row | dead_summary(entry) | carried_summary(entry, bodies=bodies)


def intent_summary(entry: Entry, *, bodies: bool) -> dict[str, object]:
    """What was wanted, by whom, where."""
    try:
        intent = decode_intent(entry.fields.get(INTENT_FIELD, b""))
    except ValueError as failure:
        return _row("unreadable", note=str(failure))
    row = _row(type_of(intent), intent.conversation_id, intent.actor_id, intent.intent_id)
    return row | ({"text": intent.text} if bodies and isinstance(intent, SendMessage) else {})


def mark_summary(entry: Entry) -> dict[str, object]:
    """Who has received and read how far, where."""
    try:
        mark = decode_mark(entry.fields.get(MARK_FIELD, b""))
    except ValueError as failure:
        return _row("unreadable", note=str(failure))
    private = ", in private" if mark.private else ""
    thread = f", thread {mark.thread_root_id}" if mark.thread_root_id else ""
    note = f"delivered {mark.delivered_seq}, read {mark.read_seq}{private}{thread}"
    return _row("receipt", mark.conversation_id, mark.actor_id, mark.mark_id, note)


def event_summary(entry: Entry, *, bodies: bool) -> dict[str, object]:
    """What happened, where, and for whom if for one person alone."""
    try:
        header = decode_header(entry.fields.get(HEADER_FIELD, b""))
    except ValueError as failure:
        return _row("unreadable", note=str(failure))
    row = _row(header.event, header.conversation_id, ", ".join(header.to) or "everybody", header.event_id)
    return row | ({"text": entry.fields.get(BODY_FIELD, b"").decode(errors="replace")} if bodies else {})


def dead_summary(entry: Entry) -> dict[str, object]:
    """Why an entry was set aside, by which stage, after how many attempts, and how long ago."""
    last_ms = int(entry.fields.get(b"last_ms", b"") or entry.id.ms)
    return {
        "stage": stage_of(entry),
        "attempts": int(entry.fields.get(b"attempts", b"") or 0),
        "age_ms": max(0, round(time.time() * 1000) - last_ms),
        "error": entry.fields.get(b"error", b"").decode(errors="replace"),
    }


def carried_summary(entry: Entry, *, bodies: bool) -> dict[str, object]:
    """What a dead entry was before."""
    if MARK_FIELD in entry.fields:
        return mark_summary(entry)
    return (intent_summary if INTENT_FIELD in entry.fields else event_summary)(entry, bodies=bodies)


def stage_of(dead: Entry) -> str:
    """The stage that gave the entry up."""
    return dead.fields.get(b"stage", b"").decode(errors="replace")


def source_of(dead: Entry) -> StreamKind | None:
    """The stream that a dead entry came from; None if its stage is not of this version."""
    stage = next((stage for name, stage in STAGES.items() if name == stage_of(dead)), None)
    return stage.stream if stage else None


def original(dead: Entry) -> Entry:
    """The entry as it was before it was set aside: the same fields, so the same `intent_id`."""
    return Entry(dead.id, {name: dead.fields[name] for name in _CARRIED if name in dead.fields})


def type_of(intent: Intent) -> str:
    """Its name on the wire."""
    return str(intent.__struct_config__.tag)


def _row(
    what: str, conversation: str | None = None, who: str | None = None, known_as: str | None = None, note: str = ""
) -> dict[str, object]:
    row: dict[str, object] = {"type": what, "conversation_id": conversation, "user": who, "id": known_as}
    return row | ({"note": note} if note else {})
