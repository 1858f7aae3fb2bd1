import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.buckets import Bucket
from schemas.limits import POLICIES, read_policies


def test_a_burst_then_one_by_one() -> None:
    bucket = Bucket(3, 6)
    assert [bucket.take(100) for _ in range(4)] == [0, 0, 0, 2]
    assert bucket.take(101) == 1
    assert [bucket.take(102) for _ in range(2)] == [0, 2]
    assert [bucket.take(200) for _ in range(4)] == [0, 0, 0, 2]


def test_what_costs_more_waits_longer_and_what_is_refused_takes_nothing() -> None:
    bucket = Bucket(4, 4)
    assert bucket.take(0, 3) == 0
    assert bucket.take(0, 3) == 2
    assert bucket.take(0, 1) == 0
    assert bucket.take(0, 5) == 5  # more than there ever is: never


@given(st.integers(1, 20), st.floats(0.1, 100), st.lists(st.floats(0, 30), max_size=60))
def test_never_more_than_the_burst_and_what_came_since(burst: int, seconds: float, pauses: list[float]) -> None:
    bucket, now, taken = Bucket(burst, seconds), 0.0, 0
    for pause in pauses:
        now += pause
        if bucket.take(now) == 0:
            taken += 1
        assert taken <= burst + now / (seconds / burst) + 1e-6
    assert Bucket(burst, seconds).take(now) == 0


def test_the_setting_changes_rows_and_switches_them_off() -> None:
    changed = read_policies(" send=5/1, login=off ")
    assert (changed["send"].burst, changed["send"].seconds, changed["send"].interval_us) == (5, 1, 200_000)
    assert "login" not in changed
    assert changed["change"] == POLICIES["change"]
    assert read_policies("off") == {}
    assert read_policies("") == POLICIES


@pytest.mark.parametrize(
    "text", ["sends=1/1", "send", "send=", "send=0/1", "send=1/0", "send=1", "send=-1/1", "send=1/x"]
)
def test_a_setting_of_another_form_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no rate limit|how many / seconds"):
        read_policies(text)
