"""What can be wrong with an upload."""

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "wrong_size",
    "wrong_checksum",
    "wrong_type",
    "active_content",
    "archive_entries",
    "archive_size",
    "archive_ratio",
    "archive_depth",
    "archive_encrypted",
    "archive_names",
    "archive_damaged",
    "archive_unsupported",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an upload is not taken: a code for programs, a sentence for its sender. Never holds what the file says of itself."""

    code: Code
    sentence: str


class Refused(Exception):
    """Stops the reading of an upload at its first problem."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = Problem(code, sentence)
