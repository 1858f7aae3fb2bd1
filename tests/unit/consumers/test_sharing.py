"""Every worker divides alike: whatever the start, a few rounds lead to an even division that stays."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumers.sharing import share

WORKERS = [f"worker-{number}" for number in range(12)]


def round_of_all(owners: dict[int, str], workers: list[str], partitions: int) -> None:
    """One round: everybody acts on the same picture, then gives and takes one after the other."""
    picture = dict(owners)
    plans = {worker: share(worker, partitions, len(workers), picture) for worker in workers}
    for plan in plans.values():
        for partition in plan.give:
            del owners[partition]
    for worker, plan in plans.items():
        for partition in plan.take:
            owners.setdefault(partition, worker)


@example(partitions=10, count=8, start={})
@given(
    partitions=st.integers(1, 40),
    count=st.integers(1, 12),
    start=st.dictionaries(st.integers(0, 39), st.sampled_from(WORKERS), max_size=40),
)
@settings(max_examples=500)
def test_any_start_becomes_even_and_stays(partitions: int, count: int, start: dict[int, str]) -> None:
    workers = WORKERS[:count]
    # Leases of the dead have run out; those of the living may be anyhow.
    owners = {partition: owner for partition, owner in start.items() if partition < partitions and owner in workers}
    for _ in range(12):
        round_of_all(owners, workers, partitions)
    assert sorted(owners) == list(range(partitions))
    counts = [list(owners.values()).count(worker) for worker in workers]
    assert max(counts) - min(counts) <= 1
    settled = dict(owners)
    round_of_all(owners, workers, partitions)
    assert owners == settled


def test_a_worker_alone_takes_everything() -> None:
    assert sorted(share("a", 16, 1, {}).take) == list(range(16))


def test_a_newcomer_gets_its_part_only_after_it_was_given_back() -> None:
    owners = dict.fromkeys(range(4), "old")
    assert share("new", 4, 2, owners).take == []
    assert share("old", 4, 2, owners).give == [2, 3]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_registry_that_lost_us_counts_as_one(workers: int) -> None:
    assert len(share("a", 4, workers, {}).take) == 4
