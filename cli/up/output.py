"""What a person sees of `headrace up`: prefixed lines of many processes, and a table of what was started."""

import os
import sys
from collections.abc import Sequence
from typing import Final, TextIO

_COLOURS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_WIDTH: Final = 12


class Output:
    """Writes lines as `name │ line`, a colour for each name where the terminal has any (https://no-color.org)."""

    def __init__(self, stream: TextIO | None = None, *, hidden: Sequence[str] = ()) -> None:
        self._stream = stream or sys.stdout
        self._hidden = frozenset(hidden)
        self._colours: dict[str, int] = {}
        self._coloured = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._broken = False

    def say(self, name: str, line: str) -> None:
        """Show one line of a process; those of hidden ones are kept for their obituary only."""
        if name not in self._hidden:
            self.write(f"{self._paint(name, f'{name:<{_WIDTH}} │')} {line}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Show rows in aligned columns."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            self.write(("  " + "  ".join(cells)).rstrip())

    def write(self, text: str = "") -> None:
        """Show text as it is. A reader that went away (`headrace up | head`, a closed terminal) stops nothing in disorder."""
        if self._broken:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True

    def _paint(self, name: str, text: str) -> str:
        if not self._coloured:
            return text
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\033[{colour}m{text}\033[0m"
