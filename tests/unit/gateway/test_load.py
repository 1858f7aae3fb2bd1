"""B10, B13: when a gateway takes no more intents."""

import pytest

from backplane.streams import StageLag
from gateway.load import judge


def lag(stage: str = "persist", oldest_ms: int | None = 0) -> StageLag:
    return StageLag(stage, 3, 5, 2, oldest_ms)


def verdict(*lags: StageLag, ratio: float = 0.1) -> str | None:
    return judge(lags, ratio, overload_seconds=10, memory_limit_ratio=0.8)


def test_a_server_that_keeps_up_is_not_overloaded():
    assert verdict(lag("persist", 9_999), lag("fanout", 0)) is None
    assert verdict() is None


@pytest.mark.parametrize("stage", ["persist", "fanout"])
def test_it_is_overloaded_once_the_oldest_entry_of_any_required_stage_is_too_old(stage: str):
    """B13"""
    reason = verdict(lag("persist"), lag("fanout"), lag(stage, 10_000))
    assert reason is not None
    assert stage in reason


def test_an_unknown_lag_counts_as_too_much():
    """B13"""
    assert verdict(lag(oldest_ms=None)) is not None


def test_an_optional_stage_holds_nobody_up():
    assert verdict(lag("webhooks", None), lag("webhooks", 10**9)) is None


def test_it_is_overloaded_before_redis_is_full():
    """B10"""
    assert verdict(lag(), ratio=0.79) is None
    assert verdict(lag(), ratio=0.8) is not None
