import pytest
import structlog

from backplane.telemetry import MASK, Repeats, mask_secrets


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


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"token": "abc"}, {"token": MASK}),
        ({"refresh_token": "abc", "user_id": "u"}, {"refresh_token": MASK, "user_id": "u"}),
        ({"new_password": "x", "Authorization": "y"}, {"new_password": MASK, "Authorization": MASK}),
        ({"error": "got eyJhbGciOiJFZERTQSJ9.eyJz.sig-1 there"}, {"error": f"got {MASK} there"}),
        ({"error": "Authorization: Bearer abc.def"}, {"error": f"Authorization: {MASK}"}),
        ({"exception": "redis://user:pa55@host/0 away"}, {"exception": f"redis://{MASK}@host/0 away"}),
        ({"error": "https://host:443/a@b"}, {"error": "https://host:443/a@b"}),
        ({"error": "hrb_0123456789abcdefghij refused"}, {"error": f"{MASK} refused"}),
        ({"partition": 3, "event": "tokens expire"}, {"partition": 3, "event": "tokens expire"}),
    ],
)
def test_what_looks_like_a_secret_is_masked(event: dict[str, object], shown: dict[str, object]):
    assert mask_secrets(None, "info", event) == shown
