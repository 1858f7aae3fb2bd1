"""How far the program has handled its events, and what of that is on disk."""

from headrace_client.inbox import Delivery
from headrace_client.store import Store

COMMIT_EVERY = 100
"""Handled events between two commits while more are waiting. Fewer commits are faster; after a crash more events come twice."""


class Progress:
    """Steps that were handled since the last commit: the newest position, and the outbox rows that go with it (hole D3)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._position: str | None = None
        self._settled: list[str] = []
        self._steps = 0

    def handled(self, step: Delivery, user_id: str | None) -> None:
        """The program is done with a step."""
        if step.position is None:
            return
        self._position = str(step.position)
        self._steps += 1
        if step.settles is not None:
            self._settled.append(step.settles)
        if self._steps >= COMMIT_EVERY:
            self.commit(user_id)

    def commit(self, user_id: str | None) -> None:
        """Write it down: when nothing waits, every so often, and at the end."""
        if self._position is not None and user_id is not None:
            self._store.commit(user_id, self._position, self._settled)
            self._position, self._settled, self._steps = None, [], 0
