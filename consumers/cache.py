"""A bounded map: when its weight is over the limit, what was used least recently goes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Values with a weight each, of at most `limit` together (one value heavier than that is still kept alone)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> V | None:
        """The value, which counts as used now; None if it is not here."""
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, in place of an older one under the same key."""
        self.drop(key)
        self._items[key] = (value, weight)
        self._weight += weight
        while self._weight > self._limit and len(self._items) > 1:
            _, (_, gone) = self._items.popitem(last=False)
            self._weight -= gone

    def drop(self, key: K) -> None:
        """Forget a key, if it is here."""
        found = self._items.pop(key, None)
        if found is not None:
            self._weight -= found[1]
