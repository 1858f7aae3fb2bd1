from hypothesis import given
from hypothesis import strategies as st

from consumers.webhooks.policy import (
    FEWEST_FAILURES,
    LONGEST_WAIT_SECONDS,
    Limits,
    Record,
    Verdict,
    fault_of,
    judge,
    wait_seconds,
)

LIMITS = Limits(retry_seconds=5, give_up_seconds=900, disable_seconds=86400, disable_failures=2000)
NOW = 1_795_000_000_000
DAY = 86_400_000


def verdict(status: int | None = 500, *, failures: int = 0, since: int | None = None, parked: int = NOW) -> Verdict:
    return judge(status, Record(failures, since), parked_ms=parked, now_ms=NOW, limits=LIMITS)


def test_only_2xx_counts_as_delivered() -> None:
    assert {status for status in range(100, 600) if fault_of(status) is None} == set(range(200, 300))


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_a_bound_and_are_fully_jittered(failures: int, draw: float) -> None:
    waited = wait_seconds(failures, 5, draw)
    assert 0 <= waited <= min(LONGEST_WAIT_SECONDS, 5 * 2 ** min(failures - 1, 20))
    assert wait_seconds(failures, 5, 0.0) == 0


def test_a_first_failure_is_tried_again() -> None:
    assert verdict() == Verdict(give_up=False)


def test_a_delivery_is_given_up_once_its_time_is_over() -> None:
    assert not verdict(parked=NOW - 899_999).give_up
    assert verdict(parked=NOW - 900_000) == Verdict(give_up=True)


def test_a_webhook_without_success_for_long_is_disabled() -> None:
    assert verdict(failures=50, since=NOW - DAY + 1).disable is None
    assert verdict(failures=50, since=NOW - DAY).disable == "nothing got through for 24 h"


def test_one_failure_after_a_quiet_day_disables_nothing() -> None:
    assert verdict(failures=1, since=NOW - 5 * DAY).disable is None
    assert verdict(failures=FEWEST_FAILURES - 1, since=NOW - 5 * DAY).disable


def test_too_many_failures_in_a_row_disable_whatever_the_time() -> None:
    assert verdict(failures=1998, since=NOW - 1).disable is None
    assert verdict(failures=1999, since=NOW - 1).disable == "2000 attempts in a row failed"


def test_a_receiver_that_is_gone_says_so() -> None:
    assert verdict(410).disable == "the receiver answered 410 Gone"
