"""The open loop keeps its schedule, whatever is done meanwhile."""

import asyncio
import time
from itertools import pairwise

import pytest

from bench.pace import Schedule, paced, settled


def test_stall_makes_what_follows_late_and_moves_no_intended_moment() -> None:
    dues: list[float] = []

    def act(number: int, due: float) -> None:
        dues.append(due)
        if number == 1:
            time.sleep(0.05)

    lag = asyncio.run(paced(Schedule(rate=100.0, seconds=0.04, warmup_s=0.02), act))
    assert len(lag) == 6
    assert [after - before for before, after in pairwise(dues)] == pytest.approx([0.01] * 5)
    assert lag[2] >= 0.035


def test_what_is_whole_is_not_waited_for() -> None:
    assert asyncio.run(settled(lambda: 0, lambda: True))
