"""What a mixed run's records come to."""

import json
import math

import pytest

from bench.history import Promised
from bench.mixed_findings import MixedRecords, find_mixed
from bench.mixture import Kind, Mixture, Operation
from bench.report import as_json, verdict

KINDS: tuple[Kind, ...] = ("send", "edit", "send", "react", "read", "type")
PLAN = Mixture(rate=1.0, seconds=4.0, warmup_s=2.0, seed=1)
PROMISED = Promised(members={}, counts={}, changes={}, reads={})


def records() -> MixedRecords:
    """A warm-up of two, whose figures are too bad to be overlooked, and four that are measured."""
    never = [math.nan] * 2
    return MixedRecords(
        plan=PLAN,
        operations=[Operation(kind, 0, 0, 0.0) for kind in KINDS],
        lag=[9.0, 9.0, 0.001, 0.001, 0.001, 0.001],
        accepted=[9.0, 9.0, 0.010, 0.900, *never],
        stored=[9.0, math.nan, 0.020, math.nan, *never],
        changed=[math.nan, 9.0, math.nan, 0.030, *never],
        delivered=[0.040],
        changed_elsewhere=[0.050],
    )


def test_warm_up_is_not_measured_and_accepted_is_of_sends_alone() -> None:
    found = find_mixed(records(), PROMISED, {})
    each = (found.accepted, found.stored, found.delivered, found.changed, found.changed_elsewhere)
    assert [(one.count, one.max_ms) for one in each] == [(1, pytest.approx(ms)) for ms in (10, 20, 40, 30, 50)]
    assert found.valid


def test_rates_are_of_what_was_stored_and_done_while_it_was_measured() -> None:
    found = find_mixed(records(), PROMISED, {})
    assert (found.messages_per_s, found.operations_per_s, found.deliveries_per_s) == (0.25, 1.0, 0.25)
    assert (found.messages, found.operations, found.by_kind["edit"]) == (2, 6, 1)


def test_skipped_operations_are_not_counted_as_done() -> None:
    seen = records()
    seen.skipped = {1, 3}
    found = find_mixed(seen, PROMISED, {})
    assert (found.operations, found.operations_per_s, found.by_kind["react"]) == (4, 0.75, 0)


def test_verdict_names_what_was_wrong() -> None:
    promised = Promised(members={"c": ("a", "b")}, counts={}, changes={3: "c"}, reads={("c", "a"): 1})
    assert verdict(find_mixed(records(), promised, {})) == "2 unseen changes, 2 receipts behind"


def test_finding_as_json_says_what_the_table_says() -> None:
    (row,) = json.loads(as_json([find_mixed(records(), PROMISED, {"redis": 7.0})]))
    assert (row["scenario"], row["seed"], row["clean"], row["valid"]) == ("mixed", 1, True, True)
    assert row["by_kind"] == {"send": 2, "edit": 1, "react": 1, "read": 1, "type": 1}
    assert row["cpu_us_per_operation"] == {"redis": 7.0}


def test_late_generator_makes_the_figures_invalid() -> None:
    seen = records()
    seen.lag[3] = 0.006
    assert verdict(find_mixed(seen, PROMISED, {})).startswith("INVALID")
