"""What a stage is to the runner, and how each is built for one tenure."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from backplane.streams import Entry, Settled
from schemas.events import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """A decoded entry."""

    entry: Entry
    item: T
    seen: bool = False
    """Whether it may have been handled before: it was pending, or its batch has failed."""


class Claim(Protocol):
    """What a stage may know of its tenure."""

    @property
    def alive(self) -> bool:
        """Whether the partition is still ours, as far as this process can tell."""
        ...

    async def confirm(self) -> None:
        """Ask Redis; raises `Fenced` if the partition is somebody else's."""
        ...

    async def pause(self, seconds: float) -> None:
        """Sleep, but no longer than the tenure goes on."""
        ...

    def trouble(self) -> None:
        """Note that work waits for something outside (hole B11)."""
        ...


class StageHandler(Protocol[T]):
    """A stage, for one tenure. It writes outside and says which events its entries make; it never acknowledges.

    Errors mean: `Transient` – nothing is wrong with the entries, try the same again later; `Fenced` – step back; anything else – one
    of these entries can not be handled, and the runner finds out which.
    """

    def decode(self, entry: Entry) -> T:
        """Read an entry's fields; raises `ValueError` if they are not of this version."""
        ...

    def lane(self, item: T) -> Hashable:
        """Entries of one lane are never handled out of order."""
        ...

    async def handle(self, era: str, works: Sequence[Work[T]]) -> list[Settled]:
        """Do the work of these entries, in order; one `Settled` each, in the same order. Safe to repeat."""
        ...

    async def give_up(self, entry: Entry, item: T | None) -> Sequence[Event]:
        """Make sure that nobody waits for this entry in silence (hole A10); returns the events to emit with its burial."""
        ...

    async def forsake(self, works: Sequence[Work[T]]) -> None:
        """The stream has lost these entries, perhaps after what they ask for was stored: nobody will ever emit their events.

        Whoever should hear of them must load their state.
        """
        ...

    async def after(self, done: Sequence[Settled]) -> None:
        """Called once these are acknowledged: answers and figures; nothing that must happen."""
        ...
