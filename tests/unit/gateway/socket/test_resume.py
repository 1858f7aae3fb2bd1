"""Every row of the table in protocol §1, “Resume”."""

import pytest

from backplane.logs import Head
from gateway.socket.resume import refusal
from schemas.ids import Position

EPOCH, OTHER = 1_795_000_000_000_123, 1_795_000_000_000_124


def head(offset: int, first: int | None = 1) -> Head:
    return Head(Position(EPOCH, offset), first)


@pytest.mark.parametrize(
    ("asked", "log", "expected"),
    [
        pytest.param(None, head(10), "fresh", id="no resume"),
        pytest.param(Position(OTHER, 10), head(10), "epoch_changed", id="epoch differs"),
        pytest.param(Position(OTHER, 10**15), head(10), "epoch_changed", id="epoch differs, and the offset is ahead"),
        pytest.param(Position(EPOCH, 11), head(10), "position_ahead", id="offset > head"),
        pytest.param(Position(EPOCH, 10), head(10), None, id="offset = head"),
        pytest.param(Position(EPOCH, 10), head(10, None), None, id="offset = head, every entry trimmed"),
        pytest.param(Position(EPOCH, 0), head(0, 0), None, id="offset = head, only the marker"),
        pytest.param(Position(EPOCH, 4), head(10, 5), None, id="entry offset+1 is still there"),
        pytest.param(Position(EPOCH, 0), head(5, 0), None, id="everything since the marker"),
        pytest.param(Position(EPOCH, 3), head(10, 5), "position_trimmed", id="entry offset+1 is trimmed"),
        pytest.param(Position(EPOCH, 9), head(10, None), "position_trimmed", id="everything is trimmed"),
        pytest.param(Position(EPOCH, 4), head(10, 0), None, id="as far behind as allowed"),
        pytest.param(Position(EPOCH, 3), head(10, 0), "backlog_too_large", id="more than the bound behind"),
    ],
)
def test_a_resume_is_whole_or_refused_with_a_reason(asked: Position | None, log: Head, expected: str | None):
    assert refusal(asked, log, max_entries=6) == expected


def test_a_slow_connection_may_be_any_distance_behind():
    assert refusal(Position(EPOCH, 0), head(10_000, 0)) is None
