"""How often a connection may say that somebody types. Pure: the time is told."""

from typing import Literal

from schemas.ids import ConversationId

START_SECONDS = 3.0
"""At most one `start` of a conversation within this; clients say it again while it goes on."""
CONVERSATIONS = 64
"""Conversations that one connection may type in within `START_SECONDS`: nobody has as many hands."""


class Throttle:
    """One connection's typing. A `stop` passes only after a `start` that did: so there are never more of them."""

    __slots__ = ("_started",)

    def __init__(self) -> None:
        self._started: dict[ConversationId, tuple[float, bool]] = {}  # when, and whether it goes on; the oldest first

    def allows(self, conversation_id: ConversationId, state: Literal["start", "stop"], now: float) -> bool:
        """Whether this may be passed on; notes it if so."""
        at, goes_on = self._started.get(conversation_id, (float("-inf"), False))
        if state == "stop":
            if goes_on:
                self._started[conversation_id] = at, False
            return goes_on
        if now - at < START_SECONDS or not self._room(conversation_id, now):
            return False
        self._started.pop(conversation_id, None)
        self._started[conversation_id] = now, True
        return True

    def _room(self, conversation_id: ConversationId, now: float) -> bool:
        if conversation_id in self._started or len(self._started) < CONVERSATIONS:
            return True
        oldest = next(iter(self._started))
        if now - self._started[oldest][0] < START_SECONDS:
            return False
        del self._started[oldest]
        return True
