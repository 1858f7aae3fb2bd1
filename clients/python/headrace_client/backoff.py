"""How long to wait before trying again: full jitter, so that many clients that lost the same server come back spread out.

Source: Marc Brooker, “Exponential Backoff And Jitter”, AWS Architecture Blog, 2015.
"""

from collections.abc import Callable

RECONNECT_BASE_S = 0.5
RECONNECT_CAP_S = 20.0

Random = Callable[[], float]
"""Uniform in [0, 1)."""


def reconnect_delay(failures: int, random: Random, retry_after_s: float = 0.0) -> float:
    """Seconds before connection attempt `failures` + 1. A server's hint is a floor, and the jitter comes on top of it."""
    return retry_after_s + random() * min(RECONNECT_CAP_S, RECONNECT_BASE_S * 2 ** min(failures, 16))


def jittered(seconds: float, random: Random) -> float:
    """Between the time and a quarter more: for deadlines that must not be early."""
    return seconds * (1 + random() / 4)
