"""The receipts of one connection that wait to be appended: merged, so that a client that scrolls, or floods, costs little. Pure.

A mark is a watermark, so the higher of two says everything that both say.
"""

from typing import Final, NamedTuple

from msgspec.structs import replace

from schemas.client_frames import Receipt

PAUSE_SECONDS: Final = 0.25
"""Between two appends of a connection's marks; the first one goes at once."""
MAX_WAITING: Final = 200
"""Conversations and threads of one connection whose marks may wait; more are refused."""


class _Key(NamedTuple):
    conversation_id: str
    thread_root_id: str | None
    private: bool


class Marking:
    """Receipts by what they are about, in the order in which they were first said."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._waiting: dict[_Key, Receipt] = {}

    def add(self, receipt: Receipt) -> bool:
        """Take one in, merged with what waits of the same thing. False: too many wait."""
        key = _Key(receipt.conversation_id, receipt.thread_root_id, receipt.private)
        waiting = self._waiting.get(key)
        if waiting is None and len(self._waiting) >= self._limit:
            return False
        self._waiting[key] = _higher(waiting, receipt) if waiting else receipt
        return True

    def take(self) -> list[Receipt]:
        """Everything that waits; nothing waits then."""
        taken = list(self._waiting.values())
        self._waiting.clear()
        return taken


def _higher(one: Receipt, later: Receipt) -> Receipt:
    return replace(
        later,
        id=one.id if later.id is None else later.id,
        delivered_seq=_highest(one.delivered_seq, later.delivered_seq),
        read_seq=_highest(one.read_seq, later.read_seq),
    )


def _highest(*given: int | None) -> int | None:
    return max((level for level in given if level is not None), default=None)
