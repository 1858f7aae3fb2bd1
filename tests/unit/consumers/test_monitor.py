"""What a consumer shows of itself, while its event loop turns and when it does not."""

import pytest

from consumers.monitor import STUCK_SECONDS, Pages, Pulse


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(clock)


def test_health_is_good_until_the_loop_stands_still_and_again_once_it_turns(clock: Clock, pulse: Pulse) -> None:
    pages = Pages(pulse)
    assert pages.answer("GET", "/health") == ("200 OK", "application/json", b'{"status":"ok"}')
    clock.now += STUCK_SECONDS + 1
    status, _, body = pages.answer("GET", "/health")
    assert (status, body) == ("503 Service Unavailable", b'{"status":"stuck","silent_seconds":31.0}')
    assert pages.answer("GET", "/metrics")[0] == "200 OK", "figures are there when they are wanted most"
    pulse.beat()
    assert pages.answer("GET", "/health")[0] == "200 OK"


def test_metrics_are_at_their_address_alone(pulse: Pulse) -> None:
    status, kind, body = Pages(pulse).answer("GET", "/metrics")
    assert (status, kind.partition(";")[0]) == ("200 OK", "text/plain")
    assert b"headrace_partitions_owned" in body
    assert Pages(pulse).answer("GET", "/")[0] == "404 Not Found"
    assert Pages(pulse).answer("POST", "/metrics")[0] == "405 Method Not Allowed"
