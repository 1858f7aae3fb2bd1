"""How a runner slows down under trouble, and that it comes back at once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.pace import Pace, retry_seconds


def test_each_failure_halves_the_batch_down_to_one() -> None:
    """B11: a batch that is too much for the database's time limit becomes small enough, however large it was."""
    pace = Pace(500)
    sizes = [pace.batch]
    for _ in range(10):
        pace.slower()
        sizes.append(pace.batch)
    assert sizes == [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1]


def test_one_success_is_full_speed_again() -> None:
    """B11"""
    pace = Pace(64)
    for _ in range(5):
        pace.slower()
    pace.recovered()
    assert pace.batch == 64
    assert 0.05 <= pace.slower() <= 0.1, "the wait begins anew, too"
    assert pace.batch == 32


@given(full=st.integers(1, 5000), failures=st.integers(1, 30))
def test_a_batch_is_never_empty_and_waits_double_up_to_five_seconds_with_jitter(full: int, failures: int) -> None:
    """B11"""
    pace = Pace(full)
    for number in range(failures):
        ceiling = min(5.0, 0.1 * 2**number)
        assert ceiling / 2 <= pace.slower() <= ceiling
        assert 1 <= pace.batch <= full


@pytest.mark.parametrize("first", [0.05, 0.5])
def test_a_failed_entry_waits_twice_as_long_each_time_and_at_most_ten_seconds(first: float) -> None:
    waits = [retry_seconds(attempts, first) for attempts in range(1, 12)]
    assert waits[0] == first
    assert all(later == min(10.0, 2 * sooner) for sooner, later in pairwise(waits))
