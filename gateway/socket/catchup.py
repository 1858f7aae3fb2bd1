"""Looking at a user's log, and reading pages of it. Reads Redis only."""

from typing import NamedTuple

import msgspec

from backplane.logs import Head, Logs
from gateway.socket.resume import Refusal, refusal
from schemas.ids import Position, UserId
from schemas.server_frames import event_frame

_CHUNK = 100
_SYNC_BYTES = 1024 * 1024


class Outlook(NamedTuple):
    """A log as it is now, and why it can not be continued, if it can not."""

    head: Head
    reason: Refusal | None


class SyncPage(msgspec.Struct, frozen=True):
    """The result of `sync`: whole frames, up to `position`; `more` if the log goes on."""

    events: list[msgspec.Raw]
    position: str
    more: bool


async def look(logs: Logs, user: UserId, asked: Position | None, *, max_entries: int | None = None) -> Outlook:
    """Open the user's log and decide whether it can be continued after `asked`.

    A position ahead of the log means that the log lost its tail: everybody must hear of that, so it gets a new epoch, but
    not at every call of a client that makes positions up (hole C15).

    Raises:
        Transient: Redis is away.
    """
    head = await logs.open(user)
    reason = refusal(asked, head, max_entries=max_entries)
    if reason == "position_ahead":
        head = await logs.renew_epoch(user) or head
    return Outlook(head, reason)


async def sync_page(logs: Logs, user: UserId, after: Position, limit: int) -> SyncPage | Refusal:
    """Up to `limit` events (and about a mebibyte) after a position, or why there can be none.

    Raises:
        Transient: Redis is away.
    """
    head = await logs.open(user)
    reason = refusal(after, head)
    if reason is not None:
        return reason
    events: list[msgspec.Raw] = []
    size = 0
    while len(events) < limit and size < _SYNC_BYTES and after.offset < head.position.offset:
        entries = await logs.read(user, after, min(_CHUNK, limit - len(events)))
        if not entries:
            return "position_trimmed"
        for entry in entries:
            if entry.position != (after.epoch, after.offset + 1):
                return "position_trimmed"
            after = entry.position
            frame = event_frame(after, entry.body)
            size += len(frame)
            events.append(msgspec.Raw(frame))
    return SyncPage(events, str(after), after.offset < head.position.offset)
