"""Who talks with whom, and who does what when: everything that the seed decides. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, cycle, islice
from random import Random
from typing import Literal, NamedTuple

from bench.pace import Schedule

Kind = Literal["send", "read", "type", "react", "edit"]

SHARES: dict[Kind, float] = {"send": 0.40, "read": 0.30, "type": 0.15, "react": 0.10, "edit": 0.05}
SIZES = (2,) * 10 + (5,) * 6 + (10,) * 4
PEOPLE = 60
ZIPF_EXPONENT = 1.1
"""Of a conversation's share in all operations by its rank: the busiest of 20 has about three tenths of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(Schedule):
    """What to do: operations of every kind, in conversations of several sizes, some of them much busier than others."""

    seed: int
    scenario: str = "mixed"
    people: int = PEOPLE
    sizes: tuple[int, ...] = SIZES
    exponent: float = ZIPF_EXPONENT


class Operation(NamedTuple):
    """One thing that somebody does: numbers of a conversation and of a person, and a draw from [0, 1) for the rest."""

    kind: Kind
    conversation: int
    person: int
    draw: float


def cast(mixture: Mixture) -> list[tuple[int, ...]]:
    """The people of each conversation, the busiest conversation first.

    Seats are dealt in turn, direct conversations before groups: nobody sits twice in one, and no two people have two direct ones, which
    the server would make one of.

    Raises:
        ValueError: there are too few people for that.
    """
    sizes = sorted(mixture.sizes)
    if max(sizes) > mixture.people or 2 * sizes.count(2) > mixture.people:
        raise ValueError("too few people for these conversations")
    random = Random(f"cast {mixture.seed}")
    people = list(range(mixture.people))
    random.shuffle(people)
    seats = cycle(people)
    conversations = [tuple(islice(seats, size)) for size in sizes]
    random.shuffle(conversations)
    return conversations


def operations(mixture: Mixture, conversations: Sequence[Sequence[int]]) -> list[Operation]:
    """What is done, in order. A shorter run's is the beginning of a longer one's."""
    random = Random(f"operations {mixture.seed}")
    ranks = range(len(conversations))
    by_rank = list(accumulate(zipf(len(conversations), mixture.exponent)))
    kinds = list(SHARES)
    by_kind = list(accumulate(SHARES.values()))
    found: list[Operation] = []
    for _ in range(mixture.total):
        kind = random.choices(kinds, cum_weights=by_kind)[0]
        conversation = random.choices(ranks, cum_weights=by_rank)[0]
        found.append(Operation(kind, conversation, random.choice(conversations[conversation]), random.random()))
    return found


def zipf(count: int, exponent: float) -> list[float]:
    """Each rank's share: proportional to 1 / rank ** exponent; together 1."""
    raw = [rank**-exponent for rank in range(1, count + 1)]
    return [each / sum(raw) for each in raw]


def seats(conversations: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """(conversation, person) of everybody's every seat."""
    return list(chain.from_iterable(((number, person) for person in each) for number, each in enumerate(conversations)))
