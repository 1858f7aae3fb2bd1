"""Documents that are zips."""

import io
import zipfile

import pytest

from consumers.inspection.budget import Limits
from consumers.inspection.declared import EPUB, ODF, OOXML
from consumers.inspection.office import judge_office
from tests.unit.consumers.inspection.samples import directory, local_header, zipped

DOCX, XLSX, PPTX = OOXML
ODT = "application/vnd.oasis.opendocument.text"


def judge(declared: str, content: bytes) -> str | None:
    problem = judge_office(declared, io.BytesIO(content), Limits())
    return problem and problem.code


def document(folder: str, *more: str) -> bytes:
    return zipped(dict.fromkeys(("_rels/.rels", f"{folder}document.xml", "[Content_Types].xml", *more), b"<x/>"))


def open_document(media: str) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), media)
        archive.writestr("content.xml", "<x/>", zipfile.ZIP_DEFLATED)
    return file.getvalue()


@pytest.mark.parametrize(("media", "folder"), OOXML.items())
def test_a_document_is_known_by_its_entries(media: str, folder: str) -> None:
    assert judge(media, document(folder)) is None
    for other in OOXML:
        assert judge(other, document(folder)) == (None if other == media else "wrong_type")
    assert judge(media, zipped({f"{folder}document.xml": b""})) == "wrong_type"
    assert judge(media, zipped({})) == "wrong_type"


@pytest.mark.parametrize("media", [*ODF, EPUB])
def test_an_open_document_says_its_type_first(media: str) -> None:
    assert judge(media, open_document(media)) is None
    assert judge(media, open_document(media + "-template")) == "wrong_type"
    assert judge(media, open_document(media[:-1])) == "wrong_type"
    assert judge(media, document("word/")) == "wrong_type"
    assert judge(media, b"PK") == "wrong_type"


@pytest.mark.parametrize("name", ["word/vbaProject.bin", "word/VBAPROJECT.BIN", "x/vbaProject.bin"])
def test_macros_are_not_taken_under_the_name_of_a_document_without(name: str) -> None:
    assert judge(DOCX, document("word/", name)) == "active_content"


def test_other_types_are_not_judged() -> None:
    assert judge("application/zip", document("word/", "word/vbaProject.bin")) is None
    assert judge("application/octet-stream", b"") is None


def test_a_directory_that_can_not_be_read_is_a_problem() -> None:
    assert judge(DOCX, b"PK\3\4 nothing") == "archive_damaged"
    flood = local_header(b"", b"", 0, 0) + directory([(b"", 0, 0, 0, 0)] * 20_000, at=30, count=1)
    assert judge(DOCX, flood) == "archive_entries"
