"""What of ours is on its way: messages until they are printed, changes until they are known."""

from collections.abc import Callable
from dataclasses import dataclass

from cli.output import printable
from headrace_client import Message, Rejected, Sending


@dataclass(slots=True, eq=False)
class Mine:
    """A message of ours, or a change of one."""

    sending: Sending
    text: str
    is_change: bool = False
    stored: Message | None = None


class Underway:
    """What was sent and is not done.

    Args:
        say: prints a line.
        knows: whether what happened to this message was told.
    """

    def __init__(self, say: Callable[[str], None], knows: Callable[[Message], bool]) -> None:
        self._say, self._knows = say, knows
        self._waiting: dict[str, Mine] = {}
        self.failed = 0
        self.added: Callable[[Mine], None] = lambda _: None
        """Called with what is new on its way."""

    def __len__(self) -> int:
        return len(self._waiting)

    def all(self) -> list[Mine]:
        """What is on its way, oldest first."""
        return list(self._waiting.values())

    def add(self, sending: Sending, typed: str, *, is_change: bool = False) -> None:
        """Follow what was asked with `typed`."""
        mine = self._waiting[sending.client_msg_id] = Mine(sending, typed, is_change)
        self.added(mine)

    def printed(self, message: Message) -> None:
        """A message is on screen; if it is ours, it is done."""
        self._waiting.pop(message.client_msg_id or "", None)

    async def settled(self, mine: Mine) -> None:
        """Wait until something of ours is stored; what is refused at once, before any event, is told here.

        Raises:
            Stopped: the client has ended.
        """
        try:
            mine.stored = await mine.sending.stored
        except Rejected as failure:
            self.refused(mine.sending.client_msg_id, failure.message)
        self.forget_done()

    def refused(self, key: str, why: str) -> None:
        """The server will not have it; what is not ours, or was told before, is not told."""
        if mine := self._waiting.pop(key, None):
            self.failed += 1
            self._say(f"!! not {'done' if mine.is_change else 'sent'}: {printable(mine.text)} — {printable(why)}")

    def forget_done(self) -> None:
        """A change is done when its event was told, or if it changed nothing."""
        for key, mine in list(self._waiting.items()):
            if mine.is_change and mine.stored is not None and (mine.stored.duplicate or self._knows(mine.stored)):
                del self._waiting[key]
