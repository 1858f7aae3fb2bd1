"""Who types in the open conversation, and how its people are seen: true now, soon not."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from headrace_client import Client, Presence, Stopped, Typing

SEEN: Final = 200
"""So many members of the open conversation are looked after."""


class Around:
    """What is ephemeral about the open conversation.

    Args:
        client: which says where we look.
        changed: called when what is seen has changed by time alone.
    """

    def __init__(self, client: Client, changed: Callable[[], None]) -> None:
        self._client, self._changed = client, changed
        self._room: str | None = None
        self._people: list[str] = []
        self._typing: dict[str, asyncio.TimerHandle] = {}
        self.status: dict[str, str] = {}
        """By person; nobody of whom nothing was heard."""

    @property
    def typing(self) -> list[str]:
        """Who types in the open conversation now."""
        return list(self._typing)

    def look_at(self, conversation_id: str | None, user_ids: Iterable[str]) -> None:
        """Another conversation is open, or other people are in it."""
        if conversation_id != self._room:
            if self._room is not None:
                self._client.unwatch(self._room)
            if conversation_id is not None:
                self._client.watch(conversation_id)
            for user_id in self.typing:
                self._ends(user_id)
            self._room = conversation_id
        people = sorted(user_ids)[:SEEN]
        if people != self._people:
            self._client.unsubscribe_presence(set(self._people) - set(people))
            self._client.subscribe_presence(people)
            self._people = people
            self.status = {user_id: seen for user_id, seen in self.status.items() if user_id in people}

    def hear(self, data: object) -> None:
        """Typing or presence came."""
        match data:
            case Typing(conversation_id=room, user_id=user_id, state="start") if room == self._room:
                self._ends(user_id)
                loop = asyncio.get_running_loop()
                self._typing[user_id] = loop.call_later(data.expires_in_ms / 1000, self._expire, user_id)
            case Typing(conversation_id=room, user_id=user_id) if room == self._room:
                self._ends(user_id)
            case Presence(user_id=user_id, status=status):
                self.status[user_id] = status
            case _:
                pass

    def said(self, user_id: str | None) -> None:
        """Whose message is there types no more."""
        if user_id is not None:
            self._ends(user_id)

    def type(self, text: str) -> None:
        """What stands at the prompt: others are told that we type, not what."""
        if self._room is not None:
            with suppress(Stopped):  # whoever reads the events says so
                self._client.typing(self._room, stop=not text or text.startswith("/"))

    def _ends(self, user_id: str) -> None:
        if timer := self._typing.pop(user_id, None):
            timer.cancel()

    def _expire(self, user_id: str) -> None:
        self._typing.pop(user_id, None)
        self._changed()
