"""What is clean arrives byte for byte, under its name, with a type that we vouch for; of an image, what clients lay out by."""

import io
import random

import pytest
from PIL import Image

from backplane.settings import Settings
from tests.integration.attachments.conftest import Sender
from tests.integration.attachments.watching import watching
from tests.unit.consumers.imaging.photos import gradient, halves, saved
from tests.unit.consumers.inspection.samples import gzipped, tarred, zipped

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

OCTETS = "application/octet-stream"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SECRET = "taken at home"


def photo(width: int, height: int, orientation: int) -> bytes:
    """A photo as a telephone makes it: turned, and with EXIF that tells more than its owner wants to."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, SECRET
    return saved(gradient(width, height), "JPEG", exif=exif)


FILES = {
    "text.txt": ("text/plain", b"some text\n", "text/plain"),
    "Grüße 🎉.md": ("text/markdown; charset=utf-8", "Grüße".encode(), "text/markdown"),
    "paper.pdf": ("application/pdf", b"%PDF-1.7\n1 0 obj\n", "application/pdf"),
    "a.zip": ("application/x-zip-compressed", zipped({"a.txt": b"a", "b/c.txt": b"c"}), "application/zip"),
    "a.tar.gz": ("application/gzip", gzipped(tarred({"a": b"a"})), "application/gzip"),
    "a.docx": (DOCX, zipped({"[Content_Types].xml": b"x", "word/document.xml": b"x"}), DOCX),
    "large.bin": (OCTETS, b"\1" + random.Random(5).randbytes(20_000_000), OCTETS),
    "of.unknown": ("application/x-never-heard-of", b"\0\1\2", OCTETS),
    "picture.png": ("image/png", saved(halves(900, 300), "PNG"), "image/png"),
    "photo.jpg": ("image/jpeg", photo(800, 600, 6), "image/jpeg"),
}


@pytest.mark.parametrize("name", FILES)
async def test_a_clean_file_arrives_as_it_was(file_settings: Settings, alice: Sender, bob: Sender, name: str) -> None:
    media, content, served = FILES[name]
    file = await alice.upload(content, name, media)
    assert (await alice.send(await alice.group(bob), file)).status_code == 201
    assert (await bob.verdict(file))["status"] == "clean"
    got = await bob.fetch(file)
    assert (got.status_code, got.content) == (200, content)
    assert got.headers["content-type"] == served
    assert got.headers["content-disposition"].startswith("attachment; filename*=UTF-8''"), (
        "also an image: it is not ours"
    )
    assert got.headers["cache-control"] == f"private, max-age={file_settings.download_seconds}", (
        "no longer than the link"
    )


async def test_a_name_survives_its_way(alice: Sender) -> None:
    file = await alice.upload(b"x", "Grüße 🎉.txt")
    await alice.verdict(file)
    got = await alice.fetch(file)
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%F0%9F%8E%89.txt"


async def test_an_image_has_its_size_as_shown_and_a_thumbnail_that_tells_nothing_more(
    alice: Sender, bob: Sender
) -> None:
    content = photo(800, 600, 6)
    assert SECRET.encode() in content
    file = await alice.upload(content, "photo.jpg", "image/jpeg")
    await alice.send(await alice.group(bob), file)
    shown = await bob.verdict(file)
    assert (shown["width"], shown["height"]) == (600, 800)
    assert shown["thumbnail"] == {"width": 384, "height": 512}
    got = await bob.fetch(file, "thumbnail")
    assert got.status_code == 200
    assert got.headers["content-disposition"].startswith("inline;")
    assert got.headers["content-type"] in {"image/webp", "image/jpeg"}
    picture = Image.open(io.BytesIO(got.content))
    assert picture.size == (384, 512)
    assert not picture.getexif()
    assert SECRET.encode() not in got.content


async def test_what_is_no_image_has_no_thumbnail(alice: Sender) -> None:
    file = await alice.upload(b"text")
    assert "thumbnail" not in await alice.verdict(file)
    answer = await alice("GET", f"/api/attachments/{file}/thumbnail")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_image_that_can_not_be_decoded_is_a_clean_file_without_a_thumbnail(alice: Sender) -> None:
    content = saved(halves(90, 30), "PNG")[:60]
    file = await alice.upload(content, "half.png", "image/png")
    shown = await alice.verdict(file)
    assert shown["status"] == "clean"
    assert {"width", "height", "thumbnail"}.isdisjoint(shown)
    assert (await alice.fetch(file)).content == content


async def test_the_watcher_of_these_tests_sees_what_can_be_had(
    file_settings: Settings, alice: Sender, bob: Sender
) -> None:
    file = await alice.upload(saved(halves(90, 30), "PNG"), "a.png", "image/png")
    await alice.send(await alice.group(bob), file)
    await bob.verdict(file)
    async with watching(file_settings, alice, bob) as watcher:
        watcher.watch(file, alice)
        await watcher.once_more()
    linked = {f"302 {person.username} {file} {what}" for person in (alice, bob) for what in ("content", "thumbnail")}
    assert set(watcher.got) == linked, "links alone: the store itself gives nothing to anybody who has none"
