"""Links to clean objects: named and typed by us, whatever is stored, and nothing without a signature."""

import asyncio
from urllib.parse import unquote, urlsplit

import pytest

from backplane.objects.s3 import Objects
from tests.objects import get, put

pytestmark = pytest.mark.anyio

CONTENT = b"<script>alert(1)</script>"


@pytest.fixture
async def served(objects: Objects) -> Objects:
    etag = await put(objects, "linked", CONTENT, "text/html")
    await objects.promote("linked", etag, "linked", "application/octet-stream")
    return objects


async def link(objects: Objects, name: str = "a.bin", content_type: str = "application/pdf", **more: bool) -> str:
    return await objects.presign_download("linked", 60, file_name=name, content_type=content_type, **more)


@pytest.mark.parametrize(
    ("name", "saved_as"),
    [
        ("report.pdf", "report.pdf"),
        ("Überblick 東京 🎉.pdf", "Überblick 東京 🎉.pdf"),
        ('a"; filename=evil.exe; x="', "a_; filename=evil.exe; x=_"),
        ("a\r\nSet-Cookie: x=1\r\n\r\n<html>", "aSet-Cookie_ x=1_html_"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("'%22%0d%0a", "'%22%0d%0a"),
    ],
)
async def test_a_file_is_saved_under_its_name_and_never_shown(served: Objects, name: str, saved_as: str) -> None:
    answer = await get(await link(served, name))
    assert (answer.status_code, answer.content) == (200, CONTENT)
    kind, _, said = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert (kind, unquote(said)) == ("attachment", saved_as)
    assert answer.headers["content-type"] == "application/pdf"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [("image/png", "inline"), ("image/svg+xml", "attachment"), ("text/html", "attachment"), ("application/pdf", "attachment")],
)  # fmt: skip
async def test_only_images_without_script_are_shown(served: Objects, content_type: str, kind: str) -> None:
    answer = await get(await link(served, content_type=content_type, inline=True))
    assert answer.headers["content-disposition"].partition(";")[0] == kind
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("attachment", "inline"), ("application%2Fpdf", "text%2Fhtml"), ("/linked?", "/other?"), ("Expires=60", "Expires=6000")],
)  # fmt: skip
async def test_a_link_that_was_changed_opens_nothing(served: Objects, ours: str, theirs: str) -> None:
    url = await link(served)
    assert ours in url
    answer = await get(url.replace(ours, theirs))
    assert answer.status_code == 403
    assert CONTENT not in answer.content


async def test_without_a_signature_nothing_is_read(served: Objects) -> None:
    answer = await get(urlsplit(await link(served))._replace(query="").geturl())
    assert answer.status_code == 403


async def test_a_link_leads_to_the_clean_bucket_alone(objects: Objects) -> None:
    await put(objects, "not judged", b"who knows")
    url = await objects.presign_download("not judged", 60, file_name="a", content_type="text/plain")
    assert (await get(url)).status_code == 404


async def test_a_link_expires(served: Objects) -> None:
    url = await served.presign_download("linked", 1, file_name="a", content_type="text/plain")
    async with asyncio.timeout(10):
        while (await get(url)).status_code != 403:  # noqa: ASYNC110 it is time that it waits for
            await asyncio.sleep(0.1)
