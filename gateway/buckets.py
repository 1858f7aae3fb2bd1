"""A rate limit that one process counts alone: GCRA, as `backplane/lua/take.lua` has it, on a clock that is told. Pure."""

from schemas.limits import Policy


class Bucket:
    """One bucket. Times are seconds of a monotonic clock."""

    __slots__ = ("_burst", "_full_at", "_interval")

    def __init__(self, burst: int, seconds: float) -> None:
        self._burst, self._interval = burst, seconds / burst
        self._full_at = float("-inf")

    @classmethod
    def of(cls, policy: Policy | None) -> "Bucket | None":
        """A bucket of a row of the table; None: there is no such limit."""
        return None if policy is None else cls(policy.burst, policy.seconds)

    def take(self, now: float, cost: int = 1) -> float:
        """Take so much, or nothing: returns 0, or after how many seconds it may be asked for again."""
        full_at = max(self._full_at, now)
        wait = full_at + self._interval * (cost - self._burst) - now
        if wait > 1e-9:
            return wait
        self._full_at = full_at + self._interval * cost
        return 0.0
