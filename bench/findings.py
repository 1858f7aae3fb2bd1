"""From what the generator saw to what it means. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.pace import Schedule

LATE_MS = 5.0
"""A generator whose own schedule slips by more, at the 99th percentile, measured itself."""
MAX_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the intended moment."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Correctness:
    """What was wrong; all zero if nothing was."""

    missing: int = 0
    """(member, message) pairs that never arrived."""
    doubled: int = 0
    """Arrivals of what had arrived before. The wire allows it after a crash or a resend; in a run without either nothing excuses it."""
    disordered: int = 0
    """Arrivals below a number that the same member had seen."""
    gaps: int = 0
    """Numbers of a conversation that no message has."""
    refused: int = 0
    """Sends that the server did not take."""
    unanswered: int = 0
    """Sends without any reply."""

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(asdict(self).values())


@dataclass(frozen=True, slots=True)
class Finding:
    """One scenario at one rate."""

    scenario: str
    rate: float
    seconds: float
    members: int
    messages: int
    deliveries: int
    messages_per_s: float
    deliveries_per_s: float
    accepted: Latency
    stored: Latency
    delivered: Latency
    lost_connections: int
    lag_p99_ms: float
    correctness: Correctness
    cpu_us_per_message: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def valid(self) -> bool:
        """Whether the generator kept its own schedule."""
        return self.lag_p99_ms <= LATE_MS


def rate_within(schedule: Schedule, seconds: Sequence[float]) -> float:
    """How many a second were done within the measured time, by the moment when each was done.

    Args:
        schedule: when each was meant to be begun, and what is measured.
        seconds: one entry an operation: how long after that moment it was done; NaN: never, or not one of those that count.
    """
    moments = (number / schedule.rate + took for number, took in enumerate(seconds))
    return sum(0 <= moment - schedule.warmup_s < schedule.seconds for moment in moments) / schedule.seconds


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles, to three digits, of latencies in seconds; those that never came (NaN) are counted elsewhere."""
    histogram: Any = HdrHistogram(1, MAX_US, 3)  # untyped
    known = [each for each in seconds if not math.isnan(each)]
    for each in known:
        histogram.record_value(min(MAX_US, max(1, round(each * 1e6))))
    if not known:
        return Latency(0, math.nan, math.nan, math.nan, math.nan)
    p50, p99, p999 = (histogram.get_value_at_percentile(p) / 1000 for p in (50, 99, 99.9))
    return Latency(len(known), p50, p99, p999, max(known) * 1000)


def check(
    arrivals: Mapping[tuple[str, str], Sequence[int]], counts: Mapping[str, int], *, refused: int, unanswered: int
) -> Correctness:
    """Judge who saw what.

    Args:
        arrivals: (conversation, member) → the `seq` of every arrival, as it came; members who saw nothing included.
        counts: conversation → how many messages it holds, by the server's own count.
        refused: sends that got an error.
        unanswered: sends that got nothing.
    """
    missing = doubled = disordered = 0
    seen: dict[str, set[int]] = {conversation: set() for conversation in counts}
    for (conversation, _), numbers in arrivals.items():
        unique: set[int] = set()
        newest = 0
        for number in numbers:
            if number in unique:
                doubled += 1
            elif number < newest:
                disordered += 1
            unique.add(number)
            newest = max(newest, number)
        missing += counts[conversation] - len(unique)
        seen[conversation] |= unique
    gaps = sum(len(set(range(1, count + 1)) ^ seen[conversation]) for conversation, count in counts.items())
    return Correctness(missing, doubled, disordered, gaps, refused, unanswered)
