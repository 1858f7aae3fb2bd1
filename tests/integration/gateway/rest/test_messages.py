import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx2
import pytest

from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.mongo import Store
from gateway.app import open_gateway
from schemas.intents import decode_intent
from schemas.names import INTENT_FIELD
from tests.integration.gateway.rest.conftest import Person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_message_is_answered_once_it_is_stored(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    key = str(uuid.uuid4())
    sent = await alice.say(conversation_id, "hello", key)
    assert sent.status_code == 201
    message = sent.json()
    assert (message["seq"], message["client_msg_id"], message["sender_id"]) == (1, key, alice.user_id)
    assert "duplicate" not in message
    for one in (alice, bob):
        assert (await one("GET", f"/api/messages/{message['message_id']}")).json() == message


async def test_the_same_key_is_the_same_message(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    first = await alice.say(conversation_id, "hello", "my key, no UUID")
    again = await alice.say(conversation_id, "hello", "my key, no UUID")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"duplicate": True}
    assert code(await alice.say(conversation_id, "other", "my key, no UUID")) == (409, "idempotency_conflict")
    assert (await bob.say(conversation_id, "hello", "my key, no UUID")).status_code == 201
    other = await alice.group(bob)
    assert (await alice.say(other, "hello", "my key, no UUID")).status_code == 201


async def test_many_repeats_at_once_are_one_message(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    answers = await asyncio.gather(*(alice.say(conversation_id, "hello", "key") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["message_id"] for answer in answers}) == 1


async def test_a_message_needs_a_key(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    body = {"conversation_id": conversation_id, "content": {"text": "hello"}}
    assert code(await alice("POST", "/api/messages", json=body)) == (400, "bad_request")
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    both = await alice("POST", "/api/messages", json=body | {"client_msg_id": one}, key=other)
    assert code(both) == (400, "bad_request")
    assert (await alice("POST", "/api/messages", json=body | {"client_msg_id": one}, key=f'"{one}"')).status_code == 201


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"content": {"text": ""}}, "bad_request"),
        ({"content": {"text": "\u200b "}}, "bad_request"),
        ({"content": {"text": "a\u0000b"}}, "bad_request"),
        ({"content": {"text": "x" * 10_001}}, "bad_request"),
        ({"content": {"text": "x", "html": "y"}}, "bad_request"),
        ({"attachments": ["5f0c8c5e-6f0b-4f5a-9f8e-0a4b6f1f2b11"] * 2}, "bad_request"),
        ({"mentions": ["bob"]}, "bad_request"),
        ({"reply_to": "x"}, "bad_request"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_message_out_of_bounds_is_refused(alice: Person, change: dict, expected: str) -> None:
    body = {"conversation_id": str(uuid.uuid4()), "content": {"text": "x"}} | change
    answer = await alice("POST", "/api/messages", json=body, key="key")
    assert answer.json()["code"] == expected


async def test_a_message_of_strangers_is_not_found(alice: Person, bob: Person, eve: Person) -> None:
    message = (await alice.say(await alice.group(bob), "hello")).json()
    assert code(await eve("GET", f"/api/messages/{message['message_id']}")) == (404, "not_found")
    assert code(await eve("GET", f"/api/messages/{uuid.uuid4()}")) == (404, "not_found")


async def test_pages_go_back_forward_and_by_revision_without_gap_or_repeat(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    for number in range(1, 8):
        assert (await alice.say(conversation_id, str(number))).status_code == 201
    path = f"/api/conversations/{conversation_id}/messages"

    async def walk(**first: int) -> list[list[int]]:
        pages: list[list[int]] = []
        query: dict[str, int | str] = dict(first)
        while True:
            page = (await bob("GET", path, params=query | {"limit": 3})).json()
            pages.append([item["seq"] for item in page["items"]])
            if page["next_cursor"] is None:
                return pages
            query = {"cursor": page["next_cursor"]}

    assert await walk() == [[5, 6, 7], [2, 3, 4], [1]]
    assert await walk(before_seq=5) == [[2, 3, 4], [1]]
    assert await walk(after_seq=2) == [[3, 4, 5], [6, 7]]
    assert await walk(since_rev=0) == [[1, 2, 3], [4, 5, 6], [7]]
    assert code(await bob("GET", path, params={"before_seq": 3, "after_seq": 1})) == (400, "bad_request")
    for cursor in ("nonsense", "before_seq-x", "limit-3", "after_seq-99999999999999999"):
        assert code(await bob("GET", path, params={"cursor": cursor})) == (400, "bad_request")


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[tuple[Settings, httpx2.AsyncClient, Redis]]:
    """A gateway without consumers, and a Redis of the test's own to play them."""
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    redis = await Redis.open(settings)
    async with open_gateway(settings) as gateway:
        transport = httpx2.ASGITransport(app=gateway.public)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            yield settings, http, redis
    await redis.close()


async def test_what_is_not_stored_in_time_is_accepted_and_said_so(alone) -> None:
    """C2: nobody answers within the wait, nothing is in the database: 202, not an error."""
    settings, http, redis = alone
    tokens = (await http.post("/api/auth/register", json={"username": "alice", "password": "correct horse"})).json()
    alice = Person(http, tokens["user"]["user_id"], "alice", tokens)
    conversation_id = str(uuid.uuid4())
    answer = await alice.say(conversation_id, "hello", "key")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], body["conversation_id"]) == ("accepted", conversation_id)
    stream = settings.names.intents(settings.names.partition_of(conversation_id))
    ((_, fields),) = await redis.command("XRANGE", stream, "-", "+")
    intent = decode_intent(dict(zip(fields[::2], fields[1::2], strict=True))[INTENT_FIELD])
    assert (intent.actor_id, intent.client_msg_id) == (alice.user_id, body["client_msg_id"])
