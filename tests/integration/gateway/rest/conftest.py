"""A whole gateway and consumers in this process, on real servers, once a module; people who really signed up."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx2
import pytest

from backplane.settings import Settings, load_settings
from backplane.store.mongo import Store
from consumers.process import run
from gateway.app import Gateway, make_server, open_gateway
from tests.conftest import mongodb_url, redis_url
from tests.services import Server, free_port

PASSWORD = "correct horse"


@dataclass
class Person:
    """Somebody with an account, and their requests."""

    http: httpx2.AsyncClient
    user_id: str
    username: str
    tokens: dict
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, *, key: str | None = None, **kwargs) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"} | ({"Idempotency-Key": key} if key else {})
        return await self.http.request(method, path, headers=headers, **kwargs)

    async def group(self, *others: "Person", key: str | None = None) -> str:
        body = {"kind": "group", "member_ids": [other.user_id for other in others], "title": "group"}
        answer = await self("POST", "/api/conversations", json=body, key=key)
        assert answer.status_code == 201, answer.text
        return answer.json()["conversation_id"]

    async def say(self, conversation_id: str, text: str, key: str | None = None) -> httpx2.Response:
        body = {"conversation_id": conversation_id, "content": {"text": text}}
        return await self("POST", "/api/messages", json=body, key=key or str(uuid.uuid4()))

    async def told_until(self, position: str, ready: Callable[[dict], bool]) -> list[dict]:
        """What happened above a position, up to an event of which this is so: what was stored before may come there, too."""
        events: list[dict] = []
        async with asyncio.timeout(30):
            while not any(map(ready, events)):
                page = (await self("GET", "/api/events", params={"after": position, "wait": 20})).json()
                events += page["events"]
                position = page["position"]
        return events


def make_settings(redis: Server, mongodb: Server, **overrides) -> Settings:
    name = f"t{uuid.uuid4().hex[:10]}"
    given = {
        "environment": "development",
        "redis_url": redis_url(redis),
        "mongodb_url": mongodb_url(mongodb),
        "mongodb_database": name,
        "namespace": name,
        "partitions": 4,
        "shards": 4,
        "allowed_origins": "https://chat.example",
        "rate_limits": "off",
    }
    return load_settings({}, **(given | overrides))


@pytest.fixture(scope="module")
async def rest_settings(redis: Server, mongodb: Server) -> Settings:
    settings = make_settings(redis, mongodb)
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    return settings


@pytest.fixture(scope="module")
async def gateway(rest_settings: Settings) -> AsyncIterator[Gateway]:
    async with open_gateway(rest_settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
async def consumers(rest_settings: Settings, gateway: Gateway) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(run(rest_settings, ["persist", "fanout", "receipts"], stop))
    yield
    stop.set()
    await running


@pytest.fixture(scope="module")
async def address(gateway: Gateway) -> AsyncIterator[str]:
    """The same gateway on a real port: where its sockets are."""
    server = make_server(gateway.public, ())
    server.config.port = port = free_port()
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"ws://127.0.0.1:{port}/ws"
    server.should_exit = True
    await task


@pytest.fixture(scope="module")
async def http(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=gateway.public, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        yield http


@pytest.fixture(scope="module")
def join(http: httpx2.AsyncClient) -> Callable[[], Awaitable[Person]]:
    async def join(**body) -> Person:
        username = f"u{uuid.uuid4().hex[:12]}"
        answer = await http.post("/api/auth/register", json={"username": username, "password": PASSWORD} | body)
        assert answer.status_code == 201, answer.text
        tokens = answer.json()
        return Person(http, tokens["user"]["user_id"], tokens["user"]["username"], tokens)

    return join


@pytest.fixture
async def alice(join: Callable[[], Awaitable[Person]]) -> Person:
    return await join()


@pytest.fixture
async def bob(join: Callable[[], Awaitable[Person]]) -> Person:
    return await join()


@pytest.fixture
async def eve(join: Callable[[], Awaitable[Person]]) -> Person:
    return await join()
