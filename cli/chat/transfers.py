"""Files on their way up or down, each in a task of its own: who waits for a file can go on talking."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cli.output import printable, size
from headrace_client import ApiError, HeadraceError

INSTALL: Final = "whoever runs the server installs one (Debian: `apt-get install clamav-daemon clamav-freshclam`) and starts it again"


@dataclass(slots=True, eq=False)
class Transfer:
    """One file, and how much of it is through, in bytes."""

    arrow: str
    name: str
    count: int = 0
    total: int = 0

    @property
    def text(self) -> str:
        """`↑ photo.png 1.2MiB of 4.0MiB`."""
        far = f"{size(self.count)} of {size(self.total)}" if self.total else "…"
        return f"{self.arrow} {printable(self.name)} {far}"


class Transfers:
    """What is on its way.

    Args:
        say: prints a line.
        changed: called when something is further than before.
    """

    def __init__(self, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._say, self._changed = say, changed
        self._tasks: dict[asyncio.Task[None], Transfer] = {}
        self.failed = 0

    def lines(self) -> list[str]:
        """How far each is."""
        return [transfer.text for transfer in self._tasks.values()]

    def start(self, arrow: str, name: str, work: Callable[[Callable[[int, int], None]], Awaitable[None]]) -> None:
        """Begin with a file; `work` is given what it tells its progress to. That it failed is told in a line."""
        transfer = Transfer(arrow, name)
        task = asyncio.create_task(self._run(transfer, work))
        self._tasks[task] = transfer
        task.add_done_callback(self._ended)

    async def done(self) -> None:
        """Wait until nothing is on its way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def stop(self) -> None:
        """End what is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, transfer: Transfer, work: Callable[[Callable[[int, int], None]], Awaitable[None]]) -> None:
        def progress(count: int, total: int) -> None:
            transfer.count, transfer.total = count, total
            self._changed()

        try:
            await work(progress)
        except (HeadraceError, OSError, ValueError) as failure:
            self.failed += 1
            self._say(f"!! {printable(transfer.name)}: {printable(why(failure))}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._changed()


def why(failure: Exception) -> str:
    """What a person can do with it, in a line."""
    match failure:
        case ApiError(code="scanner_unavailable"):
            return f"{failure}; {INSTALL}"
        case OSError(strerror=str() as reason):
            return reason
        case _:
            return str(failure)
