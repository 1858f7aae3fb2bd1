"""One finding, and the clocks, which are judged alike everywhere."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "error"]

CLOCK_WARNING_SECONDS: Final = 1.0
CLOCK_ERROR_SECONDS: Final = 30.0
"""The leeway that access tokens have: beyond it, gateways refuse each other's."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, what was seen; `fix` is there exactly if something is wrong."""

    what: str
    level: Level
    seen: str
    fix: str | None = None


def ok(what: str, seen: str) -> Check:
    """Nothing is wrong."""
    return Check(what, "ok", seen)


def warning(what: str, seen: str, fix: str) -> Check:
    """It works, and should not stay so."""
    return Check(what, "warning", seen, fix)


def error(what: str, seen: str, fix: str) -> Check:
    """It does not work, or breaks what is promised."""
    return Check(what, "error", seen, fix)


def judge_clock(what: str, ahead_seconds: float) -> Check:
    """How far another machine's clock is ahead of ours; negative: behind."""
    seen = f"{abs(ahead_seconds):.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this machine's"
    fix = "synchronise the clocks of both machines (chrony or systemd-timesyncd)"
    if abs(ahead_seconds) > CLOCK_ERROR_SECONDS:
        return error(what, seen, fix)
    if abs(ahead_seconds) > CLOCK_WARNING_SECONDS:
        return warning(what, seen, fix)
    return ok(what, "as this machine's, within 1 s")


def versions(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: `7.0.15-rc1` is (7, 0, 15); empty if there are none."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
