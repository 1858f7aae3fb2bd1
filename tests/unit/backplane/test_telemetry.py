import pytest
import structlog

from backplane.telemetry import Repeats


def says(repeats: Repeats, event: str, method: str = "warning") -> dict[str, object] | None:
    try:
        return dict(repeats(None, method, {"event": event}))
    except structlog.DropEvent:
        return None


def test_equal_warnings_are_said_once_in_a_while_with_their_number():
    now = 0.0
    repeats = Repeats(quiet_seconds=5, clock=lambda: now)
    assert says(repeats, "away") == {"event": "away"}
    assert [says(repeats, "away") for _ in range(3)] == [None, None, None]
    assert says(repeats, "another") == {"event": "another"}
    now = 5.0
    assert says(repeats, "away") == {"event": "away", "repeated": 3}


@pytest.mark.parametrize("method", ["info", "error"])
def test_everything_else_passes(method: str):
    repeats = Repeats()
    assert [says(repeats, "x", method) for _ in range(2)] == [{"event": "x"}] * 2
