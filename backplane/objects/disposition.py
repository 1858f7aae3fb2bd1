"""Under which name a browser saves a file, and whether it shows it: `Content-Disposition` (RFC 6266, RFC 8187)."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

MAX_BYTES: Final = 200
"""Of a name in UTF-8; file systems take 255, and browsers add to it."""
NAMELESS: Final = "file"

_ATTRIBUTE_CHARACTERS: Final = "!#$&+-.^_`|~"
"""What RFC 8187 leaves as it is, beside letters and digits."""

_FORBIDDEN: Final = re.compile(r'[/\\:*?"<>|]')
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"
"""Invisible, but part of words and of emoji; the other ones turn text around, or hide what a name ends in."""


def disposition(file_name: str, *, inline: bool) -> str:
    """The header's value, plain ASCII whatever the name."""
    name = quote(safe_name(file_name), safe=_ATTRIBUTE_CHARACTERS)
    return f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{name}"


def safe_name(file_name: str) -> str:
    """A name that is a file's in every file system, says what it ends in, and hides nothing."""
    seen = "".join(letter for letter in file_name if letter in _JOINERS or unicodedata.category(letter) not in _UNSEEN)
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", seen)).strip(" ." + _JOINERS)
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, ending = name, ""
    ending = dot + ending if ending else ""
    stem = stem.encode()[: MAX_BYTES - len(ending.encode())].decode(errors="ignore")
    return stem + ending if stem else NAMELESS
