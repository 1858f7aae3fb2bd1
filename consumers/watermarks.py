"""What a batch of marks comes to: one set of levels a person, conversation and thread, never lower, never past the end. Pure.

The levels of a key are a maximum, so the order of marks, repeats of them, and how they are cut into batches make no difference.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from backplane.store.marks import Key, Levels, marked_by
from schemas.ids import StreamId
from schemas.marks import Mark


class Asked(NamedTuple):
    """What the marks of one key ask for together, and the last entry among them."""

    levels: Levels
    last: StreamId
    again: bool = False
    """Whether an operator has appended one of them again: everybody is told, because somebody may not have been."""


class Known(NamedTuple):
    """What is stored about a key of somebody who is in the conversation."""

    levels: Levels
    marked_by: str
    privately_by: str
    member_rev: int
    last_seq: int
    rev: int
    """The conversation's: who is in it then is told."""
    blocked: bool = False
    """Whether the other one of a direct conversation does not want to hear from this person."""


class Verdict(NamedTuple):
    """Where a key stands, what of it is to be written, and who is to be told: others, or the person's own devices alone."""

    levels: Levels
    moved: bool
    moved_privately: bool
    told: bool
    told_privately: bool


def key_of(mark: Mark) -> Key:
    """What a mark is about."""
    return Key(mark.conversation_id, mark.actor_id, mark.thread_root_id)


def levels_of(mark: Mark) -> Levels:
    """What one mark asks for: who has read has received; a private reading shows nothing to anybody."""
    if mark.private:
        return Levels(mark.delivered_seq, 0, mark.read_seq)
    return Levels(max(mark.delivered_seq, mark.read_seq), mark.read_seq, 0)


def merged(entries: Iterable[tuple[StreamId, Mark]], again: AbstractSet[StreamId] = frozenset()) -> dict[Key, Asked]:
    """The marks of a batch, one a key; `again`: those of them that an operator has appended again."""
    asked: dict[Key, Asked] = {}
    for entry, mark in entries:
        key, one = key_of(mark), Asked(levels_of(mark), entry, entry in again)
        so_far = asked.get(key, one)
        asked[key] = Asked(so_far.levels.with_(one.levels), max(so_far.last, one.last), so_far.again or one.again)
    return asked


def judge(asked: Asked, known: Known) -> Verdict:
    """Raise what is lower, no further than the conversation's newest message (hole C11); of who is blocked, in private alone.

    What moves nothing is not announced, unless this very entry has moved it before (its owner was killed between the write and
    the settle, and nobody was told), or an operator sends it again. An announcement has absolute levels, so one too many does no
    harm.
    """
    wanted = asked.levels.hidden() if known.blocked else asked.levels
    levels = known.levels.with_(wanted.up_to(known.last_seq))
    moved = levels[:2] != known.levels[:2]
    moved_privately = levels.private_read_seq != known.levels.private_read_seq
    by = marked_by(asked.last)
    # A reading in private stays private, whoever sends it again.
    told = moved or by == known.marked_by or (asked.again and any(wanted[:2]))
    told_privately = moved_privately or by == known.privately_by or (asked.again and levels.private_read_seq > 0)
    return Verdict(levels, moved, moved_privately, told, told_privately)
