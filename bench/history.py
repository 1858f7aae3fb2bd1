"""What members saw of messages, changes and receipts, and the judgement on it. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.findings import Correctness, check


@dataclass(frozen=True, slots=True)
class MixedCorrectness(Correctness):
    """What was wrong, with changes and receipts too; all zero if nothing was."""

    unseen_changes: int = 0
    """(member, change) pairs: accepted, and never seen by them."""
    differing_changes: int = 0
    """Changes that came with more than one `rev`."""
    revs_back: int = 0
    """Events of a message below a `rev` that the same member had seen of it."""
    receipts_back: int = 0
    """Events of a person's watermarks below what the same member had heard of them."""
    receipts_behind: int = 0
    """(member, conversation, person): what the person said they had read never came."""
    skipped: int = 0
    """Operations that there was nothing to do to: the mixture was not what it says."""


@dataclass(slots=True)
class History:
    """Everything in the order in which it came, of the members and conversations of one run."""

    arrivals: dict[tuple[str, str], list[int]] = field(default_factory=dict[tuple[str, str], list[int]])
    """(conversation, member) → the `seq` of every `message.created`, counted from the start of the run."""
    changes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Member → (operation, `rev`) of every change's event that names its maker."""
    revs: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """(member, message) → the `rev` of every event of it."""
    receipts: dict[tuple[str, str, str], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """(member, conversation, whose) → (`delivered_seq`, `read_seq`) of every event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What was to be seen."""

    members: Mapping[str, Sequence[str]]
    """Conversation → its members."""
    counts: Mapping[str, int]
    """Conversation → how many messages the server says it has got since the start of the run."""
    changes: Mapping[int, str]
    """Accepted reaction or edit → its conversation."""
    reads: Mapping[tuple[str, str], int]
    """(conversation, member) → the newest message that they said they had read."""
    refused: int = 0
    unanswered: int = 0
    skipped: int = 0


def judge(history: History, promised: Promised) -> MixedCorrectness:
    """Compare what was seen with what was promised."""
    messages = check(history.arrivals, promised.counts, refused=promised.refused, unanswered=promised.unanswered)
    repeats, unseen, differing = _changes(history, promised)
    return MixedCorrectness(
        missing=messages.missing,
        doubled=messages.doubled + repeats,
        disordered=messages.disordered,
        gaps=messages.gaps,
        refused=messages.refused,
        unanswered=messages.unanswered,
        unseen_changes=unseen,
        differing_changes=differing,
        revs_back=sum(map(_backward, history.revs.values())),
        receipts_back=sum(map(_falls, history.receipts.values())),
        receipts_behind=_behind(history, promised),
        skipped=promised.skipped,
    )


def _changes(history: History, promised: Promised) -> tuple[int, int, int]:
    """Repeats on the wire; accepted changes that a member never saw; changes that came with several revs."""
    repeats = 0
    seen_by: dict[int, set[str]] = defaultdict(set)
    revs_of: dict[int, set[int]] = defaultdict(set)
    for member, events in history.changes.items():
        repeats += len(events) - len(set(events))
        for operation, rev in events:
            seen_by[operation].add(member)
            revs_of[operation].add(rev)
    unseen = sum(
        len(set(promised.members[conversation]) - seen_by[operation])
        for operation, conversation in promised.changes.items()
    )
    return repeats, unseen, sum(len(revs) > 1 for revs in revs_of.values())


def _backward(revs: Sequence[int]) -> int:
    """How many came below a higher one and had not come before: a repeat is dropped by clients, a late one is not."""
    seen: set[int] = set()
    newest = found = 0
    for rev in revs:
        found += rev < newest and rev not in seen
        seen.add(rev)
        newest = max(newest, rev)
    return found


def _falls(levels: Sequence[tuple[int, int]]) -> int:
    return sum(after[0] < before[0] or after[1] < before[1] for before, after in pairwise(levels))


def _behind(history: History, promised: Promised) -> int:
    return sum(
        max((read for _, read in history.receipts.get((member, conversation, whose), ())), default=0) < wanted
        for (conversation, whose), wanted in promised.reads.items()
        for member in promised.members[conversation]
    )
