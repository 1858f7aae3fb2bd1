"""What was declared, against what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.inspection.declared import EPUB, ODF, OOXML, is_text_type, judge_type, served_type
from consumers.inspection.kinds import OCTETS, TEXT
from tests.unit.consumers.inspection.samples import zipped
from tests.unit.consumers.inspection.test_kinds import ACTIVE, HEADS

DOCX = next(iter(OOXML))


def code(declared: str, head: bytes) -> str | None:
    problem = judge_type(declared, head)
    return problem and problem.code


@pytest.mark.parametrize(
    ("declared", "media"),
    [
        *((media, media) for media in HEADS if media not in {"application/x-ole-storage", OCTETS}),
        ("image/jpg", "image/jpeg"), ("IMAGE/PNG", "image/png"), (" text/plain ; charset=utf-8", TEXT), ("text/csv", TEXT),
        ("application/json", TEXT), ("audio/mp3", "audio/mpeg"), ("audio/x-wav", "audio/wav"), ("audio/ogg", "application/ogg"),
        ("video/ogg", "application/ogg"), ("audio/webm", "video/webm"), ("video/mp4", "video/quicktime"), ("video/quicktime", "video/mp4"),
        ("audio/x-m4a", "audio/mp4"), ("application/x-zip-compressed", "application/zip"), (DOCX, "application/zip"),
        (EPUB, "application/zip"), *((one, "application/zip") for one in ODF), ("application/msword", "application/x-ole-storage"),
    ],
)  # fmt: skip
def test_what_is_what_it_says_has_no_problem(declared: str, media: str) -> None:
    for head in HEADS[media]:
        assert code(declared, head) is None


@pytest.mark.parametrize(
    "declared",
    ["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "application/zip", "video/mp4"],
)
def test_what_is_something_else_is_a_mismatch(declared: str) -> None:
    kin = {"video/mp4": {"video/quicktime", "audio/mp4"}}.get(declared, set())
    for media, heads in HEADS.items():
        for head in heads:
            assert code(declared, head) == (None if media in {declared, *kin} else "wrong_type"), head


@pytest.mark.parametrize("declared", ["text/plain", "text/csv", "application/json"])
@pytest.mark.parametrize("head", [b"a\0b", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7"])
def test_text_is_text(declared: str, head: bytes) -> None:
    assert is_text_type(declared)
    assert code(declared, head) == "wrong_type"


OTHER_TEXTS = ["grüße".encode("cp1252"), "grüße".encode("utf-16"), "a,b\r\n".encode("utf-16")]


@pytest.mark.parametrize("declared", ["text/plain", "text/csv", "text/markdown", "application/vnd.ms-excel"])
@pytest.mark.parametrize("head", OTHER_TEXTS)
def test_text_of_another_encoding_is_taken_as_octets(declared: str, head: bytes) -> None:
    assert code(declared, head) is None
    assert served_type(declared, head) == OCTETS


@pytest.mark.parametrize("head", OTHER_TEXTS)
def test_json_is_utf_8(head: bytes) -> None:
    assert code("application/json", head) == "wrong_type"


def test_what_windows_calls_a_csv_is_taken_as_octets() -> None:
    assert code("application/vnd.ms-excel", b"a,b\r\n1,2\r\n") is None
    assert served_type("application/vnd.ms-excel", b"a,b\r\n") == OCTETS
    assert code("application/vnd.ms-excel", b"\0\1\2\3") == "wrong_type"
    assert code("application/msword", b"a,b\r\n") == "wrong_type"


@pytest.mark.parametrize(
    "declared",
    ["text/html", "image/svg+xml", "application/xml", "image/png", TEXT, OCTETS, "application/x-thing", "", DOCX],
)
def test_what_runs_is_not_taken_under_any_name(declared: str) -> None:
    for heads in ACTIVE.values():
        for head in heads:
            assert code(declared, head) == "active_content"
            assert served_type(declared, head) == OCTETS


@pytest.mark.parametrize(
    "declared",
    [OCTETS, "", "application/x-thing", "image/x-thing", "text/html", "text/javascript", "image/svg+xml", "a/b; c"],
)
def test_what_is_not_known_is_taken_as_octets(declared: str) -> None:
    for heads in HEADS.values():
        for head in heads:
            assert code(declared, head) is None
            assert served_type(declared, head) == OCTETS


@given(st.text(max_size=30), st.sampled_from([head for heads in (*HEADS.values(), *ACTIVE.values()) for head in heads]))
def test_what_is_served_is_what_we_know(declared: str, head: bytes) -> None:
    served = served_type(declared, head)
    assert served == OCTETS or judge_type(served, head) is None


def test_it_is_served_by_the_name_that_we_know() -> None:
    assert served_type("Image/JPG; x=y", HEADS["image/jpeg"][0]) == "image/jpeg"
    assert served_type("image/png", HEADS["image/jpeg"][0]) == OCTETS, "what does not fit is not vouched for"
    assert served_type("text/csv", b"a,b") == "text/csv"
    assert served_type(DOCX, zipped({})) == DOCX


def test_what_is_told_repeats_nothing_of_the_senders() -> None:
    problem = judge_type("image/PNG; name=\x1b[2J", b"GIF89a")
    assert problem is not None
    assert problem.sentence == "The file was announced as image/png, but it is image/gif."
