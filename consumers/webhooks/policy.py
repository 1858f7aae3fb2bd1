"""How long to wait after a failed delivery, when to give it up, and when to disable its webhook. Pure: clock and chance are arguments."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from backplane.settings import Settings

LONGEST_WAIT_SECONDS: Final = 300.0
FEWEST_FAILURES: Final = 10
"""Before a webhook is disabled for its age alone: one event a day that fails once is no dead receiver."""
GONE: Final = 410


class Limits(NamedTuple):
    """The bounds of sending, as in the settings."""

    retry_seconds: float
    give_up_seconds: float
    disable_seconds: float
    disable_failures: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Those of a process."""
        return cls(
            settings.webhooks_retry_seconds,
            settings.webhooks_give_up_seconds,
            settings.webhooks_disable_seconds,
            settings.webhooks_disable_failures,
        )


class Record(NamedTuple):
    """How sending to a webhook went before this attempt."""

    failures: int
    failing_since_ms: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a failed attempt: whether the delivery is given up, and why its webhook is disabled, if it is."""

    give_up: bool
    disable: str | None = None


def fault_of(status: int) -> str | None:
    """What is wrong with an answer; None for 2xx, the only ones that count as delivered."""
    return None if 200 <= status < 300 else f"answered {status}"


def wait_seconds(failures: int, first_seconds: float, draw: float) -> float:
    """Full jitter: a part `draw` ∈ [0, 1) of `first_seconds`, doubled for each further failure in a row, at most 300 s.

    Source: M. Brooker, “Exponential Backoff And Jitter”, AWS Architecture Blog.
    """
    return draw * min(LONGEST_WAIT_SECONDS, first_seconds * 2.0 ** min(failures - 1, 32))


def judge(status: int | None, record: Record, *, parked_ms: int, now_ms: int, limits: Limits) -> Verdict:
    """Judge an attempt that failed just now; `status` is None if there was no answer."""
    failures = record.failures + 1
    failing_ms = now_ms - (now_ms if record.failing_since_ms is None else record.failing_since_ms)
    give_up = now_ms - parked_ms >= limits.give_up_seconds * 1000
    if status == GONE:
        return Verdict(give_up, "the receiver answered 410 Gone")
    if failures >= limits.disable_failures:
        return Verdict(give_up, f"{failures} attempts in a row failed")
    if failing_ms >= limits.disable_seconds * 1000 and failures >= FEWEST_FAILURES:
        return Verdict(give_up, f"nothing got through for {limits.disable_seconds / 3600:g} h")
    return Verdict(give_up)
