"""What a process must never write, whatever it is sent: the trace of a bug."""

import json
from dataclasses import dataclass, field

from tests.system.stack import Stack

SERIOUS = {"error", "critical"}


@dataclass
class Logs:
    """What the processes of a stack have written since it was last asked."""

    stack: Stack
    _read: dict[str, int] = field(default_factory=dict)

    def bugs(self) -> list[str]:
        """New lines that tell of a bug: an error, an exception, a traceback; a dead letter is one too."""
        found: list[str] = []
        for process in self.stack.processes:
            lines = process.lines()
            found += [f"{process.name}: {line}" for line in lines[self._read.get(process.name, 0) :] if is_bug(line)]
            self._read[process.name] = len(lines)
        return found


def is_bug(line: str) -> bool:
    """Whether a line of a log tells of a bug."""
    try:
        said = json.loads(line)
    except ValueError:
        return "Traceback" in line or "Error" in line
    return isinstance(said, dict) and ("exception" in said or said.get("level") in SERIOUS)
