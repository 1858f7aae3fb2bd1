import asyncio
import time

import httpx2
import pytest

from backplane.logs import Delivery, Logs
from backplane.redis import Redis
from gateway.app import Gateway, open_gateway
from schemas.ids import StreamId, UserId
from tests.integration.gateway.rest.conftest import Person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


async def poll(person: Person, after: str | None, wait: int = 0, **query: int) -> dict:
    params = {"wait": wait} | query | ({"after": after} if after is not None else {})
    answer = await person("GET", "/api/events", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def head(person: Person) -> str:
    return (await person("GET", "/api/sync")).json()["position"]


async def test_without_a_position_one_begins_with_the_state(alice: Person) -> None:
    page = await poll(alice, None)
    assert page == {"events": [], "position": await head(alice), "more": False, "resync": "fresh"}


async def test_what_came_meanwhile_is_there_at_once_and_in_order(alice: Person, bob: Person) -> None:
    position = await head(bob)
    conversation_id = await alice.group(bob)
    for text in ("one", "two"):
        await alice.say(conversation_id, text)
    events: list[dict] = []
    while len(events) < 3:
        page = await poll(bob, position, wait=20)
        assert page["resync"] is None
        events += page["events"]
        position = page["position"]
    assert [event["event"] for event in events] == ["conversation.created", "message.created", "message.created"]
    assert [event["data"].get("seq") for event in events] == [None, 1, 2]
    assert [event["type"] for event in events] == ["event"] * 3
    assert events[-1]["position"] == position


async def test_a_waiting_poll_answers_when_something_comes(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    position = await head(bob)
    while (page := await poll(bob, position, wait=1))["events"]:
        position = page["position"]
    waiting = asyncio.create_task(poll(bob, position, wait=25))
    began = time.monotonic()
    await alice.say(conversation_id, "are you there?")
    page = await waiting
    assert [event["data"]["content"]["text"] for event in page["events"]] == ["are you there?"]
    assert time.monotonic() - began < 20


async def test_a_poll_that_hears_nothing_ends_empty_at_its_position(alice: Person) -> None:
    position = await head(alice)
    began = time.monotonic()
    assert await poll(alice, position, wait=1) == {"events": [], "position": position, "more": False, "resync": None}
    assert time.monotonic() - began >= 0.9


async def test_a_long_stretch_is_paged(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    start = position = await head(alice)
    for number in range(5):
        await alice.say(conversation_id, str(number))
    seen: list[int] = []
    while len(seen) < 5:
        page = await poll(alice, position, wait=20, limit=2)
        assert 1 <= len(page["events"]) <= 2
        seen += [event["data"]["seq"] for event in page["events"] if event["event"] == "message.created"]
        position = page["position"]
    assert seen == [1, 2, 3, 4, 5]
    assert (await poll(alice, start, limit=2))["more"]


async def test_a_position_that_is_lost_asks_for_a_resync(gateway: Gateway, alice: Person) -> None:
    epoch, _, offset = (await head(alice)).partition("-")
    current = f"{epoch}-{offset}"
    assert (await poll(alice, f"{int(epoch) - 1}-{offset}", wait=5))["resync"] == "epoch_changed"
    ahead = await poll(alice, f"{epoch}-{int(offset) + 1}", wait=5)
    assert (ahead["resync"], ahead["position"]) == ("position_ahead", current)


async def test_a_poll_hears_that_its_log_was_lost(gateway: Gateway, alice: Person) -> None:
    """B3, A10: a dropped epoch key rings; who waits is told to resync and not left waiting."""
    position = await head(alice)
    waiting = asyncio.create_task(poll(alice, position, wait=25))
    began = time.monotonic()
    while not waiting.done():
        await gateway.api.logs.drop([UserId(alice.user_id)])
        await asyncio.wait([waiting], timeout=0.2)
    page = await waiting
    assert page["resync"] == "epoch_changed"
    assert page["position"] != position
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("after", ["", "1", "-1", "1-1-1", "a-b", "1-1\n", f"{2**53}-0"])
async def test_what_is_no_position_is_a_bad_request(alice: Person, after: str) -> None:
    answer = await alice("GET", "/api/events", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_a_trimmed_position_asks_for_a_resync(rest_settings, alice: Person) -> None:
    """C9: never a partial page."""
    position = await head(alice)
    redis = await Redis.open(rest_settings)
    log = rest_settings.names.log(UserId(alice.user_id))
    logs = Logs(redis, max_entries=10_000, epoch_ttl_seconds=3600)
    shard = rest_settings.names.shard_of(UserId(alice.user_id))
    era = (await redis.command("GET", rest_settings.names.era(rest_settings.names.partition_tag(0)))).decode()
    deliveries = [Delivery(StreamId(2**43, n), b'"event":"x","data":{}}', [UserId(alice.user_id)]) for n in range(3)]
    assert await logs.append(0, era, shard, deliveries) == 3
    assert len((await poll(alice, position))["events"]) == 3
    await redis.command("XTRIM", log, "MAXLEN", 1)
    assert (await poll(alice, position))["resync"] == "position_trimmed"
    await redis.close()


async def test_a_draining_gateway_lets_its_polls_go(rest_settings, alice: Person) -> None:
    async with open_gateway(rest_settings) as leaving:
        transport = httpx2.ASGITransport(app=leaving.public)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            tokens = (
                await http.post("/api/auth/login", json={"username": alice.username, "password": "correct horse"})
            ).json()
            person = Person(http, alice.user_id, alice.username, tokens)
            waiting = asyncio.create_task(poll(person, await head(person), wait=25))
            began = time.monotonic()
            leaving.api.stopping.set()
            while not waiting.done():
                leaving.api.listeners.on_lost()
                await asyncio.wait([waiting], timeout=0.1)
            assert (await waiting)["events"] == []
            assert time.monotonic() - began < 20
