"""Tars, as a stream: old, POSIX (pax) and GNU's.

Not by `tarfile`: it reads a header's extension of any length at once, keeps every member, and needs quadratic time for some extensions
before Python 3.11.10 and 3.12.6 (CVE-2024-6232). Here an extension has a bound, and nothing is kept. Sparse files are not looked into.
"""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from consumers.inspection.budget import Budget, damaged
from consumers.inspection.names import judge_link, judge_name
from consumers.inspection.problems import Refused

Look = Callable[[Iterator[bytes]], None]

_BLOCK: Final = 512
_EXTENSION_BYTES: Final = 65_536
_FILES: Final = frozenset({b"\0", b"0", b"7"})
_HARD_LINK, _SYMBOLIC_LINK, _FOLDER = b"1", b"2", b"5"
_GNU_NAME, _GNU_TARGET, _PAX, _PAX_FOR_ALL = b"L", b"K", b"x", b"g"


@dataclass(frozen=True, slots=True)
class _Header:
    kind: bytes
    name: str
    target: str
    size: int


@dataclass(slots=True)
class _Extensions:
    """What was said beforehand of the next member."""

    name: str | None = None
    target: str | None = None
    size: int | None = None


def look_into_tar(packed: Iterator[bytes], budget: Budget, look: Look) -> None:
    """Walk through the members and give the content of every file to `look`; takes all of `packed`.

    Raises:
        Refused: the first problem.
    """
    stream = _Stream(packed)
    said = _Extensions()
    while block := stream.exactly_or_none(_BLOCK):
        if not any(block):
            _only_zeros(stream)
            return
        budget.entry()
        header = _parse(block)
        if header.kind in {_GNU_NAME, _GNU_TARGET, _PAX, _PAX_FOR_ALL}:
            _extend(said, header, stream)
            continue
        size = header.size if said.size is None else said.size
        _judge(header.kind, said.name or header.name, said.target or header.target)
        said = _Extensions()
        if header.kind not in _FILES:
            size = 0  # links say the size of what they lead to
        look(stream.pieces(size))
        stream.skip(-size % _BLOCK)


def _judge(kind: bytes, name: str, target: str) -> None:
    judge_name(name)
    if kind == _SYMBOLIC_LINK:
        judge_link(name, target)
    elif kind == _HARD_LINK:
        judge_name(target)
    elif kind == b"S":
        raise _unsupported()
    elif kind != _FOLDER and kind not in _FILES:
        raise Refused("archive_names", "The archive holds a device, or something else that is no file.")


def _parse(block: bytes) -> _Header:
    """A header (POSIX.1-1988, GNU tar's manual)."""
    counted = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
    if _number(block[148:156]) != counted:
        raise damaged("a header of it is")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = posixpath.join(_text(block[345:500]), name)
    return _Header(block[156:157], name, _text(block[157:257]), _number(block[124:136]))


def _extend(said: _Extensions, header: _Header, stream: "_Stream") -> None:
    if header.size > _EXTENSION_BYTES:
        raise _unsupported()
    data = b"".join(stream.pieces(header.size))
    stream.skip(-header.size % _BLOCK)
    if header.kind == _GNU_NAME:
        said.name = _text(data)
    elif header.kind == _GNU_TARGET:
        said.target = _text(data)
    else:
        for key, value in _records(data):
            if key.startswith(b"GNU.sparse") or (
                header.kind == _PAX_FOR_ALL and key in {b"path", b"linkpath", b"size"}
            ):
                raise _unsupported()
            if key == b"path":
                said.name = value.decode("utf-8", "replace")
            elif key == b"linkpath":
                said.target = value.decode("utf-8", "replace")
            elif key == b"size":
                if not value.isdigit() or len(value) > 20:
                    raise damaged("a header of it is")
                said.size = int(value)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Pax's `<length> <key>=<value>` and a line end."""
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 8].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not length or at + length > len(data) or not equals or not record.endswith(b"\n"):
            raise damaged("a header of it is")
        yield key, value[:-1]
        at += length


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise damaged("a header of it is")
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if set(digits) - set(b"01234567"):
        raise damaged("a header of it is")
    return int(digits, 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _only_zeros(stream: "_Stream") -> None:
    for piece in stream.rest():
        if piece.strip(b"\0"):
            raise damaged("something lies behind its end")


def _unsupported() -> Refused:
    return Refused("archive_unsupported", "The archive is packed in a way that can not be looked into.")


class _Stream:
    """Pieces, taken by the byte; nothing is held but the piece at hand."""

    def __init__(self, packed: Iterator[bytes]) -> None:
        self._packed, self._held = packed, b""

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes; all of them, or it is damaged."""
        while size:
            held = self._held or next(self._packed, None)
            if held is None:
                raise damaged("it ends too early")
            piece, self._held = held[:size], held[size:]
            size -= len(piece)
            yield piece

    def exactly_or_none(self, size: int) -> bytes | None:
        """The next `size` bytes; None at the end."""
        if not self._held:
            self._held = next((piece for piece in self._packed if piece), b"")
        return b"".join(self.pieces(size)) if self._held else None

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        for _ in self.pieces(size):
            pass

    def rest(self) -> Iterator[bytes]:
        """All that follows."""
        yield self._held
        yield from self._packed
