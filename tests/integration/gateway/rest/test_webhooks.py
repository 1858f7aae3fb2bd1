"""Webhooks over REST: who may have one, what is shown, and that what was made is sent to."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator

import httpx2
import pytest

from backplane.settings import Settings
from backplane.store.mongo import Store
from consumers.process import run
from gateway.app import Gateway
from schemas.ids import UserId
from tests.integration.consumers.deployment import until
from tests.integration.gateway.rest.conftest import Person, make_settings
from tests.integration.gateway.rest.test_bots import as_bot, code, made
from tests.receiver import Receiver, receiving
from tests.services import Server

pytestmark = pytest.mark.anyio

WEBHOOKS = "/api/webhooks"


@pytest.fixture(scope="module")
async def rest_settings(redis: Server, mongodb: Server) -> Settings:
    settings = make_settings(redis, mongodb, webhooks_allow_private=True, webhooks_retry_seconds=0.02)
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    return settings


@pytest.fixture(scope="module")
async def consumers(rest_settings: Settings, gateway: Gateway) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(run(rest_settings, ["persist", "fanout", "webhooks"], stop))
    yield
    stop.set()
    await running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def heard(receiver: Receiver, *texts: str) -> None:
    async def all_there() -> bool:
        return len(receiver.texts()) >= len(texts)

    await until(all_there)
    assert receiver.texts() == list(texts)


async def test_from_its_making_on_a_webhook_gets_every_message(
    consumers: None, alice: Person, bob: Person, receiver: Receiver
) -> None:
    conversation_id = await alice.group(bob)
    await alice.say(conversation_id, "before")
    answer = await alice(
        "POST", WEBHOOKS, json={"url": receiver.url, "conversation_id": conversation_id, "events": ["message.created"]}
    )
    assert answer.status_code == 201, answer.text
    hook = answer.json()
    texts = [f"after {number}" for number in range(5)]
    for text in texts:
        assert (await bob.say(conversation_id, text)).status_code == 201
    await heard(receiver, *texts)
    got = receiver.got[0]
    stamp, mac = (part.partition("=")[2] for part in got.headers["headrace-signature"].split(","))
    assert mac == hmac.new(hook["secret"].encode(), stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()


async def test_a_bot_s_webhook_gets_all_of_its_conversations(
    http: httpx2.AsyncClient, consumers: None, alice: Person, bob: Person, receiver: Receiver
) -> None:
    bot = await as_bot(http, await made(alice, "webhooks"))
    assert (await bot("POST", WEBHOOKS, json={"url": receiver.url, "events": ["message.created"]})).status_code == 201
    with_bot, without = await alice.group(bob, bot), await alice.group(bob)
    await alice.say(without, "private")
    await alice.say(with_bot, "hello bot")
    await heard(receiver, "hello bot")


async def test_the_secret_is_shown_once_and_the_rest_is_listed(
    gateway: Gateway, consumers: None, alice: Person, receiver: Receiver
) -> None:
    conversation_id = await alice.group()
    made = (await alice("POST", WEBHOOKS, json={"url": receiver.url, "conversation_id": conversation_id})).json()
    assert made.pop("secret").startswith("whsec_")
    listed = (await alice("GET", WEBHOOKS)).json()
    assert listed == {"items": [made], "next_cursor": None}
    assert (made["enabled"], made["failures"], made["disabled_reason"], made["events"]) == (True, 0, None, [])


async def test_a_webhook_that_was_disabled_says_why_and_can_be_enabled(
    gateway: Gateway, consumers: None, alice: Person, receiver: Receiver
) -> None:
    conversation_id = await alice.group()
    hook = (await alice("POST", WEBHOOKS, json={"url": receiver.url, "conversation_id": conversation_id})).json()
    receiver.script.append(410)
    await alice.say(conversation_id, "are you there?")

    async def listed() -> dict:
        return (await alice("GET", WEBHOOKS)).json()["items"][0]

    async def disabled() -> bool:
        return not (await listed())["enabled"]

    await until(disabled)
    assert (await listed())["disabled_reason"] == "the receiver answered 410 Gone"
    enabled = await alice("POST", f"{WEBHOOKS}/{hook['webhook_id']}/enable")
    assert (enabled.status_code, enabled.json()["enabled"], enabled.json()["disabled_reason"]) == (200, True, None)
    await alice.say(conversation_id, "again")

    async def back() -> bool:
        return "again" in receiver.texts()

    await until(back)


async def test_a_person_needs_to_be_owner_or_admin(
    consumers: None, alice: Person, bob: Person, eve: Person, receiver: Receiver
) -> None:
    conversation_id = await alice.group(bob)
    body = {"url": receiver.url, "conversation_id": conversation_id}
    assert code(await bob("POST", WEBHOOKS, json=body)) == (403, "forbidden")
    assert code(await eve("POST", WEBHOOKS, json=body)) == (403, "not_member")
    assert code(await alice("POST", WEBHOOKS, json={"url": receiver.url})) == (400, "bad_request")


async def test_a_bot_needs_to_be_a_member(
    http: httpx2.AsyncClient, consumers: None, alice: Person, receiver: Receiver
) -> None:
    bot = await as_bot(http, await made(alice, "webhooks"))
    other, its_own = await alice.group(), await alice.group(bot)
    assert code(await bot("POST", WEBHOOKS, json={"url": receiver.url, "conversation_id": other})) == (
        403,
        "not_member",
    )
    answer = await bot("POST", WEBHOOKS, json={"url": receiver.url, "conversation_id": its_own})
    assert answer.status_code == 201


async def test_somebody_else_s_webhook_is_not_there(
    consumers: None, alice: Person, eve: Person, receiver: Receiver
) -> None:
    conversation_id = await alice.group()
    hook = (await alice("POST", WEBHOOKS, json={"url": receiver.url, "conversation_id": conversation_id})).json()
    path = f"{WEBHOOKS}/{hook['webhook_id']}"
    assert code(await eve("DELETE", path)) == (404, "not_found")
    assert code(await eve("POST", f"{path}/enable")) == (404, "not_found")
    assert (await eve("GET", WEBHOOKS)).json()["items"] == []
    assert (await alice("DELETE", path)).status_code == 204
    assert code(await alice("DELETE", path)) == (404, "not_found")
    assert code(await alice("DELETE", f"{WEBHOOKS}/changed")) == (404, "not_found")


async def test_a_deleted_bot_takes_its_webhooks_along(
    http: httpx2.AsyncClient, gateway: Gateway, alice: Person, receiver: Receiver
) -> None:
    made_bot = await made(alice, "webhooks")
    bot = await as_bot(http, made_bot)
    await bot("POST", WEBHOOKS, json={"url": receiver.url})
    await alice("DELETE", f"/api/bots/{bot.user_id}")
    (hook,) = await gateway.api.store.webhooks.of_owner(UserId(bot.user_id))
    assert (hook.enabled, hook.disabled_reason) == (False, "its bot is disabled")
    assert code(await bot("POST", f"{WEBHOOKS}/{hook.webhook_id}/enable")) == (403, "account_disabled")


async def test_webhooks_of_one_owner_are_bounded(
    http: httpx2.AsyncClient, gateway: Gateway, alice: Person, receiver: Receiver
) -> None:
    bot = await as_bot(http, await made(alice, "webhooks"))
    for _ in range(gateway.api.settings.webhooks_per_owner):
        assert (await bot("POST", WEBHOOKS, json={"url": receiver.url})).status_code == 201
    assert code(await bot("POST", WEBHOOKS, json={"url": receiver.url})) == (403, "forbidden")


@pytest.mark.parametrize(
    "wrong",
    [{"url": "gopher://x.example/"}, {"url": ""}, {"url": "http://u:p@127.0.0.1/"}, {"events": ["message.sent"]},
     {"conversation_id": "room"}, {"secret": "mine"}, {"url": "http://no-such-name.invalid/"}],
    ids=str,
)  # fmt: skip
async def test_a_webhook_out_of_bounds_is_refused(
    http: httpx2.AsyncClient, alice: Person, receiver: Receiver, wrong: dict
) -> None:
    bot = await as_bot(http, await made(alice, "webhooks"))
    assert code(await bot("POST", WEBHOOKS, json={"url": receiver.url} | wrong)) == (400, "bad_request")
