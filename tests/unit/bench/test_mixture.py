"""What the seed decides about the mixed scenario."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.mixture import SHARES, SIZES, Mixture, cast, operations, seats, zipf


def mixture(seed: int = 1, *, seconds: float = 8.0, rate: float = 100.0) -> Mixture:
    return Mixture(rate=rate, seconds=seconds, seed=seed)


def test_same_seed_is_the_same_run() -> None:
    one, other = mixture(7), mixture(7)
    assert cast(one) == cast(other)
    assert operations(one, cast(one)) == operations(other, cast(other))


def test_other_seed_is_another_run() -> None:
    assert cast(mixture(7)) != cast(mixture(8))


def test_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    short, long = mixture(seconds=2), mixture(seconds=8)
    assert operations(long, cast(long))[: short.total] == operations(short, cast(short))


@given(st.integers(0, 2**64))
def test_nobody_sits_twice_in_one_and_no_two_people_share_two_direct_ones(seed: int) -> None:
    conversations = cast(mixture(seed))
    assert sorted(map(len, conversations)) == sorted(SIZES)
    assert all(len(set(each)) == len(each) for each in conversations)
    direct = [frozenset(each) for each in conversations if len(each) == 2]
    assert len(set(direct)) == len(direct)
    assert {person for _, person in seats(conversations)} == set(range(60))


@given(st.integers(0, 2**64))
def test_whoever_does_something_is_a_member(seed: int) -> None:
    plan = mixture(seed, seconds=1)
    conversations = cast(plan)
    assert all(each.person in conversations[each.conversation] for each in operations(plan, conversations))


def test_kinds_come_in_their_shares() -> None:
    plan = mixture(seconds=200)
    counts = Counter(each.kind for each in operations(plan, cast(plan)))
    assert sum(SHARES.values()) == pytest.approx(1)
    for kind, share in SHARES.items():
        assert counts[kind] / plan.total == pytest.approx(share, abs=0.015)


def test_conversations_come_by_their_rank() -> None:
    plan = mixture(seconds=200)
    counts = Counter(each.conversation for each in operations(plan, cast(plan)))
    shares = zipf(len(SIZES), plan.exponent)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] / shares[9] == pytest.approx(10**1.1)
    assert counts[0] / plan.total == pytest.approx(shares[0], abs=0.015)


def test_more_direct_conversations_than_pairs_of_people_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        cast(Mixture(rate=1, seconds=1, seed=1, people=3, sizes=(2, 2)))
