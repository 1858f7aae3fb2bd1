"""One bucket: what is stored is read again, whole or not at all; what is wrong is said."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import boto3.session
import pytest

from backplane.errors import Transient
from backplane.objects.bucket import Bucket
from backplane.objects.failures import Absent, Changed, Misconfigured, WrongSize
from backplane.objects.parts import WHOLE_BYTES
from backplane.objects.s3 import Objects
from backplane.settings import Settings
from tests.objects import content_of, opened, put, stream
from tests.services import free_port

pytestmark = pytest.mark.anyio

LATER_MS = 2**42
"""2109: everything is older."""


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 + 1, WHOLE_BYTES, WHOLE_BYTES + 1, 3 * WHOLE_BYTES - 7])
async def test_what_is_stored_is_read_again(objects: Objects, size: int) -> None:
    content = secrets.token_bytes(size)
    before_ms = int(time.time()) * 1000
    etag = await objects.quarantine.put_stream("roundtrip", stream(content), "text/x-own", size)
    info = await objects.quarantine.head("roundtrip")
    assert info is not None
    assert (info.size, info.etag, info.content_type) == (size, etag, "text/x-own")
    assert before_ms <= info.modified_ms <= time.time() * 1000
    assert await content_of(objects, "roundtrip") == content


async def test_chunks_are_small(objects: Objects) -> None:
    etag = await put(objects, "chunks", bytes(1_000_000))
    sizes = [len(chunk) async for chunk in objects.quarantine.read("chunks", etag=etag)]
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 256 * 1024


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, WHOLE_BYTES, 3 * WHOLE_BYTES - 7])
async def test_the_digest_is_of_the_whole_content(objects: Objects, size: int) -> None:
    content = secrets.token_bytes(size)
    etag = await put(objects, "digest", content)
    assert await objects.quarantine.sha256("digest", etag=etag) == hashlib.sha256(content).hexdigest()


async def test_there_is_no_digest_of_what_was_swapped_or_is_not_there(objects: Objects) -> None:
    etag = await put(objects, "digested", b"harmless")
    await put(objects, "digested", b"harmful!")
    with pytest.raises(Changed):
        await objects.quarantine.sha256("digested", etag=etag)
    with pytest.raises(Absent):
        await objects.quarantine.sha256("nothing", etag=etag)


async def test_what_was_swapped_after_the_look_is_not_read(objects: Objects) -> None:
    etag = await put(objects, "swapped", b"harmless")
    await put(objects, "swapped", b"harmful!")
    with pytest.raises(Changed):
        await anext(objects.quarantine.read("swapped", etag=etag))


async def test_what_is_swapped_while_it_is_read_is_never_mixed(objects: Objects) -> None:
    """Either the old content comes to its end, or the reading fails: nobody judges half of each."""
    first, second = bytes(12_000_000), b"\xff" * 12_000_000
    etag = await put(objects, "mixed", first)
    seen = bytearray()
    with contextlib.suppress(Transient, Changed):
        async for chunk in objects.quarantine.read("mixed", etag=etag):
            if not seen:
                await put(objects, "mixed", second)
            seen += chunk
    assert first.startswith(seen)
    assert await content_of(objects, "mixed") == second


async def test_what_is_not_there_is_said(objects: Objects) -> None:
    assert await objects.quarantine.head("nothing") is None
    with pytest.raises(Absent):
        await anext(objects.quarantine.read("nothing", etag="0" * 32))


async def test_deleted_twice_is_deleted(objects: Objects) -> None:
    await put(objects, "deleted", b"x")
    await objects.quarantine.delete("deleted")
    assert await objects.quarantine.head("deleted") is None
    await objects.quarantine.delete("deleted")


@pytest.mark.parametrize("size", [10, WHOLE_BYTES + 10])
@pytest.mark.parametrize("off", [-1, 1])
async def test_a_stream_of_another_length_is_not_stored(objects: Objects, size: int, off: int) -> None:
    with pytest.raises(WrongSize):
        await objects.quarantine.put_stream("length", stream(bytes(size + off)), "text/plain", size)
    assert await objects.quarantine.head("length") is None
    assert await objects.quarantine.abort_older("length", LATER_MS) == 0


async def test_a_stream_that_breaks_leaves_nothing(objects: Objects) -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield bytes(WHOLE_BYTES)
        raise ConnectionResetError("the client has gone")

    with pytest.raises(ConnectionResetError):
        await objects.quarantine.put_stream("broken", broken(), "text/plain", 2 * WHOLE_BYTES)
    assert await objects.quarantine.head("broken") is None
    assert await objects.quarantine.abort_older("broken", LATER_MS) == 0


async def test_an_upload_that_is_cancelled_leaves_nothing(objects: Objects) -> None:
    under_way = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes]:
        yield bytes(WHOLE_BYTES)
        under_way.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(objects.quarantine.put_stream("cancelled", slow(), "text/plain", 2 * WHOLE_BYTES))
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await objects.quarantine.abort_older("cancelled", LATER_MS) == 0


async def test_uploads_that_never_ended_are_ended(objects: Objects, s3_settings: Settings) -> None:
    raw = driver(s3_settings)
    for number in range(3):
        raw.create_multipart_upload(Bucket=objects.quarantine.name, Key=f"left/{number}")
    assert await objects.quarantine.abort_older("left/", 1000) == 0
    assert await objects.quarantine.abort_older("left/", LATER_MS, page=2) == 3
    assert await objects.quarantine.abort_older("left/", LATER_MS) == 0


async def test_a_sweep_sees_what_is_older_page_by_page(objects: Objects) -> None:
    for number in range(5):
        await put(objects, f"sweep/{number}", b"x")
    await put(objects, "other/0", b"x")
    last = await objects.quarantine.head("sweep/4")
    assert last is not None

    async def keys(before_ms: int) -> list[str]:
        return [one.key async for one in objects.quarantine.list_older("sweep/", before_ms, page=2)]

    assert await keys(LATER_MS) == [f"sweep/{number}" for number in range(5)]
    assert await keys(last.modified_ms - 3_600_000) == []


Ask = Callable[[Bucket], Any]
EVERY: list[Ask] = [
    lambda bucket: bucket.head("x"),
    lambda bucket: anext(bucket.read("x", etag="0" * 32)),
    lambda bucket: bucket.put_stream("x", stream(b"x"), "text/plain", 1),
    lambda bucket: bucket.put_stream("x", stream(bytes(WHOLE_BYTES + 1)), "text/plain", WHOLE_BYTES + 1),
    lambda bucket: bucket.delete("x"),
    lambda bucket: anext(bucket.list_older("", LATER_MS)),
    lambda bucket: bucket.abort_older("", LATER_MS),
]


@pytest.mark.parametrize("ask", EVERY)
async def test_a_bucket_that_is_not_there_is_our_mistake(objects: Objects, s3_settings: Settings, ask: Ask) -> None:
    async with opened(s3_settings.model_copy(update={"s3_quarantine_bucket": "no-such-bucket"})) as lost:
        with pytest.raises(Misconfigured) as caught:
            await ask(lost.quarantine)
    assert "no-such-bucket" in str(caught.value)


@pytest.mark.parametrize("ask", EVERY)
async def test_wrong_keys_are_our_mistake_and_are_not_told(objects: Objects, s3_settings: Settings, ask: Ask) -> None:
    wrong = load_wrong(s3_settings)
    async with opened(wrong) as lost:
        with pytest.raises(Misconfigured) as caught:
            await ask(lost.quarantine)
    check_words(str(caught.value), wrong)


@pytest.mark.parametrize("ask", EVERY)
async def test_a_server_that_is_away_is_transient_and_said_at_once(s3_settings: Settings, ask: Ask) -> None:
    away = s3_settings.model_copy(update={"s3_url": f"http://127.0.0.1:{free_port()}"})
    async with opened(away) as objects:
        started = time.monotonic()
        with pytest.raises(Transient) as caught:
            await ask(objects.quarantine)
        assert time.monotonic() - started < 2
    check_words(str(caught.value), away)


async def test_ping_says_what_is_missing(objects: Objects, s3_settings: Settings) -> None:
    assert 0 < await objects.ping() < 5
    async with opened(s3_settings.model_copy(update={"s3_bucket": "no-such-bucket"})) as lost:
        with pytest.raises(Misconfigured, match=r"no bucket no-such-bucket; run `headrace migrate`"):
            await lost.ping()


def load_wrong(settings: Settings) -> Settings:
    assert settings.s3_secret_key is not None
    return settings.model_copy(update={"s3_secret_key": type(settings.s3_secret_key)("not-the-secret-key")})


def check_words(words: str, settings: Settings) -> None:
    """One line, no address, no key."""
    assert "\n" not in words
    assert words.startswith("S3: ")
    assert "http" not in words
    assert settings.s3_access_key is not None
    assert settings.s3_access_key.get_secret_value() not in words
    assert "not-the-secret-key" not in words


def driver(settings: Settings) -> Any:
    assert settings.s3_access_key is not None
    assert settings.s3_secret_key is not None
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
    )
