"""What one connection wants to hear besides its user's log, within bounds. Pure.

It is noted before Redis is asked: whoever is removed meanwhile takes it away, and what was asked for comes to nothing.
"""

from collections.abc import Iterable

from gateway.socket.throttle import Throttle
from schemas.ids import ConversationId, UserId

MAX_WATCHED = 20
MAX_PEOPLE = 500


class Wants:
    """One connection's wishes."""

    __slots__ = ("missed", "people", "typing", "watched")

    def __init__(self) -> None:
        self.watched: set[ConversationId] = set()
        self.people: set[UserId] = set()
        self.missed: set[UserId] = set()
        """Whose latest change was dropped: it is told by a later sweep, or one would believe the one before it for ever."""
        self.typing = Throttle()

    def watch(self, conversation_id: ConversationId) -> bool:
        """Note a conversation; False if there are too many."""
        if conversation_id not in self.watched and len(self.watched) >= MAX_WATCHED:
            return False
        self.watched.add(conversation_id)
        return True

    def subscribe(self, users: Iterable[UserId]) -> bool:
        """Note people; False, and none of them, if there are too many."""
        people = self.people.union(users)
        if len(people) > MAX_PEOPLE:
            return False
        self.people |= people
        return True
