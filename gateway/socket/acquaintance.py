"""What this gateway has told its clients of one user, and whether something is news. Pure."""

from typing import Literal

from backplane.presence import Presence
from schemas.entities import rfc3339
from schemas.ids import UserId
from schemas.server_frames import PresenceState

NOWHERE = Presence(0, "offline", None)
"""What is said of somebody of whom nothing is known."""


class Acquaintance:
    """One user, as the clients here know them. Messages and reads cross: an older version is no news."""

    def __init__(self, user: UserId) -> None:
        self.user = user
        self.presence: Presence | None = None

    def heard(self, presence: Presence) -> bool:
        """A message said so; returns whether clients must be told."""
        if self.presence is not None and presence.version <= self.presence.version:
            return False
        return self._learn(presence)

    def read(self, presence: Presence, asked: Presence | None) -> bool:
        """It was read; returns whether clients must be told.

        `asked` is what was known when it was asked for. If that has not changed, what was read counts whatever its version: it may
        only be older because the server has forgotten something.
        """
        if self.presence is not asked and self.presence is not None and presence.version <= self.presence.version:
            return False
        return self._learn(presence)

    def _learn(self, presence: Presence) -> bool:
        before, self.presence = self.presence, presence
        return before is not None and before.status != presence.status


def presence_state(user: UserId, presence: Presence) -> PresenceState:
    """What a client is told."""
    active = None if presence.active_ms is None else rfc3339(presence.active_ms)
    status: Literal["online", "away", "busy", "offline"] = presence.status
    return PresenceState(user, status, active)
