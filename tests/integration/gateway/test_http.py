"""What surrounds HTTP on a real port: heads that do not end, names that are not ours, proxies that speak for others."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from backplane.settings import load_settings
from gateway import http
from gateway.addresses import address_of
from gateway.app import make_server
from gateway.rest.application import make_application
from tests.services import free_port

pytestmark = pytest.mark.anyio


async def whoami(request: Request) -> Response:
    return PlainTextResponse(f"{address_of(request)} {request.url.scheme}")


async def started(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(**overrides) -> AsyncIterator[int]:
    settings = load_settings({}, environment="development", **overrides)
    application = make_application([Route("/whoami", whoami), Route("/health", whoami)], settings)
    server = make_server(application, settings.trusted_proxies)
    server.config.port = port = free_port()
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        await started(server)
    yield port
    server.should_exit = True
    await task


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.4)


async def dropped_after(port: int, *said: bytes, pause: float = 0.0) -> float:
    """Seconds until the server drops a connection that says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        for part in said:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
    writer.close()
    return time.monotonic() - began


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "said",
    [
        [],
        [b"GET / HTTP/1.1\r\n"],
        [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X: y\r\n"] * 20],
        [b"\r\n"] * 20,
    ],
    ids=["silent", "half", "slow", "newlines"],
)
async def test_a_head_that_does_not_end_ends_the_connection(said: list[bytes]) -> None:
    async with serving() as port:
        assert 0.3 < await dropped_after(port, *said, pause=0.05) < 2.0


@pytest.mark.usefixtures("impatient")
async def test_the_head_of_a_further_request_has_to_end_too() -> None:
    async with serving() as port:
        said = [b"GET /whoami HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 20]
        assert 0.4 < await dropped_after(port, *said, pause=0.05) < 2.0


async def test_who_was_served_and_is_silent_stays_longer_than_load_balancers_keep_connections() -> None:
    server = make_server(make_application([], load_settings({}, environment="development")), ())
    assert server.config.timeout_keep_alive > 60


async def test_a_head_without_a_bound_ends_the_connection() -> None:
    async with serving() as port:
        endless = [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X-Filler: " + b"x" * 8000 + b"\r\n"] * 30]
        assert await dropped_after(port, *endless) < 2.0


@pytest.mark.usefixtures("impatient")
async def test_requests_one_after_the_other_and_all_at_once_are_served() -> None:
    request = b"GET /whoami HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request)
            assert await reader.readuntil(b"http") != b""
            await asyncio.sleep(0.6)  # longer than a head may take: it has not begun
        writer.write(request * 20)
        for _ in range(20):
            assert await reader.readuntil(b"http") != b""
        writer.close()


async def test_only_our_names_are_answered_but_health_always_is() -> None:
    async with serving(allowed_hosts="chat.example") as port, httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}"
        assert (await client.get(f"{url}/whoami", headers={"Host": "chat.example"})).status_code == 200
        refused = await client.get(f"{url}/whoami", headers={"Host": "evil.example"})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert (await client.get(f"{url}/health")).status_code == 200


@pytest.mark.parametrize(
    ("trusted", "said", "seen"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9 https"),
        (
            "127.0.0.0/8",
            "198.51.100.1, 203.0.113.9",
            "203.0.113.9 https",
        ),  # what the client itself has said does not count
        ("10.0.0.0/8", "203.0.113.9", "127.0.0.1 http"),
    ],
)
async def test_only_a_trusted_proxy_speaks_for_others(trusted: str, said: str, seen: str) -> None:
    async with serving(trusted_proxies=trusted) as port, httpx2.AsyncClient() as client:
        headers = {"X-Forwarded-For": said, "X-Forwarded-Proto": "https"}
        assert (await client.get(f"http://127.0.0.1:{port}/whoami", headers=headers)).text == seen
