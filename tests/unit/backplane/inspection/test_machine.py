"""What the doctor says of this machine."""

from dataclasses import replace

import pytest

from backplane.inspection.checks import versions
from backplane.inspection.machine import MachineFacts, judge, look

GOOD = MachineFacts(open_files=65_536, somaxconn=4096, python="3.12.1", libraries=(("redis", "7.1"),))


def found(**facts: object) -> dict[str, str]:
    checks = judge(replace(GOOD, **facts))  # type: ignore[arg-type]
    for check in checks:
        assert (check.fix is None) is (check.level == "ok"), check
    return {check.what: check.level for check in checks if check.level != "ok"}


@pytest.mark.parametrize("limit", [None, 10_000])
def test_enough_open_files(limit: int | None) -> None:
    assert found(open_files=limit) == {}


def test_too_few_open_files_are_a_warning_with_ulimit_as_the_fix() -> None:
    assert found(open_files=9_999) == {"open files": "warning"}
    [check] = [check for check in judge(replace(GOOD, open_files=1024)) if check.what == "open files"]
    assert "ulimit -n" in str(check.fix)


@pytest.mark.parametrize(("value", "findings"), [(None, {}), (2048, {}), (2047, {"somaxconn": "warning"})])
def test_a_short_backlog_is_a_warning(value: int | None, findings: dict[str, str]) -> None:
    assert found(somaxconn=value) == findings


@pytest.mark.parametrize(
    ("python", "findings"),
    [("3.11.0", {}), ("3.13.9", {}), ("3.14.0", {"python": "warning"}), ("3.10.9", {"python": "warning"})],
)
def test_a_python_that_is_not_tested_is_a_warning(python: str, findings: dict[str, str]) -> None:
    assert found(python=python) == findings


def test_the_versions_of_what_runs_here_are_said() -> None:
    facts = look()
    [said] = [check.seen for check in judge(facts) if check.what == "versions"]
    for name in ("headrace", "redis", "pymongo"):
        assert f"{name} " in said


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("7.0.15", (7, 0, 15)),
        ("10.2", (10, 2)),
        ("8.0.0-rc1", (8, 0, 0)),
        ("3.14.0a1", (3, 14, 0)),
        ("?", ()),
        ("", ()),
    ],
)
def test_the_numbers_of_a_version(text: str, numbers: tuple[int, ...]) -> None:
    assert versions(text) == numbers
