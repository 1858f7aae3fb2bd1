"""Zips. The standard library reads the central directory; the rest is done here.

Its own reading of entries is not used: it inflates bzip2 and LZMA without a bound, and believes sizes. Before anything is inflated, every
entry must lie in a place of its own, so that one kernel can not be counted a thousand times (D. Fifield, “A better zip bomb”, WOOT 2019);
and entries and directory must fill the file, so that no other program finds there what was not seen here.
"""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, Final, cast

from consumers.inspection.budget import Budget, Limits, Meter, damaged, hidden_zip, too_many
from consumers.inspection.inflating import inflate, pieces
from consumers.inspection.names import judge_link, judge_name
from consumers.inspection.problems import Refused

Look = Callable[[Iterator[bytes]], None]
"""What looks into an entry's content; it takes all of it."""

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_END: Final = struct.Struct("<4s4H2LH")
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
"""Traditional, strong, and of the directory."""
_AES: Final = 99
_SIZES_FOLLOW: Final = 0x8
_UTF8: Final = 0x800
_DESCRIPTOR_BYTES: Final = frozenset({0, 12, 16, 20, 24})
"""What may follow an entry whose sizes follow: with or without a signature, zip64 or not."""
_IN_ZIP64: Final = 0xFFFFFFFF
_COUNT_IN_ZIP64: Final = 0xFFFF
_LOCATOR_BYTES: Final = 20
_ZIP64_END_BYTES: Final = 56 + _LOCATOR_BYTES
_LINK_BYTES: Final = 4096


def look_into_zip(file: BinaryIO, budget: Budget, look: Look) -> None:
    """Inflate and count every entry, and give its content to `look`.

    Raises:
        Refused: the first problem.
    """
    with directory(file, budget.limits, budget.entries_left) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        ends = [*(entry.header_offset for entry in entries), archive.start_dir][1:]
        _judge_end(file, archive)
    if ends and entries[0].header_offset:
        raise hidden_zip()
    starts = [_start(file, entry, end) for entry, end in zip(entries, ends, strict=True)]
    for entry, start in zip(entries, starts, strict=True):
        budget.entry()
        judge_name(entry.orig_filename)
        judge_name(entry.filename)
        content = _content(file, entry, start, Meter(budget))
        if stat.S_ISLNK(entry.external_attr >> 16):
            judge_link(entry.filename, _target(content))
        else:
            look(content)


@contextmanager
def directory(file: BinaryIO, limits: Limits, entries: int) -> Generator[zipfile.ZipFile, None, None]:
    """A zip's central directory, if it has at most so many entries and is not large.

    Raises:
        Refused: it has more, or can not be read.
    """
    try:
        archive = zipfile.ZipFile(cast("IO[bytes]", _Bounded(file, limits, entries)))
    except NotImplementedError:
        raise _unsupported() from None
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError):
        raise damaged("its directory can not be read") from None
    with archive:
        yield archive


class _Bounded:
    """A file as `zipfile` reads it: the central directory comes in one read, and is counted before an object is made for every entry of it."""

    def __init__(self, file: BinaryIO, limits: Limits, entries: int) -> None:
        self._file, self._limits, self._entries = file, limits, entries
        self.tell = file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; what lies before the start is a lie of the directory."""
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Read what the directory may need, and no more."""
        most = self._limits.directory_bytes
        data = self._file.read(most + 1 if size < 0 else min(size, most + 1))
        if len(data) > most or data.count(b"PK\x01\x02") > self._entries:
            raise too_many(self._limits)
        return data


def _judge_end(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """The end of the directory must say what was found by it, or leave it to zip64, and be the end of the file."""
    at = file.seek(0, os.SEEK_END) - _END.size - len(archive.comment)
    file.seek(max(at, 0))
    end = file.read(_END.size)
    file.seek(max(at - _LOCATOR_BYTES, 0))
    zip64 = file.read(_LOCATOR_BYTES).startswith(b"PK\x06\x07")
    if not end.startswith(b"PK\x05\x06"):
        raise damaged("something lies behind its end")
    _, _, _, _, count, size, start, _ = _END.unpack(end)
    found = len(archive.infolist())
    if (
        count not in {found, _COUNT_IN_ZIP64}
        or start not in {archive.start_dir, _IN_ZIP64}
        or size not in {at - archive.start_dir - (_ZIP64_END_BYTES if zip64 else 0), _IN_ZIP64}
        or (not found and archive.start_dir)
    ):
        raise damaged("its directory is not what its end says")


def _start(file: BinaryIO, entry: zipfile.ZipInfo, end: int) -> int:
    """Where an entry's content begins: behind its own header, which must say what the directory says, and all of it before `end`."""
    header = b""
    if 0 <= entry.header_offset < end:
        file.seek(entry.header_offset)
        header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise damaged("an entry is not where its directory says")
    _, _, flags, method, _, _, _, packed, _, name_bytes, extra_bytes = _LOCAL.unpack(header)
    if (flags | entry.flag_bits) & _ENCRYPTED or _AES in {method, entry.compress_type}:
        raise Refused("archive_encrypted", "The archive is encrypted, so nobody can look into it.")
    name = file.read(name_bytes).decode("utf-8" if entry.flag_bits & _UTF8 else "cp437", "replace")
    sizes_differ = not flags & _SIZES_FOLLOW and packed not in {entry.compress_size, _IN_ZIP64}
    if method != entry.compress_type or name != entry.orig_filename or sizes_differ:
        raise damaged("an entry is not what its directory says")
    if method not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _unsupported()
    start = entry.header_offset + _LOCAL.size + name_bytes + extra_bytes
    gap = end - start - entry.compress_size
    if gap < 0:
        raise damaged("its entries overlap")
    if gap not in (_DESCRIPTOR_BYTES if flags & _SIZES_FOLLOW else {0}):
        raise damaged("something lies between its entries")
    return start


def _content(file: BinaryIO, entry: zipfile.ZipInfo, start: int, meter: Meter) -> Iterator[bytes]:
    packed = pieces(file, start, entry.compress_size)
    checksum = 0
    deflated = (
        entry.compress_type == zipfile.ZIP_DEFLATED and entry.compress_size
    )  # folders may say so, and have nothing
    for piece in inflate(packed, meter) if deflated else _stored(packed, meter):
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if meter.unpacked != entry.file_size or checksum != entry.CRC:
        raise damaged("an entry is not what its directory says")


def _stored(packed: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    for piece in packed:
        meter.take(len(piece))
        meter.give(len(piece))
        yield piece


def _target(content: Iterator[bytes]) -> str:
    target = b""
    for piece in content:
        target += piece
        if len(target) > _LINK_BYTES:
            raise damaged("a link leads nowhere")
    return target.decode("utf-8", "replace")


def _unsupported() -> Refused:
    return Refused("archive_unsupported", "The archive is packed in a way that can not be looked into.")
