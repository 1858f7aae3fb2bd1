"""What a file is, by its first bytes.

A table of our own: a verdict needs a definite answer, and `puremagic` ranks guesses by confidence (and calls a program `''` or an
octet stream), `filetype` (last released in 2022) knows no text, HTML or SVG. What browsers would take for HTML is as in the WHATWG's MIME Sniffing
standard, section 7.1, with SVG and more tags.
"""

import codecs
import re
from typing import Final, NamedTuple

HEAD_BYTES: Final = 4096
"""So many first bytes are enough to judge by."""
OCTETS: Final = "application/octet-stream"
TEXT: Final = "text/plain"
ZIP: Final = "application/zip"
GZIP: Final = "application/gzip"
TAR: Final = "application/x-tar"
PDF: Final = "application/pdf"
OLE: Final = "application/x-ole-storage"
"""Documents of older office programs."""
SHOWN_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Images that every browser shows, and that are shown in place; others are files to be fetched."""


class Kind(NamedTuple):
    """A media type; `active`: it runs, or makes a browser run what is in it."""

    media: str
    active: bool = False


_MAGIC: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", Kind("image/png")),
    (0, b"\xff\xd8\xff", Kind("image/jpeg")),
    (0, b"GIF87a", Kind("image/gif")),
    (0, b"GIF89a", Kind("image/gif")),
    (0, b"II*\0", Kind("image/tiff")),
    (0, b"MM\0*", Kind("image/tiff")),
    (0, b"%PDF-", Kind(PDF)),
    (0, b"PK\x03\x04", Kind(ZIP)),
    (0, b"PK\x05\x06", Kind(ZIP)),
    (0, b"PK\x07\x08", Kind(ZIP)),
    (0, b"\x1f\x8b", Kind(GZIP)),
    (257, b"ustar", Kind(TAR)),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind(OLE)),
    (0, b"ID3", Kind("audio/mpeg")),
    (0, b"fLaC", Kind("audio/flac")),
    (0, b"OggS", Kind("application/ogg")),
    (0, b"\x7fELF", Kind("application/x-executable", active=True)),
    (0, b"\xfe\xed\xfa\xce", Kind("application/x-mach-binary", active=True)),
    (0, b"\xfe\xed\xfa\xcf", Kind("application/x-mach-binary", active=True)),
    (0, b"\xce\xfa\xed\xfe", Kind("application/x-mach-binary", active=True)),
    (0, b"\xcf\xfa\xed\xfe", Kind("application/x-mach-binary", active=True)),
    (
        0,
        b"\xca\xfe\xba\xbe",
        Kind("application/x-mach-binary", active=True),
    ),  # for several processors; Java's classes too
    (0, b"\xca\xfe\xba\xbf", Kind("application/x-mach-binary", active=True)),
)
_RIFF: Final = {b"WEBP": Kind("image/webp"), b"WAVE": Kind("audio/wav")}
_BRANDS: Final = {
    b"qt  ": Kind("video/quicktime"),
    b"M4A ": Kind("audio/mp4"),
    b"M4B ": Kind("audio/mp4"),
    b"heic": Kind("image/heic"),
    b"heix": Kind("image/heic"),
    b"mif1": Kind("image/heic"),
    b"msf1": Kind("image/heic"),
    b"avif": Kind("image/avif"),
    b"avis": Kind("image/avif"),
}
_QUICKTIME_ATOMS: Final = {b"moov", b"mdat", b"wide", b"pnot"}
_EBML_TYPES: Final = {b"webm": Kind("video/webm"), b"matroska": Kind("video/x-matroska")}

_PROGRAM: Final = Kind("application/vnd.microsoft.portable-executable", active=True)
_MARKUP: Final = re.compile(
    rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\t\n\f\r ]*<(?:(?P<xml>\?xml|xsl:)|!doctype|!--|!\[cdata\[|(?:(?P<svg>svg|[a-z]+:svg)"
    rb"|a|applet|audio|b|base|body|br|button|div|embed|font|form|frame|frameset|h1|head|html|iframe|img|input|isindex|link|math|meta"
    rb"|object|p|script|style|table|template|title|video)(?=[\t\n\f\r />]|$))",
    re.IGNORECASE,
)


def sniff(head: bytes) -> Kind:
    """The kind of a file whose first bytes these are; at most `HEAD_BYTES` are looked at."""
    head = head[:HEAD_BYTES]
    # Without NULs UTF-16 and UTF-32 read like ASCII.
    if found := _MARKUP.match(head.replace(b"\0", b"")):
        media = "image/svg+xml" if found["svg"] else "application/xml" if found["xml"] else "text/html"
        return Kind(media, active=True)
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    return _by_container(head) or _by_rules(head)


def may_be_text(head: bytes) -> bool:
    """Whether it is text in some encoding: UTF-16 or UTF-32 that says so, or any without NUL."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" not in head


def is_text(head: bytes, *, whole: bool = False) -> bool:
    """Whether it is UTF-8 without NUL; unless it is the whole, its last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def _by_container(head: bytes) -> Kind | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    if head[4:8] in _QUICKTIME_ATOMS:
        return Kind("video/quicktime")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        _, _, document_type = head[:64].partition(b"\x42\x82")
        return next((kind for name, kind in _EBML_TYPES.items() if document_type[1:].startswith(name)), None)
    return None


def _by_brands(head: bytes) -> Kind:
    """By the first brand; one for images of any coding says in those that follow which it is (ISO/IEC 23008-12)."""
    first = head[8:12]
    if first in {b"mif1", b"msf1"}:
        size = int.from_bytes(head[:4], "big")
        others = [head[at : at + 4] for at in range(16, min(size, len(head)), 4)]
        first = next((brand for brand in others if brand in {b"avif", b"avis"}), first)
    return _BRANDS.get(first, Kind("video/mp4"))


def _is_old_tar(head: bytes) -> bool:
    """A header from before POSIX, which has no mark but its checksum."""
    digits = head[148:156].strip(b" \0")
    if len(head) < 512 or not head[0] or not digits or set(digits) - set(b"01234567"):
        return False
    return int(digits, 8) == sum(head[:148]) + 8 * 0x20 + sum(head[156:512])


def _by_rules(head: bytes) -> Kind:
    text = is_text(head)
    if head.startswith(b"MZ") and not text:
        return _PROGRAM
    if _is_mp3_frame(head):
        return Kind("audio/mpeg")
    if _is_old_tar(head):
        return Kind(TAR)
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return Kind("image/bmp")
    return Kind(TEXT if text else OCTETS)


def _is_mp3_frame(head: bytes) -> bool:
    """A header of layer III with a bit rate and a sampling rate that exist; UTF-16's byte order mark is none."""
    return (
        len(head) >= 4
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[1] & 0x18 != 0x08
        and head[2] >> 4 not in {0, 15}
        and head[2] & 0x0C != 0x0C
    )
