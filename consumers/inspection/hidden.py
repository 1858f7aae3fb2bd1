"""A zip behind something else: programs that open zips look for one from the end of a file, whatever it begins with.

So a file that is no archive by its first bytes may be one all the same, and neither our own look into archives nor every scanner would have
seen what is in it. What counts as one is what a lenient reader would open: a directory's end, perhaps with something behind it.
"""

import struct
from typing import Final

from consumers.inspection.kinds import OLE, PDF

_END: Final = struct.Struct("<4s4H2LH")
_SIGNATURE: Final = b"PK\x05\x06"
_ENTRY: Final = b"PK\x01\x02"
_ENTRY_BYTES: Final = 46
_LOCATOR: Final = b"PK\x06\x07"
_LOCATOR_BYTES: Final = 20
_HOLD_FILES: Final = frozenset({OLE, PDF})
"""Honest documents hold other files as they are, zips too, with something of their own behind them."""
TAIL_BYTES: Final = _END.size + 0xFFFF
"""So far before a file's end its directory's end may lie: a comment has a length of two bytes."""


class Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._last = b""
        self._size = 0

    def add(self, piece: bytes) -> None:
        """What comes next."""
        self._size += len(piece)
        self._last = (self._last + piece)[-TAIL_BYTES:] if len(piece) < TAIL_BYTES else piece[-TAIL_BYTES:]

    def ends_a_zip(self, media: str) -> bool:
        """Whether programs would open all of it as a zip that holds something; `media` is what it is by its first bytes."""
        at = self._last.rfind(_SIGNATURE)
        while at >= 0:
            if self._is_end(at) and (media not in _HOLD_FILES or self._is_last(at)):
                return True
            at = self._last.rfind(_SIGNATURE, 0, at + len(_SIGNATURE) - 1)
        return False

    def _is_last(self, at: int) -> bool:
        *_, comment_bytes = _END.unpack_from(self._last, at)
        return at + _END.size + comment_bytes == len(self._last)

    def _is_end(self, at: int) -> bool:
        if len(self._last) < at + _END.size:
            return False
        _, disk, first_disk, here, entries, directory_bytes, _, _ = _END.unpack_from(self._last, at)
        if self._last[max(at - _LOCATOR_BYTES, 0) :].startswith(_LOCATOR):
            return True  # zip64: what it says is elsewhere
        start = at - directory_bytes
        return (
            (disk, first_disk) == (0, 0)
            and here == entries
            and 0 < entries * _ENTRY_BYTES <= directory_bytes <= self._size - len(self._last) + at
            and (start < 0 or self._last.startswith(_ENTRY, start))
        )
