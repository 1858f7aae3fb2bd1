"""How fast to go on: a full batch and no wait while all is well, half the batch and a longer wait after each failure."""

import random

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 5.0


class Pace:
    """The batch size and the back-off of one runner (holes B1, B11)."""

    def __init__(self, full_batch: int) -> None:
        self._full = full_batch
        self._ceiling = 0.0
        self.batch = full_batch

    def slower(self) -> float:
        """Note a transient failure; returns the seconds to wait: a random part of 0.1 s, 0.2 s … 5 s.

        The batch is halved each time, so that one that is too much for `timeoutMS` becomes small enough.
        """
        self.batch = max(1, self.batch // 2)
        self._ceiling = min(_LONGEST_SECONDS, self._ceiling * 2 or _FIRST_SECONDS)
        return self._ceiling * random.uniform(0.5, 1.0)

    def recovered(self) -> None:
        """Note a success: full speed again."""
        self.batch, self._ceiling = self._full, 0.0


def retry_seconds(attempts: int, first_seconds: float) -> float:
    """When to try a failed entry again: `first_seconds`, then twice as long each time, at most 10 s."""
    return min(10.0, first_seconds * 2.0 ** (attempts - 1))
