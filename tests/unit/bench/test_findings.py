"""The bench's own judgement, with histories that are wrong on purpose."""

import math

import pytest

from bench.findings import check, latency, rate_within
from bench.pace import Schedule

WHOLE = {("c", "a"): [1, 2, 3], ("c", "b"): [1, 2, 3]}


def test_whole_history_is_clean() -> None:
    found = check(WHOLE, {"c": 3}, refused=0, unanswered=0)
    assert found.clean
    assert found.doubled == 0


def test_repeat_on_the_wire_is_not_clean() -> None:
    found = check({("c", "a"): [1, 2, 1, 3]}, {"c": 3}, refused=0, unanswered=0)
    assert (found.doubled, found.disordered, found.clean) == (1, 0, False)


def test_message_that_one_member_never_saw_is_missing() -> None:
    found = check(WHOLE | {("c", "b"): [1, 3]}, {"c": 3}, refused=0, unanswered=0)
    assert (found.missing, found.clean) == (1, False)


def test_member_who_saw_nothing_misses_everything() -> None:
    assert check(WHOLE | {("c", "b"): []}, {"c": 3}, refused=0, unanswered=0).missing == 3


def test_number_that_nobody_has_is_a_gap() -> None:
    found = check({("c", "a"): [1, 3], ("c", "b"): [1, 3]}, {"c": 3}, refused=0, unanswered=0)
    assert (found.gaps, found.missing) == (1, 2)


def test_lower_number_after_a_higher_one_is_disorder() -> None:
    assert check({("c", "a"): [1, 3, 2]}, {"c": 3}, refused=0, unanswered=0).disordered == 1


@pytest.mark.parametrize("wrong", [{"refused": 1, "unanswered": 0}, {"refused": 0, "unanswered": 1}])
def test_sends_without_a_yes_are_not_clean(wrong: dict[str, int]) -> None:
    assert not check(WHOLE, {"c": 3}, **wrong).clean


def test_percentiles_are_right_to_three_digits() -> None:
    found = latency([n / 1000 for n in range(1, 1001)] + [math.nan])
    assert found.count == 1000
    assert found.p50_ms == pytest.approx(500, rel=0.002)
    assert found.p99_ms == pytest.approx(990, rel=0.002)
    assert found.max_ms == 1000


def test_rate_is_of_what_was_done_while_it_was_measured() -> None:
    """Four begun in the warm-up, eight while it is measured; a server that keeps up does as many in as long a time."""
    schedule = Schedule(rate=2.0, seconds=4.0, warmup_s=2.0)
    assert rate_within(schedule, [0.1] * 12) == 2.0
    assert rate_within(schedule, [0.6] * 12) == 2.0  # one of the warm-up comes late, one of the rest too late


def test_rate_of_a_server_that_falls_behind_is_its_own_and_not_the_plan_s() -> None:
    schedule = Schedule(rate=2.0, seconds=4.0, warmup_s=0.0)
    behind = [number * 0.5 + 0.1 for number in range(8)]  # it does one a second, whatever is asked
    assert rate_within(schedule, behind) == 1.0
    assert rate_within(schedule, [*behind[:2], *[math.nan] * 6]) == 0.5
