"""Writes a history down, with one clock for everybody in the process."""

import time
from pathlib import Path

from tests.histories.records import Record, to_lines


class Recorder:
    """The history of a run, so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.records: list[Record] = []

    @property
    def t(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def add(self, record: Record) -> None:
        """Write one record down: the order of the calls is the order of the history."""
        self.records.append(record)

    def save(self, path: Path) -> None:
        """Keep the history as JSON lines."""
        path.write_bytes(to_lines(self.records))
