"""Which messages of the open conversation the reader has seen, and in which version. No I/O."""

from collections.abc import Iterator
from typing import Final

from cli.chat import telling
from cli.chat.names import Names
from cli.chat.telling import Line
from headrace_client import Message

REMEMBERED: Final = 2000


class Shown:
    """What is on screen: an event counts if it is newer, and a reaction is what is different."""

    def __init__(self) -> None:
        self.top = 0
        """The highest number that was shown."""
        self._versions: dict[str, Message] = {}

    def is_new(self, message: Message) -> bool:
        """Whether a message has not been on screen."""
        return message.seq > self.top

    def note(self, message: Message) -> None:
        """It is on screen now, as it is."""
        self.top = max(self.top, message.seq)
        self._versions.pop(message.message_id, None)
        self._versions[message.message_id] = message
        if len(self._versions) > REMEMBERED:
            del self._versions[next(iter(self._versions))]

    def change(self, event: str, message: Message, actor_id: str | None, names: Names) -> list[Line]:
        """What to tell of a change; nothing of what the reader has seen already."""
        before = self._versions.get(message.message_id)
        if before is not None and before.rev >= message.rev:
            return []
        if before is not None:
            self.note(message)
        return telling.change(event, message, before, actor_id, names)

    def missed(self, message: Message, names: Names) -> Iterator[Line]:
        """What to tell of a message on screen that was changed while we were not there; by whom, nobody says."""
        before = self._versions.get(message.message_id)
        if before is None or before.rev >= message.rev:
            return
        self.note(message)
        if before.content is not None and message.content is None:
            yield from telling.change("message.deleted", message, before, None, names)
            return
        if before.edited_at != message.edited_at:
            yield from telling.change("message.edited", message, before, None, names)
        yield from telling.change("attachment.updated", message, before, None, names)
