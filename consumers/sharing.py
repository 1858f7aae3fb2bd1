"""How many partitions are mine: every worker computes the same even division from the same picture. Pure.

With P partitions and W workers each has P // W, and P mod W of them one more. Whoever has too much gives back; whoever has
too little takes what is free. Nobody is told what to do, and a wrong picture costs only a later round.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker does in one round: give these back, try to take these, in this order."""

    give: list[int]
    take: list[int]


def share(me: str, partitions: int, workers: int, owners: Mapping[int, str]) -> Share:
    """Divide `partitions` among `workers` live ones, given who holds what now.

    Two workers may both think that they are among those with one more; the extra ones, by name, give theirs back next round.
    One more is only taken from what is left once everybody has P // W: else the quick would take it from the poor, and give it back,
    for ever.
    """
    floor, extras = divmod(partitions, max(workers, 1))
    held = Counter(owners.values())
    mine = sorted(partition for partition, owner in owners.items() if owner == me)
    free = in_my_order(me, [partition for partition in range(partitions) if partition not in owners])
    heavy = sorted(worker for worker, count in held.items() if count > floor)
    quota = floor + 1 if me in heavy[:extras] else floor
    wanted_by_others = floor * (workers - 1) - sum(min(count, floor) for worker, count in held.items() if worker != me)
    spare = len(free) - max(0, wanted_by_others) - max(0, floor - len(mine))
    may_have_one_more = me not in heavy and len(heavy) < extras and spare > 0
    return Share(give=mine[quota:], take=free[: max(0, quota + may_have_one_more - len(mine))])


def in_my_order(me: str, partitions: Collection[int]) -> list[int]:
    """The partitions in an order of this worker's own, so that workers that start together seldom bid for the same."""
    return sorted(partitions, key=lambda partition: zlib.crc32(f"{me}:{partition}".encode()))
