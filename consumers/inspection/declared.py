"""What was declared of a file's type, against what its first bytes say."""

from typing import Final

from consumers.inspection.kinds import GZIP, OCTETS, TAR, TEXT, ZIP, sniff
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

_OLE: Final = "application/x-ole-storage"
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
    "application/pdf", ZIP, GZIP, TAR, "application/ogg", "audio/mpeg", "audio/wav", "audio/flac", TEXT,
)  # fmt: skip
_FITS: Final[dict[str, frozenset[str]]] = {
    **{media: frozenset({media}) for media in _ITSELF},
    **dict.fromkeys((*OOXML, *ODF, EPUB), frozenset({ZIP})),
    **dict.fromkeys(
        ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"), frozenset({_OLE})
    ),
    **dict.fromkeys(_MOVIES, _MOVIES),
    **dict.fromkeys(("audio/ogg", "video/ogg"), frozenset({"application/ogg"})),
    **dict.fromkeys(("video/webm", "audio/webm"), frozenset({"video/webm"})),
    **dict.fromkeys(("video/x-matroska", "audio/x-matroska"), frozenset({"video/x-matroska", "video/webm"})),
    **dict.fromkeys(("text/csv", "text/markdown", "application/json"), frozenset({TEXT})),
}
"""Declared type → the kinds that fit. What is not here is taken as octets, if it is not active."""


def judge_type(declared: str, head: bytes) -> Problem | None:
    """What is wrong with a file that was declared to be `declared` and begins with `head` (`HEAD_BYTES`, or all of it)."""
    found = sniff(head)
    if found.active:
        return Problem("active_content", f"Files that run or hold scripts are not taken; this one is {found.media}.")
    if found.media not in _FITS.get(plain(declared), {found.media}):
        return Problem("wrong_type", f"The file was announced as {plain(declared)}, but it is {found.media}.")
    return None


def served_type(declared: str, head: bytes) -> str:
    """The media type that we vouch for: what was declared, by the name that we know it under, if it is known and fits; else octets."""
    known = plain(declared)
    return known if known in _FITS and judge_type(declared, head) is None else OCTETS


def is_text_type(declared: str) -> bool:
    """Whether all of such a file has to be text."""
    return _FITS.get(plain(declared)) == frozenset({TEXT})


def plain(declared: str) -> str:
    """A media type in lower case, without parameters, by its usual name."""
    bare = declared.partition(";")[0].strip().lower()
    return _ALIASES.get(bare, bare)
