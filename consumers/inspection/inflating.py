"""Inflating within bounds: a piece in, pieces of at most `PIECE_BYTES` out. Sources are iterators, so nothing is held but a piece."""

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from consumers.inspection.budget import Budget, Meter, damaged

PIECE_BYTES: Final = 65_536
_PACKED_BYTES: Final = 16_384
_RAW: Final = -15
_GZIP: Final = 31


def pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    """`size` bytes of a file from `start`; others may move about in it meanwhile."""
    end = start + size
    while start < end:
        file.seek(start)
        piece = file.read(min(_PACKED_BYTES, end - start))
        if not piece:
            raise damaged("it ends too early")
        start += len(piece)
        yield piece


def inflate(packed: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    """One deflate stream, as in a zip: it ends where its source ends."""
    stream = zlib.decompressobj(_RAW)
    for piece in packed:
        if stream.eof:
            raise damaged("something lies behind the end of an entry")
        meter.take(len(piece))
        yield from _out(stream, piece, meter)
        if stream.unused_data:
            raise damaged("something lies behind the end of an entry")
    if not stream.eof:
        raise damaged("an entry ends too early")


def gunzip(packed: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """Gzip's members, one behind the other, as one; zeros may follow (RFC 1952, and tapes)."""
    meter = Meter(budget)
    stream: Any = None
    members = 0
    for piece in packed:
        meter.take(len(piece))
        rest = piece
        while rest:
            if stream is None:
                rest = rest.lstrip(b"\0") if members else rest
                if not rest:
                    break
                budget.entry()
                members += 1
                stream = zlib.decompressobj(_GZIP)
            yield from _out(stream, rest, meter)
            rest = stream.unused_data
            if stream.eof:
                stream = None
    if stream is not None:
        raise damaged("it ends too early")


def _out(stream: Any, packed: bytes, meter: Meter) -> Iterator[bytes]:
    """What comes out of one piece; `stream` is zlib's, which types can not name."""
    while True:
        try:
            piece = stream.decompress(packed, PIECE_BYTES)
        except zlib.error:
            raise damaged("it can not be unpacked") from None
        packed = stream.unconsumed_tail
        if piece:
            meter.give(len(piece))
            yield piece
        if stream.eof or (not packed and len(piece) < PIECE_BYTES):
            return
