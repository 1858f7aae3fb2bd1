"""Whether a position can be continued (protocol §1, “Resume”). Pure: the whole table is one function."""

from typing import Literal

from backplane.logs import Head
from schemas.ids import Position

Refusal = Literal["fresh", "epoch_changed", "position_ahead", "position_trimmed", "backlog_too_large"]
"""Why a client must load its state instead: the `resync` of `connected`, the `reason` of `resync_required`."""


def refusal(asked: Position | None, head: Head, *, max_entries: int | None = None) -> Refusal | None:
    """Why the log can not be continued after `asked`; None if everything after it is there: whole or refused, never partial.

    `max_entries` bounds what a resume replays; a connection that is only slow has no such bound.
    """
    if asked is None:
        return "fresh"
    end = head.position
    if asked.epoch != end.epoch:
        return "epoch_changed"
    if asked.offset > end.offset:
        return "position_ahead"
    # At the head nothing is missing, even if every entry has been trimmed.
    if asked.offset < end.offset and (head.first_offset is None or head.first_offset > asked.offset + 1):
        return "position_trimmed"
    if max_entries is not None and end.offset - asked.offset > max_entries:
        return "backlog_too_large"
    return None
