"""Whether and when a transfer is tried again."""

import pytest

from headrace_client import ApiError, Unreachable
from headrace_client.tries import MOST_TRIES, StoreRefusal, Tries

LOST = Unreachable("lost")


def tries(hopeless: frozenset[str] = frozenset()) -> Tries:
    return Tries(60, 0.0, hopeless, random=lambda: 1.0)


def api(code: str = "unavailable", *, temporary: bool = True, retry_after_s: float | None = None) -> ApiError:
    return ApiError(503, code, "No.", temporary=temporary, retry_after_s=retry_after_s)


def test_a_lost_connection_is_tried_again_later_and_later() -> None:
    once = tries()
    assert [once.delay_after(LOST, 0.0) for _ in range(7)] == [0.5, 1, 2, 4, 8, 16, 20]


def test_what_the_server_asks_for_is_waited_for_at_least() -> None:
    assert tries().delay_after(api(retry_after_s=7), 0.0) == 7.5


def test_what_lasts_is_raised() -> None:
    for failure in (api("quota_exceeded", temporary=False), api("scanner_unavailable")):
        with pytest.raises(ApiError) as raised:
            tries(frozenset({"scanner_unavailable"})).delay_after(failure, 0.0)
        assert raised.value is failure


def test_the_store_may_refuse_once_because_what_it_was_shown_has_expired() -> None:
    refusal = StoreRefusal(403, "upload_refused", "No.")
    once = tries()
    once.delay_after(refusal, 0.0)
    with pytest.raises(StoreRefusal):
        once.delay_after(refusal, 1.0)
    once = tries()
    once.delay_after(refusal, 0.0)
    once.advanced(1.0)
    once.delay_after(refusal, 2.0)


def test_it_goes_on_for_as_long_as_it_gets_further() -> None:
    once = tries()
    once.delay_after(LOST, 59.0)
    with pytest.raises(Unreachable):
        once.delay_after(LOST, 59.5)
    once.advanced(100.0)
    assert once.delay_after(LOST, 159.0) == 0.5


def test_an_upload_that_moves_again_from_its_start_is_not_given_up() -> None:
    once = tries()
    once.advanced(10.0)
    once.delay_after(LOST, 20.0)
    once.moved(200.0)
    assert once.delay_after(LOST, 230.0) == 1.0, "what failed still counts"


def test_tries_of_which_none_comes_further_end() -> None:
    once = tries()
    for n in range(MOST_TRIES):
        once.moved(100.0 * n)
        once.delay_after(LOST, 100.0 * n)
    once.moved(100.0 * MOST_TRIES)
    with pytest.raises(Unreachable):
        once.delay_after(LOST, 100.0 * MOST_TRIES)
