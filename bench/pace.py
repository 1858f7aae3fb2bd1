"""When things leave, and how long stragglers are waited for: the open loop itself, whatever it sends."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

QUIET_S = 10.0
"""After the last send: how long stragglers are waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`rate` operations a second for `seconds`, after a warm-up that counts for correctness and cost alone."""

    rate: float
    seconds: float
    warmup_s: float = 2.0

    @property
    def total(self) -> int:
        """Operations, those of the warm-up included."""
        return round(self.rate * (self.warmup_s + self.seconds))

    @property
    def warmup(self) -> int:
        """Operations of the warm-up."""
        return round(self.rate * self.warmup_s)


async def paced(schedule: Schedule, act: Callable[[int, float], None]) -> list[float]:
    """Call `act(number, intended moment)` on schedule, whatever the server does; returns how many seconds late each was done."""
    start = time.perf_counter() + 0.1
    lag: list[float] = []
    for number in range(schedule.total):
        due = start + number / schedule.rate
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        act(number, due)
        lag.append(time.perf_counter() - due)
    return lag


async def settled(heard: Callable[[], int], whole: Callable[[], bool]) -> bool:
    """Wait until everything arrived; False if that is not so and nothing new has come for `QUIET_S`."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        count = heard()
        if whole():
            return True
        if count != seen:
            seen, since = count, time.monotonic()
        await asyncio.sleep(0.05)
    return False
