"""What the doctor says of a MongoDB, by what that says of itself."""

from dataclasses import replace

import pytest

from backplane.errors import Transient
from backplane.inspection.checks import Check
from backplane.inspection.mongodb import judge, unreachable
from backplane.store.facts import MongoFacts

GOOD = MongoFacts(version="7.0.14", set_name="rs0", members=3, round_trip_ms=1.2)


def judged(*, production: bool = True, **facts: object) -> dict[str, Check]:
    checks = judge(replace(GOOD, **facts), production=production)  # type: ignore[arg-type]
    for check in checks:
        assert (check.fix is None) is (check.level == "ok"), check
    return {check.what: check for check in checks}


def found(*, production: bool = True, **facts: object) -> dict[str, str]:
    checks = judged(production=production, **facts).values()
    return {check.what: check.level for check in checks if check.level != "ok"}


def test_a_good_server_has_no_findings() -> None:
    assert found() == {}
    assert found(set_name=None, members=1, sharded=True) == {}


@pytest.mark.parametrize(
    ("version", "level"), [("6.0.20", "error"), ("7.0.0", "ok"), ("8.2.1", "ok"), ("8.0.0-rc2", "ok"), ("?", "error")]
)
def test_mongodb_7_and_later_will_do(version: str, level: str) -> None:
    assert judged(version=version)["mongodb version"].level == level


def test_a_stand_in_is_a_warning_whatever_version_it_speaks_as() -> None:
    assert found(stand_in="secantusdb 0.7", version="4.0.0") == {"mongodb version": "warning"}


def test_a_server_alone_is_an_error() -> None:
    assert found(set_name=None, members=1) == {"mongodb topology": "error"}


@pytest.mark.parametrize("members", [1, 2])
def test_a_small_set_is_a_warning_in_production(members: int) -> None:
    assert found(members=members) == {"mongodb topology": "warning"}
    assert found(members=members, production=False) == {}


def test_writes_that_no_majority_takes_are_an_error() -> None:
    assert found(writes_refused="waiting for replication timed out") == {"mongodb writes": "error"}


def test_a_missing_migration_and_another_layout_have_their_own_fixes() -> None:
    unmigrated = judged(layout_refused="the database lacks indexes (a.b); run `headrace migrate`", unmigrated=True)
    assert unmigrated["mongodb layout"].level == "error"
    assert unmigrated["mongodb layout"].seen == "the database lacks indexes (a.b)"
    assert unmigrated["mongodb layout"].fix == "`headrace migrate`"
    other = judged(layout_refused="born with 8 partitions")["mongodb layout"]
    assert other.level == "error"
    assert other.fix != "`headrace migrate`"


@pytest.mark.parametrize(("seconds", "level"), [(0.5, "ok"), (-2, "warning"), (40, "error")])
def test_a_clock_that_is_off(seconds: float, level: str) -> None:
    assert judged(clock_ahead_seconds=seconds)["mongodb clock"].level == level


def test_a_server_that_cannot_be_asked_is_one_error_with_the_fix_that_fits() -> None:
    said = (
        "MongoDB: ServerSelectionTimeoutError: Connect call failed",
        "MongoDB: ServerSelectionTimeoutError: SSL handshake failed: certificate verify failed",
        "MongoDB: OperationFailure: Authentication failed.",
    )
    checks = [unreachable(Transient(words)) for words in said]
    assert {check.level for check in checks} == {"error"}
    assert len({check.fix for check in checks}) == 3
