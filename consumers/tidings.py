"""What a person's new levels look like as events: to everybody in the conversation, or to their own devices. Pure."""

import msgspec

from backplane.store.marks import Key, Levels
from consumers.watermarks import Verdict
from schemas.entities import rfc3339
from schemas.errors import error
from schemas.events import Event, EventHeader, Receipt, Rejection, make_event
from schemas.ids import StreamId
from schemas.marks import Mark


def receipts_of(
    key: Key, verdict: Verdict, entry: StreamId, *, rev: int, at_ms: int, now_ms: int, only_own: bool
) -> tuple[Event, ...]:
    """The events that tell a key's levels: one at most to everybody, and one to the person's own devices of what is private.

    `entry` makes the events' ids: told again after a crash they are the same, so clients drop them.
    """
    own = own_receipt(key, verdict.levels, entry, at_ms=at_ms, now_ms=now_ms)
    if only_own:
        return (own,) if verdict.told or verdict.told_privately else ()
    header = msgspec.structs.replace(own.header, event_id=f"{key.conversation_id}.{entry}", rev=rev, to=())
    everybody = make_event(header, _receipt(key, verdict.levels), rfc3339(now_ms))
    return (*((everybody,) if verdict.told else ()), *((own,) if verdict.told_privately else ()))


def own_receipt(key: Key, levels: Levels, entry: StreamId, *, at_ms: int, now_ms: int) -> Event:
    """A person's levels for their own devices: what is private too."""
    header = EventHeader(
        event="receipt.updated",
        event_id=f"{key.conversation_id}.{entry}.own",
        conversation_id=key.conversation_id,
        rev=0,
        at_ms=at_ms,
        to=(key.user_id,),
    )
    private = levels.private_read_seq or msgspec.UNSET
    return make_event(header, msgspec.structs.replace(_receipt(key, levels), private_read_seq=private), rfc3339(now_ms))


def _receipt(key: Key, levels: Levels) -> Receipt:
    return Receipt(
        conversation_id=key.conversation_id,
        user_id=key.user_id,
        delivered_seq=levels.delivered_seq,
        read_seq=levels.read_seq,
        thread_root_id=msgspec.UNSET if key.thread_root_id is None else key.thread_root_id,
    )


def refusal_of(mark: Mark, code: str, now_ms: int) -> Event:
    """A refusal, for the person alone."""
    header = EventHeader(
        event="operation.rejected",
        event_id=mark.mark_id,
        conversation_id=mark.conversation_id,
        rev=0,
        at_ms=mark.at_ms,
        to=(mark.actor_id,),
    )
    return make_event(header, Rejection(mark.conversation_id, error(code)), rfc3339(now_ms))
