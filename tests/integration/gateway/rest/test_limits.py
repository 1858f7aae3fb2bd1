"""Rate limits over REST, on a gateway of their own for each table of limits."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from backplane.store.mongo import Store
from consumers.process import run
from gateway.app import open_gateway
from tests.integration.gateway.rest.conftest import PASSWORD, Person, make_settings
from tests.services import Server, redis_server

pytestmark = pytest.mark.anyio

Serve = Callable[..., contextlib.AbstractAsyncContextManager["Clients"]]


class Clients:
    """Requests from whatever address."""

    def __init__(self, gateway) -> None:
        self.gateway = gateway

    def at(self, address: str = "198.51.100.1") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.gateway.public, client=(address, 1))
        return httpx2.AsyncClient(transport=transport, base_url="http://gateway.test")

    async def person(self, address: str = "198.51.100.1") -> Person:
        http = self.at(address)
        body = {"username": f"u{uuid.uuid4().hex[:12]}", "password": PASSWORD}
        answer = await http.post("/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        return Person(http, answer.json()["user"]["user_id"], body["username"], answer.json())

    async def login(self, person: Person, address: str, password: str = PASSWORD) -> httpx2.Response:
        return await self.at(address).post("/api/auth/login", json={"username": person.username, "password": password})


@pytest.fixture
def serve(redis: Server, mongodb: Server) -> Serve:
    @contextlib.asynccontextmanager
    async def serve(limits: str, **overrides) -> AsyncIterator[Clients]:
        settings = make_settings(redis, mongodb, rate_limits=limits, **overrides)
        store = await Store.open(settings)
        await store.migrate(settings.names)
        await store.close()
        async with open_gateway(settings) as gateway:
            yield Clients(gateway)

    return serve


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_calls_are_counted_and_the_answer_says_so(serve: Serve) -> None:
    async with serve("rest=3/60") as clients:
        alice, bob = await clients.person(), await clients.person()
        answers = [await alice("GET", "/api/me") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"rest";q=3;w=60'
        assert answers[0].headers["ratelimit"] == '"rest";r=2;t=20'
        assert code(answers[3]) == (429, "rate_limited")
        assert 15 <= int(answers[3].headers["retry-after"]) <= 20
        assert answers[3].headers["ratelimit"].startswith('"rest";r=0')
        assert answers[3].json()["retry_after_ms"] > 15_000
        missing = await bob("GET", "/api/users/01900000-0000-7000-8000-000000000000")
        assert code(missing) == (404, "not_found")  # somebody else is not counted, and a problem is
        assert missing.headers["ratelimit"] == '"rest";r=2;t=20'


async def test_an_operation_may_cost_more_than_one(serve: Serve) -> None:
    async with serve("rest=7/600") as clients:
        alice = await clients.person()
        assert (await alice("GET", "/api/sync")).headers["ratelimit"].startswith('"rest";r=2')
        assert code(await alice("GET", "/api/sync")) == (429, "rate_limited")
        assert (await alice("GET", "/api/me")).status_code == 200  # the refused one took nothing


async def test_who_has_no_valid_token_is_counted_by_address(serve: Serve) -> None:
    async with serve("anonymous=2/600") as clients:
        http = clients.at("2001:db8:1:2::1")
        headers = {"Authorization": "Bearer nonsense"}
        assert code(await http.get("/api/me", headers=headers)) == (401, "authentication_failed")
        assert code(await http.post("/api/auth/refresh", json={"refresh_token": "x"})) == (401, "authentication_failed")
        assert code(await http.get("/api/me", headers=headers)) == (429, "rate_limited")
        neighbour = clients.at("2001:db8:1:2:ffff::9")  # of the same /64
        assert code(await neighbour.get("/api/me", headers=headers)) == (429, "rate_limited")
        stranger = clients.at("2001:db8:1:3::1")
        assert code(await stranger.get("/api/me", headers=headers)) == (401, "authentication_failed")


async def test_new_accounts_are_counted_by_address(serve: Serve) -> None:
    async with serve("register=2/600") as clients:
        for _ in range(2):
            await clients.person()
        body = {"username": "one-too-many", "password": PASSWORD}
        assert code(await clients.at().post("/api/auth/register", json=body)) == (429, "rate_limited")
        await clients.person("198.51.100.2")


async def test_guessing_one_password_ends_and_the_owner_elsewhere_still_gets_in(serve: Serve) -> None:
    async with serve("login=3/600") as clients:
        alice = await clients.person()
        wrong = [await clients.login(alice, "203.0.113.9", "wrong horse") for _ in range(4)]
        assert [code(answer)[1] for answer in wrong] == ["authentication_failed"] * 3 + ["rate_limited"]
        assert wrong[3].headers["ratelimit-policy"] == '"login";q=3;w=600'  # the limit that refuses
        assert code(await clients.login(alice, "203.0.113.9")) == (429, "rate_limited")  # even the right one
        assert (await clients.login(alice, "198.51.100.7")).status_code == 200


async def test_guessing_from_everywhere_ends_and_the_owner_where_they_were_still_gets_in(serve: Serve) -> None:
    """A bound by account alone would let anybody lock the owner out."""
    async with serve("login_account=5/3600") as clients:
        alice = await clients.person("198.51.100.1")
        guesses = [await clients.login(alice, f"203.0.113.{number}", "wrong horse") for number in range(7)]
        assert [code(answer)[1] for answer in guesses] == ["authentication_failed"] * 5 + ["rate_limited"] * 2
        assert (await clients.login(alice, "198.51.100.1")).status_code == 200
        nobody = Person(clients.at(), "", "nobody-of-that-name", {})
        guesses = [await clients.login(nobody, f"203.0.113.{number}", "wrong horse") for number in range(7)]
        assert [code(answer)[1] for answer in guesses] == ["authentication_failed"] * 5 + ["rate_limited"] * 2


async def test_messages_over_rest_are_counted_with_those_of_the_socket(serve: Serve) -> None:
    async with serve("send=10/6000") as clients:
        stop = asyncio.Event()
        running = asyncio.create_task(run(clients.gateway.api.settings, ["persist", "fanout", "receipts"], stop))
        try:
            alice = await clients.person()
            answers = [await alice.say(str(uuid.uuid4()), "hi") for _ in range(12)]
        finally:
            stop.set()
            await running
        assert [code(answer)[1] for answer in answers] == ["not_member"] * 10 + ["rate_limited"] * 2


async def test_without_redis_nobody_signs_in_and_reading_goes_on(tmp_path, mongodb: Server) -> None:
    own = redis_server(tmp_path / "redis")
    own.start()
    settings = make_settings(own, mongodb, rate_limits="rest=2/600")
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    async with open_gateway(settings) as gateway:
        clients = Clients(gateway)
        alice = await clients.person()
        own.kill()
        assert code(await clients.login(alice, "198.51.100.1")) == (503, "unavailable")
        body = {"username": "somebody-new", "password": PASSWORD}
        assert code(await clients.at().post("/api/auth/register", json=body)) == (503, "unavailable")
        statuses = [(await alice("GET", "/api/me")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]  # counted by this gateway alone


async def test_the_table_can_be_switched_off(serve: Serve) -> None:
    async with serve("off") as clients:
        alice = await clients.person()
        answer = await alice("GET", "/api/me")
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers
