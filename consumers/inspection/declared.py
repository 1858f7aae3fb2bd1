"""What was declared of a file's type, against what its first bytes say."""

from typing import Final

from consumers.inspection.kinds import GZIP, OCTETS, OLE, PDF, TAR, TEXT, ZIP, may_be_text, sniff
from consumers.inspection.problems import Problem

OOXML: Final = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "word/",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xl/",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "ppt/",
}
"""Media type → the folder of its parts."""
ODF: Final = tuple(
    f"application/vnd.oasis.opendocument.{kind}" for kind in ("text", "spreadsheet", "presentation", "graphics")
)
EPUB: Final = "application/epub+zip"

_MOVIES: Final = frozenset({"video/mp4", "video/quicktime", "audio/mp4"})
"""One container under three names, and files are called by either."""
_ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/heif": "image/heic",
    "image/x-ms-bmp": "image/bmp",
    "application/x-zip-compressed": ZIP,
    "application/x-zip": ZIP,
    "application/x-gzip": GZIP,
    "application/tar": TAR,
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/x-flac": "audio/flac",
    "audio/opus": "audio/ogg",
    "text/x-markdown": "text/markdown",
}
_ITSELF: Final = (
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/tiff", "image/bmp", "image/heic", "image/avif",
    PDF, ZIP, GZIP, TAR, "application/ogg", "audio/mpeg", "audio/wav", "audio/flac", TEXT,
)  # fmt: skip
_FITS: Final[dict[str, frozenset[str]]] = {
    **{media: frozenset({media}) for media in _ITSELF},
    **dict.fromkeys((*OOXML, *ODF, EPUB), frozenset({ZIP})),
    **dict.fromkeys(
        ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"), frozenset({OLE})
    ),
    **dict.fromkeys(_MOVIES, _MOVIES),
    **dict.fromkeys(("audio/ogg", "video/ogg"), frozenset({"application/ogg"})),
    **dict.fromkeys(("video/webm", "audio/webm"), frozenset({"video/webm"})),
    **dict.fromkeys(("video/x-matroska", "audio/x-matroska"), frozenset({"video/x-matroska", "video/webm"})),
    **dict.fromkeys(("text/csv", "text/markdown", "application/json"), frozenset({TEXT})),
}
"""Declared type → the kinds that fit. What is not here is taken as octets, if it is not active."""
_ANY_TEXT: Final = frozenset({TEXT, "text/csv", "text/markdown", "application/vnd.ms-excel"})
"""What text of any encoding may be called: many programs still write others than UTF-8, and on a Windows with Excel a browser calls a CSV
Excel's. Not JSON, which is UTF-8 (RFC 8259)."""


def judge_type(declared: str, head: bytes) -> Problem | None:
    """What is wrong with a file that was declared to be `declared` and begins with `head` (`HEAD_BYTES`, or all of it)."""
    found = sniff(head)
    if found.active:
        return Problem("active_content", f"Files that run or hold scripts are not taken; this one is {found.media}.")
    known = plain(declared)
    if found.media not in _FITS.get(known, {found.media}) and not (
        takes_any_text(known) and found.media in {TEXT, OCTETS} and may_be_text(head)
    ):
        return Problem("wrong_type", f"The file was announced as {plain(declared)}, but it is {found.media}.")
    return None


def served_type(declared: str, head: bytes) -> str:
    """The media type that we vouch for: what was declared, by the name that we know it under, if it is known and fits; else octets."""
    known, found = plain(declared), sniff(head)
    return known if found.media in _FITS.get(known, ()) and not found.active else OCTETS


def is_text_type(declared: str) -> bool:
    """Whether all of such a file has to be text."""
    return _FITS.get(plain(declared)) == frozenset({TEXT})


def takes_any_text(declared: str) -> bool:
    """Whether such a file may be text that is not UTF-8. Nobody knows its encoding, so it is served as octets."""
    return plain(declared) in _ANY_TEXT


def plain(declared: str) -> str:
    """A media type in lower case, without parameters, by its usual name."""
    bare = declared.partition(";")[0].strip().lower()
    return _ALIASES.get(bare, bare)
