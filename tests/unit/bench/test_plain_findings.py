"""What a run of messages alone comes to."""

import json
import math

import pytest

from bench.__main__ import find
from bench.load import Plan, Records
from bench.report import as_json, print_tables, verdict

PLAN = Plan(scenario="direct", group=2, groups=1, rate=1.0, seconds=4.0, warmup_s=2.0)


def records() -> Records:
    """Two messages of the warm-up and four that are measured; the last is stored when nothing is measured any more."""
    return Records(
        PLAN,
        lag=[9.0, 9.0, 0.001, 0.001, 0.001, 0.001],
        accepted=[9.0, 9.0, 0.010, 0.010, 0.010, 0.010],
        stored=[0.5, 0.5, 0.020, 0.020, 0.020, 1.5],
        delivered=[0.030] * 4,
        arrivals={("c", "a"): [1, 2, 3, 4, 5, 6], ("c", "b"): [1, 2, 3, 4, 5, 6]},
        counts={"c": 6},
    )


def test_messages_a_second_are_measured_and_not_planned() -> None:
    found = find(records(), {})
    assert (found.rate, found.messages_per_s) == (1.0, 0.75)
    assert (found.accepted.count, found.stored.count, found.deliveries) == (4, 4, 12)
    assert (verdict(found), found.valid) == ("clean", True)


def test_a_doubled_arrival_makes_a_run_unclean() -> None:
    seen = records()
    seen.arrivals["c", "b"].insert(3, 3)
    found = find(seen, {})
    assert (found.correctness.clean, verdict(found)) == (False, "1 doubled")


def test_lost_connections_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    seen = records()
    seen.lost_connections = 2
    found = find(seen, {"redis": 7.0})
    assert verdict(found) == "clean (2 connections lost)"
    (row,) = json.loads(as_json([found]))
    assert (row["lost_connections"], row["messages_per_s"], row["clean"]) == (2, 0.75, True)
    print_tables([found])
    lines = {line[:30].strip(): line[30:].split() for line in capsys.readouterr().out.splitlines()}
    assert (lines["connections lost"], lines["messages/s"]) == (["2"], ["0.8"])


def test_a_message_without_an_answer_is_unanswered_unless_it_was_refused() -> None:
    seen = records()
    seen.accepted[4:] = [math.nan, math.nan]
    seen.refused = 1
    found = find(seen, {}).correctness
    assert (found.refused, found.unanswered, found.clean) == (1, 1, False)
