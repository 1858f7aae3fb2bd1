"""Where a download that was cut goes on, and when it begins anew."""

import pytest

from headrace_client.ranges import Place, follow

HALF = Place(500, 1000, '"one"')
RIGHT = {"content-range": "bytes 500-999/1000", "etag": '"one"'}


def test_a_whole_answer_begins_anew_whatever_was_asked_for() -> None:
    assert follow(HALF, 200, {"content-length": "1000", "etag": '"two"'}) == Place(0, 1000, '"two"')
    assert follow(Place(), 200, {}) == Place(0, None, None)


def test_the_rest_of_the_same_object_goes_on() -> None:
    assert follow(HALF, 206, RIGHT) == HALF


@pytest.mark.parametrize(
    "wrong",
    [
        {"etag": '"two"'},
        {"content-range": "bytes 400-999/1000"},
        {"content-range": "bytes 500-899/1000"},
        {"content-range": "bytes 500-1999/2000"},
        {"content-range": "bytes 500-999/*"},
        {"content-range": "bytes */1000"},
        {"content-range": ""},
    ],
)
def test_any_other_part_or_object_belongs_nowhere(wrong: dict[str, str]) -> None:
    assert follow(HALF, 206, RIGHT | wrong) is None


def test_the_rest_is_asked_for_only_of_a_version_that_is_known() -> None:
    assert HALF.headers() == {"Range": "bytes=500-"}
    assert Place(500, 1000).headers() == {}
    assert Place(0, 1000, '"one"').headers() == {}
    assert HALF.after(20) == Place(520, 1000, '"one"')
