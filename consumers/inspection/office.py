"""Documents that are zips: what was declared, against their entries."""

import os
from typing import BinaryIO

from consumers.inspection.budget import Limits
from consumers.inspection.declared import EPUB, ODF, OOXML, plain
from consumers.inspection.problems import Problem, Refused
from consumers.inspection.zips import directory

_MIMETYPE_AT = 30
"""ODF (1.2, part 3, §3.3) and EPUB want an entry `mimetype` first, stored, without extra fields: so it lies here."""


def judge_office(declared: str, file: BinaryIO, limits: Limits) -> Problem | None:
    """Whether a zip that was declared to be a document of OOXML, ODF or EPUB is one; None for what was declared to be something else.

    A document with macros is none of those: it has media types of its own.
    """
    media = plain(declared)
    wrong = Problem("wrong_type", f"The file was announced as {media}, but it is another kind of zip.")
    if media in ODF or media == EPUB:
        file.seek(_MIMETYPE_AT)
        wanted = b"mimetype" + media.encode() + b"PK"
        return None if file.read(len(wanted)) == wanted else wrong
    if media not in OOXML:
        return None
    file.seek(0, os.SEEK_SET)
    try:
        with directory(file, limits, limits.entries) as archive:
            names = archive.namelist()
    except Refused as refused:
        return refused.problem
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        return Problem("active_content", "The document holds macros, but was announced as one that has none.")
    whole = "[Content_Types].xml" in names and any(name.startswith(OOXML[media]) for name in names)
    return None if whole else wrong
