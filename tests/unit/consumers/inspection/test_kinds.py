"""What a file is, by its first bytes."""

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.inspection.kinds import HEAD_BYTES, OCTETS, TEXT, Kind, is_text, sniff
from tests.unit.consumers.inspection.samples import gzipped, old_tarred, tarred, zipped

PE = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".ljust(64, b"\0") + b"PE\0\0"

HEADS = {
    "image/png": [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"],
    "image/jpeg": [b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"\xff\xd8\xff\xe1\0\0Exif", b"\xff\xd8\xff\xdb\0C"],
    "image/gif": [b"GIF87a\1\0\1\0", b"GIF89a\1\0\1\0"],
    "image/webp": [b"RIFF\x24\0\0\0WEBPVP8 ", b"RIFF\x24\0\0\0WEBPVP8L"],
    "image/tiff": [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"],
    "image/bmp": [b"BM" + struct.pack("<LHHL", 70, 0, 0, 54) + b"\x28\0\0\0"],
    "image/heic": [b"\0\0\0\x18ftypheic\0\0\0\0", b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf"],
    "image/avif": [b"\0\0\0\x1cftypavif\0\0\0\0", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"],
    "application/pdf": [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3"],
    "application/zip": [zipped({"a": b"b"}), zipped({})],
    "application/gzip": [gzipped(b"")],
    "application/x-tar": [tarred({"a": b"b"}), tarred({"a": b"b"}, 1), old_tarred({"a": b"b"})],
    "application/x-ole-storage": [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(8)],
    "audio/mpeg": [b"ID3\x03\0\0\0\0\0\x21", b"\xff\xfb\x90\x64", b"\xff\xf3\x40\xc4", b"\xff\xe3\x18\xc4"],
    "audio/wav": [b"RIFF\x24\0\0\0WAVEfmt "],
    "audio/flac": [b"fLaC\0\0\0\x22"],
    "audio/mp4": [b"\0\0\0\x20ftypM4A \0\0\0\0"],
    "application/ogg": [b"OggS\0\2" + bytes(8)],
    "video/mp4": [b"\0\0\0\x18ftypmp42\0\0\0\0", b"\0\0\0\x20ftypisom\0\0\2\0"],
    "video/quicktime": [b"\0\0\0\x14ftypqt  \0\0\2\0", b"\0\0\0\x08wide\0\0\0\0mdat", b"\0\0\x10\0moov"],
    "video/webm": [b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webmB\x87"],
    "video/x-matroska": [b"\x1a\x45\xdf\xa3\xa3B\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x88matroskaB\x87"],
    TEXT: [b"hello", b"", "grüße, 世界\n".encode(), b"MZ is a text too", b"BM", b"<3", b"< a", b"<abc>", b"<bold>", b"#!/bin/sh\n", b"{}"],
    OCTETS: [b"a\0b", b"\xff\xfe\xfd", b"RIFF\0\0\0\0AVI ", b"\x1a\x45\xdf\xa3\0", "grüße".encode("latin-1"), b"\xff\xfeh\0i\0", b"\xff\xfb\xf0\x64"],
}  # fmt: skip

ACTIVE = {
    "application/x-executable": [b"\x7fELF\2\1\1"],
    "application/vnd.microsoft.portable-executable": [PE, b"MZ\x90\0"],
    "application/x-mach-binary": [
        b"\xfe\xed\xfa\xce\0", b"\xfe\xed\xfa\xcf\0", b"\xce\xfa\xed\xfe\7", b"\xcf\xfa\xed\xfe\7", b"\xca\xfe\xba\xbe\0", b"\xca\xfe\xba\xbf\0",
    ],
    "text/html": [
        b"<!DOCTYPE html>", b"<!doctype HTML PUBLIC>", b"<html>", b"\n\t <HTML lang=en>", b"\xef\xbb\xbf<script>alert(1)</script>", b"<script\n",
        b"<!-- x --><b>", b"<!--x", b"<body/onload=alert(1)>", b"<img src=x onerror=alert(1)>", b"<iframe src=x>", b"<a href=x>", b"<p>", b"<math>",
        b"<meta http-equiv=refresh>", b"<![CDATA[", b"<b",
        "<html>".encode("utf-16"), "<html>".encode("utf-16-le"), "\n<script>".encode("utf-16-be"), "<html>".encode("utf-32"),
    ],
    "image/svg+xml": [b"<svg xmlns='http://www.w3.org/2000/svg'>", b" <SVG>", b"<svg:svg xmlns:svg='x'>", b"<x:svg>", "<svg>".encode("utf-16")],
    "application/xml": [b"<?xml version='1.0'?><svg/>", b"\xef\xbb\xbf<?xml version='1.0'?>", b"<?xml-stylesheet href='x'?>", b"<xsl:stylesheet>"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("media", "head"), [(media, head) for media, heads in HEADS.items() for head in heads], ids=str
)
def test_a_kind_is_known(media: str, head: bytes) -> None:
    assert sniff(head) == Kind(media)


@pytest.mark.parametrize(
    ("media", "head"), [(media, head) for media, heads in ACTIVE.items() for head in heads], ids=str
)
def test_what_runs_is_known_as_such(media: str, head: bytes) -> None:
    assert sniff(head) == Kind(media, active=True)


def test_the_program_that_runs_this_is_one() -> None:
    assert sniff(Path(sys.executable).resolve().read_bytes()[:HEAD_BYTES]).active


@given(st.binary(max_size=300))
def test_every_head_has_a_kind(head: bytes) -> None:
    found = sniff(head)
    assert (found.media == TEXT) <= is_text(head)
    assert (found.media == OCTETS) <= (not is_text(head))


@given(st.sampled_from([head for heads in ACTIVE.values() for head in heads]), st.binary(max_size=50))
def test_what_runs_stays_so_whatever_follows(head: bytes, rest: bytes) -> None:
    """But for heads that are cut within a word: more letters make it another one."""
    if head[-1:] != b"b":
        assert sniff(head + b"\0" + rest).active


def test_no_more_than_the_head_is_looked_at() -> None:
    assert sniff(b"a" * HEAD_BYTES + b"\0").media == TEXT


@given(st.text(max_size=40).filter(lambda text: "\0" not in text), st.integers(0, 40))
def test_text_may_be_cut_within_a_character_but_not_end_there(text: str, end: int) -> None:
    data = text.encode()
    assert is_text(data, whole=True)
    assert is_text(data[:end])
    if data[:end].decode(errors="ignore").encode() != data[:end]:
        assert not is_text(data[:end], whole=True)
