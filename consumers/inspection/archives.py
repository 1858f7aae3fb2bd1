"""Archives of archives: which format, how deep, and within which limits.

Works on iterators of pieces that are pulled through one another, so memory is bounded by the depth: a few pieces a level, and for a zip in
another archive a temporary file, because a zip is read from its end.
"""

import os
from collections.abc import Iterator
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, Literal, cast

from consumers.inspection.budget import Budget, Limits, hidden_zip
from consumers.inspection.hidden import Tail
from consumers.inspection.inflating import gunzip, pieces
from consumers.inspection.kinds import GZIP, HEAD_BYTES, TAR, ZIP, sniff
from consumers.inspection.problems import Problem, Refused
from consumers.inspection.tars import look_into_tar
from consumers.inspection.zips import look_into_zip

Format = Literal["zip", "gzip", "tar"]

_FORMATS: Final[dict[str, Format]] = {ZIP: "zip", GZIP: "gzip", TAR: "tar"}
_IN_MEMORY_BYTES: Final = 1_000_000


def archive_format(head: bytes) -> Format | None:
    """Whether a file with these first bytes is an archive that `inspect_archive` looks into."""
    return _FORMATS.get(sniff(head).media)


def inspect_archive(file: BinaryIO, limits: Limits) -> Problem | None:
    """The first problem of an archive, with all archives in it; None also for what is no archive. Blocks: for a thread.

    Args:
        file: seekable, from which everything is read.
        limits: end the work early, too: at most `total_bytes` are inflated.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    form = archive_format(file.read(HEAD_BYTES))
    budget = Budget(limits, size)
    try:
        if form == "zip":
            budget.enter(1)
            look_into_zip(file, budget, lambda content: _look_into(content, budget, 2))
        elif form:
            _look_into(pieces(file, 0, size), budget, 1)
    except Refused as refused:
        return refused.problem
    return None


def _look_into(content: Iterator[bytes], budget: Budget, depth: int) -> None:
    """Take all of `content`, which lies in `depth - 1` archives and may be one more."""
    head = b""
    for piece in content:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    whole = chain((head,), content)
    form = archive_format(head)
    if form:
        budget.enter(depth)
    match form:
        case "zip":
            with SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
                file.writelines(whole)
                look_into_zip(cast("BinaryIO", file), budget, lambda inner: _look_into(inner, budget, depth + 1))
        case "gzip":
            _look_into(gunzip(whole, budget), budget, depth + 1)
        case "tar":
            look_into_tar(whole, budget, lambda inner: _look_into(inner, budget, depth + 1))
        case None:
            tail = Tail()
            for piece in whole:
                tail.add(piece)
            if tail.ends_a_zip(sniff(head).media):
                raise hidden_zip()
