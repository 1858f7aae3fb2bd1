"""Names of entries that would be unpacked outside of the folder that they are unpacked in."""

import posixpath
import re
from typing import Final

from consumers.inspection.problems import Refused

_DRIVE: Final = re.compile("[A-Za-z]:")


def judge_name(name: str) -> None:
    """Judge an entry's name, as Unix and Windows would understand it.

    Raises:
        Refused: it leads out, or might.
    """
    parts = name.replace("\\", "/").split("/")
    # Windows drops dots and spaces at the end of a part, but for the two names that are dots.
    if "\0" in name or (name and not parts[0]) or _DRIVE.match(name) or any(part.strip(" ") == ".." for part in parts):
        raise _leading_out()


def judge_link(name: str, target: str) -> None:
    """Judge where a symbolic link called `name` leads.

    Raises:
        Refused: out of the archive.
    """
    target = target.replace("\\", "/")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if "\0" in target or target.startswith("/") or _DRIVE.match(target) or path.split("/")[0] == "..":
        raise _leading_out()


def _leading_out() -> Refused:
    return Refused("archive_names", "The archive holds an entry that would be unpacked outside of its folder.")
