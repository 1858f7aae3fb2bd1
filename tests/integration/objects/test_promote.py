"""From quarantine to clean: exactly what was looked at, under our type, once."""

import asyncio
import secrets

import pytest

from backplane.objects.failures import Absent, Changed
from backplane.objects.parts import WHOLE_BYTES
from backplane.objects.s3 import Objects
from tests.objects import put, stream

pytestmark = pytest.mark.anyio


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


async def clean_content(objects: Objects, key: str) -> bytes:
    info = await objects.clean.head(key)
    assert info is not None
    return b"".join([chunk async for chunk in objects.clean.read(key, etag=info.etag)])


@pytest.mark.parametrize("size", [11, WHOLE_BYTES + 1])
async def test_a_copy_has_the_content_and_our_type(objects: Objects, key: str, size: int) -> None:
    content = secrets.token_bytes(size)
    etag = await put(objects, key, content, "text/html")
    copy = await objects.promote(key, etag, f"{key}/clean", "image/png")
    assert (copy.size, copy.content_type, copy.source_etag) == (size, "image/png", etag)
    assert copy == await objects.clean.head(f"{key}/clean")
    assert await clean_content(objects, f"{key}/clean") == content


async def test_what_was_swapped_after_the_scan_is_not_promoted(objects: Objects, key: str) -> None:
    etag = await put(objects, key, b"harmless")
    await put(objects, key, b"harmful!")
    with pytest.raises(Changed):
        await objects.promote(key, etag, key, "text/plain")
    assert await objects.clean.head(key) is None


async def test_promoted_already_is_promoted_also_when_the_source_is_gone(objects: Objects, key: str) -> None:
    etag = await put(objects, key, b"once")
    first = await objects.promote(key, etag, key, "text/plain")
    assert await objects.promote(key, etag, key, "text/plain") == first
    await objects.quarantine.delete(key)
    assert await objects.promote(key, etag, key, "text/plain") == first


async def test_a_later_upload_does_not_change_what_is_clean(objects: Objects, key: str) -> None:
    etag = await put(objects, key, b"the first")
    await objects.promote(key, etag, key, "text/plain")
    other = await put(objects, key, b"the other")
    with pytest.raises(Changed):
        await objects.promote(key, other, key, "text/plain")
    assert await clean_content(objects, key) == b"the first"


async def test_a_target_that_somebody_else_wrote_is_never_taken_for_ours(objects: Objects, key: str) -> None:
    """The same bytes, but under a type that we did not give them."""
    etag = await put(objects, key, b"the same")
    assert await objects.clean.put_stream(key, stream(b"the same"), "text/html", 8) == etag
    with pytest.raises(Changed):
        await objects.promote(key, etag, key, "text/plain")


async def test_what_is_not_there_is_not_promoted(objects: Objects, key: str) -> None:
    with pytest.raises(Absent):
        await objects.promote(key, "0" * 32, key, "text/plain")
    assert await objects.clean.head(key) is None


async def test_many_promote_at_once_and_all_see_the_same(objects: Objects, key: str) -> None:
    etag = await put(objects, key, b"wanted by all")
    copies = await asyncio.gather(*(objects.promote(key, etag, key, "text/plain") for _ in range(8)))
    assert len(set(copies)) == 1
