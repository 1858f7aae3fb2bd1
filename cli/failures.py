"""What a command says when it cannot go on, and the exit code it ends with.

0 done · 1 failed · 2 wrong usage or configuration · 3 a dependency cannot be reached · 130 interrupted
"""

from typing import Final

import click

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130


class Failure(click.ClickException):
    """A failure that was foreseen: its message is all that a person needs, so no traceback is shown."""


class Unreachable(Failure):
    """A system that the settings name does not answer."""

    exit_code = UNREACHABLE
