"""Bots and their tokens; and that a token is good for what its scopes say, operation by operation."""

import re
import time
import uuid
from typing import get_args

import httpx2
import pytest

from gateway.app import Gateway
from gateway.rest.application import OPERATIONS
from gateway.rest.operations import Operation
from schemas.ids import SessionId, UserId
from schemas.scopes import SCOPES, Scope
from tests.integration.gateway.rest.conftest import PASSWORD, Person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

SIGNED = [row for row in OPERATIONS if row.needs is not None]


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def name() -> str:
    return f"bot-{uuid.uuid4().hex[:10]}"


async def made(person: Person, *scopes: Scope) -> dict:
    answer = await person("POST", "/api/bots", json={"username": name()} | ({"scopes": scopes} if scopes else {}))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def exchange(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await http.post("/api/auth/bot", json={"token": token})


async def as_bot(http: httpx2.AsyncClient, bot: dict) -> Person:
    answer = await exchange(http, bot["token"])
    assert answer.status_code == 200, answer.text
    return Person(http, bot["bot"]["user_id"], bot["bot"]["username"], answer.json())


async def test_the_table_of_scopes_is_closed() -> None:
    assert set(get_args(Scope)) == set(SCOPES)
    assert {row.needs for row in SIGNED} == {*SCOPES, "person", "anybody"}


@pytest.mark.parametrize("row", SIGNED, ids=lambda row: f"{row.method} {row.path}")
async def test_an_operation_takes_tokens_with_its_scope_and_no_others(
    http: httpx2.AsyncClient, gateway: Gateway, alice: Person, row: Operation
) -> None:
    async def ask(*scopes: Scope) -> httpx2.Response:
        token = gateway.api.tokens.issue(
            UserId(alice.user_id), SessionId(str(uuid.uuid4())), now_ms=int(time.time() * 1000), scopes=scopes
        )
        path = re.sub(r"\{\w+\}", str(uuid.uuid4()), row.path)
        return await http.request(
            row.method,
            path,
            headers={"Authorization": f"Bearer {token}"},
            params={"wait": 0} if "events" in path else None,
        )

    others = [scope for scope in SCOPES if scope != row.needs]
    refused = await ask(*others)
    if row.needs == "anybody":
        assert refused.status_code == 200
        return
    assert code(refused) == (403, "forbidden")
    if row.needs == "person":
        assert "bot may not" in refused.json()["detail"]
        return
    assert f"`{row.needs}`" in refused.json()["detail"]
    assert f"`{row.needs}`" in (await ask()).json()["detail"], "no scopes are not a person's"
    assert (await ask(row.needs)).status_code in {200, 400, 403, 404}  # type: ignore[arg-type]
    assert "scope" not in (await ask(row.needs)).text  # type: ignore[arg-type]


async def test_a_bot_is_a_user_with_a_token_that_is_shown_once(
    http: httpx2.AsyncClient, gateway: Gateway, alice: Person
) -> None:
    bot = await made(alice, "messages:read", "conversations:read")
    assert re.fullmatch(r"hrb_[A-Za-z0-9_-]{43}", bot["token"])
    listed = await alice("GET", "/api/bots")
    assert listed.json()["items"] == [bot["bot"]]
    assert bot["token"] not in listed.text
    stored = await gateway.api.store.bot_tokens.of_bot(bot["bot"]["user_id"])
    assert bot["token"] not in str(stored)
    signed_in = (await exchange(http, bot["token"])).json()
    assert signed_in["scopes"] == ["messages:read", "conversations:read"]
    assert signed_in["user"]["bot"] is True
    assert "refresh_token" not in signed_in
    person = await as_bot(http, bot)
    assert (await person("GET", "/api/me")).json()["user_id"] == bot["bot"]["user_id"]
    seen = (await alice("GET", f"/api/users/{bot['bot']['user_id']}")).json()
    assert seen["bot"] is True
    assert "bot" not in (await alice("GET", f"/api/users/{alice.user_id}")).json()


async def test_a_bot_talks_where_it_is_a_member(http: httpx2.AsyncClient, consumers: None, alice: Person) -> None:
    bot = await as_bot(http, await made(alice))
    conversation_id = await alice.group(bot)
    assert (await bot.say(conversation_id, "beep")).status_code == 201
    messages = (await bot("GET", f"/api/conversations/{conversation_id}/messages")).json()["items"]
    assert [message["sender_id"] for message in messages] == [bot.user_id]


async def test_a_bot_registers_no_bots_and_has_no_password(http: httpx2.AsyncClient, alice: Person) -> None:
    bot = await as_bot(http, await made(alice, *SCOPES))
    assert code(await bot("POST", "/api/bots", json={"username": name()})) == (403, "forbidden")
    assert code(await bot("PATCH", "/api/me", json={"display_name": "Robert"})) == (403, "forbidden")
    for password in ("", PASSWORD):
        answer = await http.post("/api/auth/login", json={"username": bot.username, "password": password})
        assert code(answer) == (401, "authentication_failed")


async def test_a_revoked_token_is_exchanged_no_more_and_others_go_on(http: httpx2.AsyncClient, alice: Person) -> None:
    bot = await made(alice)
    path = f"/api/bots/{bot['bot']['user_id']}/tokens"
    second = await alice("POST", path, json={"scopes": ["webhooks"]})
    assert second.status_code == 201
    first_id = bot["bot"]["tokens"][0]["token_id"]
    assert (await alice("DELETE", f"{path}/{first_id}")).status_code == 204
    assert (await alice("DELETE", f"{path}/{first_id}")).status_code == 204, "again is the same"
    assert code(await exchange(http, bot["token"])) == (401, "authentication_failed")
    assert (await exchange(http, second.json()["token"])).json()["scopes"] == ["webhooks"]
    assert code(await alice("DELETE", f"{path}/{uuid.uuid4()}")) == (404, "not_found")
    (left,) = (await alice("GET", "/api/bots")).json()["items"][0]["tokens"]
    assert left["token_id"] == second.json()["token_id"]


async def test_a_disabled_bot_is_out(http: httpx2.AsyncClient, alice: Person) -> None:
    bot = await made(alice)
    path = f"/api/bots/{bot['bot']['user_id']}"
    assert (await alice("DELETE", path)).status_code == 204
    assert code(await exchange(http, bot["token"])) == (401, "authentication_failed")
    assert code(await alice("POST", f"{path}/tokens", json={"scopes": ["webhooks"]})) == (403, "account_disabled")
    (listed,) = (await alice("GET", "/api/bots")).json()["items"]
    assert (listed["disabled"], listed["tokens"]) == (True, [])


async def test_a_bot_s_tokens_are_good_for_nothing_when_its_owner_is_disabled(
    http: httpx2.AsyncClient, gateway: Gateway, alice: Person
) -> None:
    bot = await made(alice)
    await gateway.api.store.users.disable(UserId(alice.user_id))
    assert code(await exchange(http, bot["token"])) == (403, "account_disabled")


async def test_somebody_else_s_bot_is_not_there(alice: Person, eve: Person) -> None:
    bot = await made(alice)
    path = f"/api/bots/{bot['bot']['user_id']}"
    assert code(await eve("DELETE", path)) == (404, "not_found")
    assert code(await eve("POST", f"{path}/tokens", json={"scopes": ["webhooks"]})) == (404, "not_found")
    assert code(await eve("DELETE", f"{path}/tokens/{bot['bot']['tokens'][0]['token_id']}")) == (404, "not_found")
    assert code(await eve("DELETE", f"/api/bots/{alice.user_id}")) == (404, "not_found"), "a person is no bot"
    assert (await eve("GET", "/api/bots")).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": []}, {"scopes": ["admin"]}, {"username": "x"}, {"display_name": " "}, {"owner_id": "me"}],
    ids=str,
)
async def test_a_bot_out_of_bounds_is_refused(alice: Person, wrong: dict) -> None:
    assert code(await alice("POST", "/api/bots", json={"username": name()} | wrong)) == (400, "bad_request")


async def test_names_are_shared_with_people(alice: Person, eve: Person) -> None:
    assert code(await alice("POST", "/api/bots", json={"username": eve.username})) == (409, "username_taken")


@pytest.mark.parametrize("token", ["", "hrb_", "hrb_" + "a" * 42, "hrb_" + "a" * 44, "a" * 47, {"$ne": None}])
async def test_a_token_of_another_form_is_refused(http: httpx2.AsyncClient, token: object) -> None:
    assert code(await http.post("/api/auth/bot", json={"token": token})) == (400, "bad_request")


async def test_an_unknown_token_is_refused(http: httpx2.AsyncClient) -> None:
    assert code(await exchange(http, "hrb_" + "a" * 43)) == (401, "authentication_failed")


async def test_bots_of_one_person_are_bounded(gateway: Gateway, alice: Person) -> None:
    limit = gateway.api.settings.bots_per_owner
    for _ in range(limit):
        await made(alice)
    assert code(await alice("POST", "/api/bots", json={"username": name()})) == (403, "forbidden")
