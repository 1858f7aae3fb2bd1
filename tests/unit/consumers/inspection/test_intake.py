"""One pass: nothing that is not as promised comes to its end, and what comes through is what came in."""

import hashlib
import io
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.inspection.budget import Limits
from consumers.inspection.declared import OOXML
from consumers.inspection.intake import Intake
from consumers.inspection.kinds import OCTETS
from consumers.inspection.problems import Refused
from consumers.inspection.promise import Promise, Tally
from tests.unit.consumers.inspection.samples import bomb, gzipped, zipped

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20_000)


def promise(content: bytes) -> Promise:
    return Promise(len(content), hashlib.sha256(content).digest())


class Source:
    """Content in chunks; how much of it was asked for."""

    def __init__(self, content: bytes, size: int = 1000) -> None:
        self.content, self.size, self.given = content, size, 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), self.size):
            self.given = start + self.size
            yield self.content[start : start + self.size]


async def through(intake: Intake, source: Source) -> bytes:
    return b"".join([chunk async for chunk in intake.through(source.chunks())])


async def code(content: bytes, declared: str, *, promised: Promise | None = None, size: int = 1000) -> str | None:
    intake = Intake(promised or promise(content), declared, io.BytesIO())
    try:
        await through(intake, Source(content, size))
    except Refused as refused:
        return refused.problem.code
    problem = intake.finish(Limits())
    return problem and problem.code


@given(st.lists(st.binary(max_size=50)))
def test_the_tally_does_not_depend_on_the_cuts(chunks: list[bytes]) -> None:
    tally = Tally(promise(b"".join(chunks)))
    for chunk in chunks:
        tally.add(chunk)
    assert tally.end() == hashlib.sha256(b"".join(chunks)).digest()


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_the_tally_tells_any_two_apart(promised: bytes, came: bytes) -> None:
    tally = Tally(promise(promised))
    if promised == came:
        tally.add(came)
        tally.end()
        return

    def count() -> None:
        tally.add(came)
        tally.end()

    with pytest.raises(Refused) as refused:
        count()
    assert refused.value.problem.code == ("wrong_checksum" if len(promised) == len(came) else "wrong_size")


@pytest.mark.parametrize("size", [1, 7, 4095, 4096, 4097, 100_000])
@pytest.mark.parametrize(
    ("content", "declared"),
    [(PNG, "image/png"), (b"", "text/plain"), (b"hello", "text/plain"), (zipped({"a": PNG}), "application/zip")],
)
async def test_what_comes_through_is_what_came_in(content: bytes, declared: str, size: int) -> None:
    aside = io.BytesIO()
    intake = Intake(promise(content), declared, aside)
    assert await through(intake, Source(content, size)) == content
    assert intake.finish(Limits()) is None
    assert intake.served_type == declared
    assert intake.sha256 == hashlib.sha256(content).digest()
    assert intake.is_image == (content is PNG)
    assert aside.getvalue() == (content if content.startswith((b"PK", b"\x89PNG")) else b""), (
        "archives and images are kept"
    )


@pytest.mark.parametrize("size", [1, 1000, 100_000])
@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("image/jpg", b"\xff\xd8\xff\xe0"),
        ("image/gif", b"GIF89a"),
        ("image/webp", b"RIFF\x00\x10\x00\x00WEBP"),
    ],
)
async def test_an_image_that_may_be_shown_is_kept(declared: str, head: bytes, size: int) -> None:
    for content in (head, head + bytes(9000)):
        aside = io.BytesIO()
        intake = Intake(promise(content), declared, aside)
        await through(intake, Source(content, size))
        assert intake.is_image
        assert intake.finish(Limits()) is None
        assert aside.getvalue() == content


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (PNG, "application/octet-stream"),
        (PNG, "image/x-thing"),
        (b"II*\0" + bytes(9000), "image/tiff"),
        (b"\0\0\0\x18ftypheic" + bytes(9000), "image/heic"),
        (b"hello", "text/plain"),
    ],
)
async def test_what_is_not_served_as_an_image_is_not_kept(content: bytes, declared: str) -> None:
    aside = io.BytesIO()
    intake = Intake(promise(content), declared, aside)
    await through(intake, Source(content))
    assert not intake.is_image
    assert not aside.getvalue()


async def test_an_archive_is_no_image() -> None:
    intake = Intake(promise(content := zipped({"a.png": PNG})), "application/zip", io.BytesIO())
    await through(intake, Source(content))
    assert not intake.is_image


async def test_size_and_checksum_are_held_to() -> None:
    assert await code(PNG, "image/png", promised=Promise(len(PNG) + 1, hashlib.sha256(PNG).digest())) == "wrong_size"
    assert await code(PNG, "image/png", promised=Promise(len(PNG), bytes(32))) == "wrong_checksum"
    assert await code(b"", "text/plain", promised=Promise(1, bytes(32))) == "wrong_size"


async def test_a_checksum_that_was_not_announced_is_not_compared_but_told() -> None:
    intake = Intake(Promise(len(PNG)), "image/png", io.BytesIO())
    await through(intake, Source(PNG))
    assert intake.sha256 == hashlib.sha256(PNG).digest()
    assert await code(PNG, "image/png", promised=Promise(len(PNG) + 1)) == "wrong_size"


async def test_more_than_was_promised_is_not_waited_for() -> None:
    source = Source(PNG * 100)
    with pytest.raises(Refused) as refused:
        await through(Intake(promise(PNG), "image/png", io.BytesIO()), source)
    assert refused.value.problem.code == "wrong_size"
    assert source.given <= len(PNG) + 1000


async def test_a_wrong_type_is_told_at_the_head() -> None:
    source = Source(PNG * 100)
    with pytest.raises(Refused) as refused:
        await through(Intake(promise(source.content), "image/jpeg", io.BytesIO()), source)
    assert refused.value.problem.code == "wrong_type"
    assert source.given == 5000


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
async def test_text_is_text_to_its_end(size: int) -> None:
    text = "grüße, 世界\n".encode() * 1000
    assert await code(text, "text/plain", size=size) is None
    assert await code(text + b"\0", "text/plain", size=size) == "wrong_type"
    assert await code(text + b"\xff", "application/json", size=size) == "wrong_type"
    assert await code(text[:-2], "application/json", size=size) == "wrong_type", "it ends within a character"
    assert await code(text + b"\0", "application/octet-stream", size=size) is None


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
@pytest.mark.parametrize("declared", ["text/plain", "text/csv"])
async def test_text_that_turns_out_not_to_be_utf_8_is_served_as_octets(declared: str, size: int) -> None:
    ascii_first = b"a,b,c\r\n" * 1000
    for content, served in (
        (ascii_first + "grüße".encode(), declared),
        (ascii_first + "grüße".encode("cp1252"), OCTETS),
        (ascii_first + "ü".encode()[:1], OCTETS),
        (("grüße, 世界\n" * 1000).encode("utf-16"), OCTETS),
    ):
        intake = Intake(promise(content), declared, io.BytesIO())
        assert await through(intake, Source(content, size)) == content
        assert intake.finish(Limits()) is None
        assert intake.served_type == served


@pytest.mark.parametrize("size", [1, 1000, 100_000])
@pytest.mark.parametrize(
    ("prefix", "declared"),
    [
        (b"x", "application/octet-stream"),
        (bytes(5), "application/octet-stream"),
        (b"ID3", "audio/mpeg"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
        (b"GIF89a" + bytes(200_000), "image/gif"),
    ],
)
async def test_a_zip_behind_something_else_is_not_overlooked(prefix: bytes, declared: str, size: int) -> None:
    hidden = zipped({"a.txt": b"hello", "b": PNG})
    assert await code(prefix + hidden, declared, size=size) == "archive_damaged"
    commented = hidden[:-2] + len(b"a comment").to_bytes(2, "little") + b"a comment"
    assert await code(prefix + commented, declared, size=size) == "archive_damaged"
    behind = await code(prefix + hidden + b"and more", declared, size=size)
    assert behind == (None if declared in {"application/pdf", "application/msword"} else "archive_damaged")
    assert await code(prefix + b"PK\x05\x06" + bytes(30), declared, size=size) is None, "an end of nothing"


async def test_what_is_short_and_active_is_found_too() -> None:
    assert await code(b"<svg>", "image/png") == "active_content"
    assert await code(b"\x7fELF", "application/octet-stream") == "active_content"


async def test_archives_are_looked_into_whatever_they_are_called() -> None:
    for declared in ("application/zip", "application/octet-stream", "application/x-thing"):
        assert await code(bomb(20), declared) == "archive_ratio"
        assert (
            await code(gzipped(zipped({"../a": b""})), declared if "zip" not in declared else "application/gzip")
            == "archive_names"
        )


async def test_a_document_is_held_to_its_name() -> None:
    docx = next(iter(OOXML))
    assert await code(zipped({"[Content_Types].xml": b"", "word/document.xml": b""}), docx) is None
    assert await code(zipped({"a": b"b"}), docx) == "wrong_type"


async def test_nothing_is_vouched_for_before_its_end() -> None:
    intake = Intake(promise(PNG), "image/png", io.BytesIO())
    with pytest.raises(RuntimeError):
        intake.finish(Limits())
    with pytest.raises(RuntimeError):
        _ = intake.sha256
    async for _ in intake.through(Source(PNG).chunks()):
        break
    with pytest.raises(RuntimeError):
        intake.finish(Limits())
    with pytest.raises(RuntimeError):
        _ = intake.sha256


async def test_what_was_refused_has_no_digest() -> None:
    intake = Intake(Promise(len(PNG) + 1), "image/png", io.BytesIO())
    with pytest.raises(Refused):
        await through(intake, Source(PNG))
    with pytest.raises(RuntimeError):
        _ = intake.sha256
