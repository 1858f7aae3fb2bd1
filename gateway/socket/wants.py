"""What one connection wants to hear besides its user's log, within bounds. Pure.

It is noted before Redis is asked: whoever is removed meanwhile takes it away, and what was asked for comes to nothing.
"""

from gateway.socket.throttle import Throttle
from schemas.ids import ConversationId

MAX_WATCHED = 20


class Wants:
    """One connection's wishes."""

    def __init__(self) -> None:
        self.watched: set[ConversationId] = set()
        self.typing = Throttle()

    def watch(self, conversation_id: ConversationId) -> bool:
        """Note a conversation; False if there are too many."""
        if conversation_id not in self.watched and len(self.watched) >= MAX_WATCHED:
            return False
        self.watched.add(conversation_id)
        return True
