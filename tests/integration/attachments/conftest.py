"""A whole deployment that takes files, on real servers, once a module: a gateway, consumers that scan, SeaweedFS, clamd."""

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backplane.objects.s3 import Objects
from backplane.objects.shapes import Upload
from backplane.redis import Redis
from backplane.scanner import Scanner
from backplane.scans import Scans
from backplane.settings import Settings
from backplane.store.mongo import Store
from consumers.process import run
from gateway.app import Gateway, open_gateway
from schemas.stages import Runnable
from tests.integration.attachments.by_hand import Bench
from tests.integration.gateway.rest.conftest import PASSWORD, Person, make_settings
from tests.objects import opened, post, settings_for, when_it_serves
from tests.services import SeaweedServer, Server, clamd_server

VERDICT_SECONDS = 30
PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
Join = Callable[[], Awaitable["Sender"]]


@pytest.fixture(scope="session")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = clamd_server(tmp_path_factory.mktemp("clamd"))
    if server is None:
        pytest.skip("clamd is not installed (Debian: apt-get install clamav-daemon)")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
async def file_settings(redis: Server, mongodb: Server, s3: SeaweedServer, clamd: Server) -> Settings:
    given = settings_for(s3).model_dump(
        include={"s3_url", "s3_access_key", "s3_secret_key", "s3_bucket", "s3_quarantine_bucket"}
    )
    settings = make_settings(
        redis,
        mongodb,
        **given,
        scanner_url=f"unix://{clamd.folder / 'clamd.ctl'}",
        scan_claim_seconds=3,
        attachment_sweep_seconds=0.5,
        attachment_max_bytes=30_000_000,
        signing_key=PEM,
        download_seconds=5,
    )
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    async with opened(settings) as objects:
        await when_it_serves(objects)
    return settings


@pytest.fixture(scope="module")
async def gateway(file_settings: Settings) -> AsyncIterator[Gateway]:
    async with open_gateway(file_settings) as gateway:
        yield gateway


@contextlib.asynccontextmanager
async def running(settings: Settings, *stages: Runnable) -> AsyncGenerator[None]:
    """Consumers of these stages."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, stages, stop))
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.fixture(scope="module")
async def storing(file_settings: Settings, gateway: Gateway) -> AsyncIterator[None]:
    """Messages are stored and told; nothing is scanned."""
    async with running(file_settings, "persist", "fanout"):
        yield


@pytest.fixture(scope="module")
async def consumers(file_settings: Settings, storing: None) -> AsyncIterator[None]:
    async with running(file_settings, "scan"):
        yield


@pytest.fixture(scope="module")
async def redis_client(file_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(file_settings)
    yield redis
    await redis.close()


@pytest.fixture(scope="module")
def scans(redis_client: Redis) -> Scans:
    return Scans(redis_client)


@pytest.fixture(scope="module")
async def store(file_settings: Settings) -> AsyncIterator[Store]:
    store = await Store.open(file_settings)
    yield store
    await store.close()


@pytest.fixture(scope="module")
async def objects(file_settings: Settings) -> AsyncIterator[Objects]:
    async with opened(file_settings) as objects:
        yield objects


@pytest.fixture(scope="module")
async def bench(file_settings: Settings, objects: Objects, store: Store, redis_client: Redis) -> Bench:
    scanner = await Scanner.open(file_settings)
    assert scanner
    return Bench(file_settings, objects, store, redis_client, scanner)


@pytest.fixture(scope="module")
async def http(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=gateway.public, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        yield http


@pytest.fixture(scope="module")
def join(http: httpx2.AsyncClient) -> Join:
    async def join() -> Sender:
        username = f"u{uuid.uuid4().hex[:12]}"
        answer = await http.post("/api/auth/register", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        tokens = answer.json()
        return Sender(http, tokens["user"]["user_id"], tokens["user"]["username"], tokens)

    return join


@pytest.fixture
async def alice(join: Join) -> "Sender":
    return await join()


@pytest.fixture
async def bob(join: Join) -> "Sender":
    return await join()


@dataclass
class Sender(Person):
    """Somebody who sends files."""

    async def announce(
        self, content: bytes, name: str = "a.txt", media: str = "text/plain", key: str | None = None, **more: Any
    ) -> dict[str, Any]:
        body = {
            "name": name,
            "content_type": media,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        } | more
        answer = await self(
            "POST", "/api/attachments", key=key, json={name: value for name, value in body.items() if value is not None}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def upload(self, content: bytes, name: str = "a.txt", media: str = "text/plain", **more: Any) -> str:
        """Announce, post the form, complete: as a browser does."""
        announced = await self.announce(content, name, media, **more)
        assert await self.post(announced, content) in {200, 201, 204}
        answer = await self.complete(announced["attachment_id"])
        assert answer.status_code == 200, answer.text
        return announced["attachment_id"]

    async def post(self, announced: dict[str, Any], content: bytes, **changed: str | None) -> int:
        """Post the form of an announcement; `changed` fields are set, or left out where None."""
        form = announced["upload"]
        return await post(Upload(form["url"], form["fields"], 0), content, **changed)

    async def complete(self, attachment_id: str) -> httpx2.Response:
        return await self("POST", f"/api/attachments/{attachment_id}/complete")

    async def verdict(self, attachment_id: str) -> dict[str, Any]:
        """The file once it is judged."""
        async with asyncio.timeout(VERDICT_SECONDS):
            while True:
                answer = await self("GET", f"/api/attachments/{attachment_id}")
                assert answer.status_code == 200, answer.text
                if answer.json()["status"] not in {"uploading", "pending"}:
                    return answer.json()
                await asyncio.sleep(0.05)

    async def send(self, room: str, *files: str, text: str = "") -> httpx2.Response:
        body = {"conversation_id": room, "content": {"text": text}, "attachments": list(files)}
        return await self("POST", "/api/messages", json=body, key=str(uuid.uuid4()))

    async def fetch(self, attachment_id: str, what: str = "content") -> httpx2.Response:
        """Follow the link, as a browser does."""
        answer = await self("GET", f"/api/attachments/{attachment_id}/{what}")
        if answer.status_code != 302:
            return answer
        async with httpx2.AsyncClient(trust_env=False) as plain:
            return await plain.get(answer.headers["location"])

    async def page(self, room: str) -> list[dict[str, Any]]:
        """The newest messages of a conversation."""
        answer = await self("GET", f"/api/conversations/{room}/messages", params={"limit": 100})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def page_until(self, room: str, ready: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The newest messages, once they are so."""
        async with asyncio.timeout(VERDICT_SECONDS):
            while True:
                if ready(messages := await self.page(room)):
                    return messages
                await asyncio.sleep(0.05)
