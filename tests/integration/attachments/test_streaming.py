"""Uploads through the gateway, for clients that can not reach the object store: exactly what was announced, and never held whole."""

import asyncio
import contextlib
import tracemalloc
import uuid
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2
import pytest

from backplane.objects.s3 import Objects
from backplane.settings import Settings
from gateway import uploads
from gateway.app import Gateway, make_server, open_gateway
from schemas.ids import MAX_SAFE_INTEGER
from tests.integration.attachments.conftest import Sender
from tests.services import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

OCTETS = "application/octet-stream"
MB = 1_000_000


@contextlib.asynccontextmanager
async def on_a_port(gateway: Gateway) -> AsyncGenerator[int]:
    server = make_server(gateway.public, ())
    server.config.port = port = free_port()
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await task


@pytest.fixture(scope="module")
async def port(gateway: Gateway) -> AsyncIterator[int]:
    async with on_a_port(gateway) as port:
        yield port


async def put(person: Sender, file: str, content: bytes) -> httpx2.Response:
    return await person("PUT", f"/api/attachments/{file}/content", content=content)


async def announced(person: Sender, size: int) -> str:
    body = {"name": "a.bin", "content_type": OCTETS, "size": size}
    answer = await person("POST", "/api/attachments", json=body, key=str(uuid.uuid4()))
    assert answer.status_code == 201, answer.text
    return answer.json()["attachment_id"]


def head(person: Sender, file: str, length: int | None, *more: str) -> bytes:
    lines = [
        f"PUT /api/attachments/{file}/content HTTP/1.1",
        "Host: gateway.test",
        f"Authorization: Bearer {person.tokens['access_token']}",
        f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked",
        "Connection: close",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def status_of(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(30):
        return int((await reader.readline()).split()[1])


async def test_the_end_of_the_body_completes_the_upload(alice: Sender) -> None:
    content = b"\0hello"
    file = await announced(alice, len(content))
    answer = await put(alice, file, content)
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    assert (await alice.verdict(file))["status"] == "clean"
    assert (await alice.fetch(file)).content == content
    again = await put(alice, file, b"\0hullo")
    assert (again.status_code, again.json()["status"]) == (200, "clean"), "it is over, and nothing is changed"
    assert (await alice.fetch(file)).content == content


@pytest.mark.parametrize("content", [b"hell", b"hello!", b""])
async def test_another_length_than_was_announced_is_refused(alice: Sender, objects: Objects, content: bytes) -> None:
    file = await announced(alice, 5)
    answer = await put(alice, file, content)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert await objects.quarantine.head(f"{alice.user_id}/{file}") is None
    assert (await put(alice, file, b"hello")).status_code == 200, "it may be tried again"


async def test_a_body_without_a_length_is_refused(alice: Sender, port: int) -> None:
    file = await announced(alice, 5)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(alice, file, None) + b"5\r\nhello\r\n0\r\n\r\n")
    assert await status_of(reader) == 400
    writer.close()


async def test_a_body_over_the_limit_is_refused_before_it_comes(alice: Sender, port: int) -> None:
    file = await announced(alice, 5)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(alice, file, 30_000_001))
    assert await status_of(reader) == 413
    writer.close()


async def test_a_long_body_is_for_uploads_alone(alice: Sender) -> None:
    body = b'{"name": "' + b"x" * 2 * MB + b'"}'
    assert (await alice("POST", "/api/attachments", content=body)).status_code == 413


async def test_a_client_that_stops_in_the_middle_leaves_nothing_and_may_come_again(
    alice: Sender, objects: Objects, port: int
) -> None:
    content = b"\1" * (12 * MB)
    file = await announced(alice, len(content))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(alice, file, len(content)) + content[: 9 * MB])
    await writer.drain()
    writer.transport.abort()
    assert await objects.quarantine.head(f"{alice.user_id}/{file}") is None
    assert (await alice("GET", f"/api/attachments/{file}")).json()["status"] == "uploading"
    assert (await alice.complete(file)).json()["code"] == "attachment_not_ready"
    async with httpx2.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}") as http:
        again = await put(Sender(http, alice.user_id, alice.username, alice.tokens), file, content)
    assert again.status_code == 200
    assert (await alice.verdict(file))["status"] == "clean"
    assert await objects.quarantine.abort_older("", MAX_SAFE_INTEGER) == 0, "no parts are left that no list shows"


@pytest.mark.parametrize(("at_once", "is_for_all"), [(2, True), (4, False)])
async def test_of_too_many_at_once_the_last_is_told_to_wait(
    file_settings: Settings, alice: Sender, bob: Sender, at_once: int, *, is_for_all: bool
) -> None:
    """Of all together, and of one person: half of the places."""
    senders = [alice, bob if is_for_all else alice, alice]
    files = [await announced(sender, 100) for sender in senders]
    settings = file_settings.model_copy(update={"uploads_at_once": at_once})
    async with open_gateway(settings) as gateway, on_a_port(gateway) as port, asyncio.timeout(30):
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for sender, file, (reader, writer) in zip(senders, files, slow, strict=False):
            writer.write(head(sender, file, 100, "Expect: 100-continue"))
            assert await status_of(reader) == 100, "it is asked for, so it has its place"
            assert await reader.readline() == b"\r\n"
            writer.write(b"\1" * 50)
        http = httpx2.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}")
        third = Sender(http, alice.user_id, alice.username, alice.tokens)
        answer = await put(third, files[2], b"\1" * 100)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert "retry-after" in answer.headers
        for reader, writer in slow:
            writer.write(b"\1" * 50)
            assert await status_of(reader) == 200
            writer.close()
        assert (await put(third, files[2], b"\1" * 100)).status_code == 200, "there is room again"
        await http.aclose()


async def test_who_is_slower_than_can_be_waited_for_loses_its_place(
    file_settings: Settings, alice: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However steadily it comes."""
    monkeypatch.setattr(uploads, "CHUNK_SECONDS", 1.0)
    file = await announced(alice, 10_000)
    async with open_gateway(file_settings) as gateway, on_a_port(gateway) as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(alice, file, 10_000))
        answered = asyncio.create_task(status_of(reader))
        while not answered.done():
            writer.write(b"\1")
            await asyncio.sleep(0.05)
        assert answered.result() == 400
        writer.close()


async def test_an_upload_is_never_held_whole(alice: Sender, port: int) -> None:
    size, piece = 25 * MB, b"\1" * 50_000
    file = await announced(alice, size)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        writer.write(head(alice, file, size))
        for _ in range(size // len(piece)):
            writer.write(piece)
            await writer.drain()
        assert await status_of(reader) == 200
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    writer.close()
    assert most - before < 16 * MB
    assert (await alice.verdict(file))["status"] == "clean"
