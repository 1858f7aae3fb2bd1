"""Whether and when a transfer that failed is tried again. No I/O."""

import random as random_module
from collections.abc import Collection
from typing import Final

from headrace_client.backoff import Random, reconnect_delay
from headrace_client.errors import ApiError, Unreachable

Failure = ApiError | Unreachable
MOST_TRIES: Final = 20
"""Tries in a row of which none came further than one before."""


class StoreRefusal(ApiError):
    """The object store will not have our form or our link: it may just have expired, so the first one is asked for anew."""


class Tries:
    """The tries of one transfer. Times are seconds on any clock that only goes forward.

    Args:
        seconds: how long to go on without getting any further.
        now: the time.
        hopeless: codes of temporary errors that are not waited for.
    """

    def __init__(
        self, seconds: float, now: float, hopeless: Collection[str] = (), random: Random = random_module.random
    ) -> None:
        self._seconds, self._hopeless, self._random = seconds, hopeless, random
        self._failures, self._refusals = 0, 0
        self._until = now + seconds

    def advanced(self, now: float) -> None:
        """The transfer came further than ever before: what failed until then counts no more."""
        self._failures, self._refusals = 0, 0
        self._until = now + self._seconds

    def moved(self, now: float) -> None:
        """The transfer moves, not yet further than an earlier try came: an upload begins again at its start."""
        self._until = now + self._seconds

    def delay_after(self, failure: Failure, now: float) -> float:
        """Seconds until the next try.

        Raises:
            Failure: the same, if it lasts, nothing has moved for too long, or no try came any further for too often.
        """
        if self._lasts(failure):
            raise failure
        floor = failure.retry_after_s or 0.0 if isinstance(failure, ApiError) else 0.0
        delay = reconnect_delay(self._failures, self._random, floor)
        self._failures += 1
        if now + delay > self._until or self._failures > MOST_TRIES:
            raise failure
        return delay

    def _lasts(self, failure: Failure) -> bool:
        if isinstance(failure, Unreachable):
            return False
        if isinstance(failure, StoreRefusal):
            self._refusals += 1
            return self._refusals > 1
        return not failure.temporary or failure.code in self._hopeless
