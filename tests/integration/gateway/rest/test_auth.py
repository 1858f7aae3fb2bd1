import asyncio
import uuid

import httpx2
import pytest

from gateway.app import Gateway, open_gateway
from gateway.rest.auth import COOKIE, CUSTOM_HEADER
from tests.integration.gateway.rest.conftest import PASSWORD, Person, make_settings
from tests.services import Server

pytestmark = pytest.mark.anyio


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def refresh(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await http.post("/api/auth/refresh", json={"refresh_token": token})


async def test_registering_signs_in_and_signing_in_opens_another_session(
    http: httpx2.AsyncClient, alice: Person
) -> None:
    answer = await http.post("/api/auth/login", json={"username": alice.username.upper(), "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body["user"] == {"user_id": alice.user_id, "username": alice.username, "display_name": alice.username}
    assert body["session_id"] != alice.tokens["session_id"]
    assert body["expires_in"] == 600
    assert answer.headers["cache-control"] == "no-store"
    me = await http.get("/api/me", headers={"Authorization": f"bearer {body['access_token']}"})
    assert me.json()["user_id"] == alice.user_id


async def test_an_email_signs_in_too(http: httpx2.AsyncClient, join) -> None:
    email = f"{uuid.uuid4().hex}@Example.org"
    person = await join(email=email)
    answer = await http.post("/api/auth/login", json={"email": email.lower(), "password": PASSWORD})
    assert answer.json()["user"]["user_id"] == person.user_id


async def test_a_taken_name_is_said(http: httpx2.AsyncClient, alice: Person) -> None:
    answer = await http.post("/api/auth/register", json={"username": alice.username.upper(), "password": PASSWORD})
    assert code(answer) == (409, "username_taken")


async def test_of_many_who_want_one_name_at_once_one_gets_it(http: httpx2.AsyncClient) -> None:
    body = {"username": f"u{uuid.uuid4().hex[:12]}", "password": PASSWORD}
    answers = await asyncio.gather(*(http.post("/api/auth/register", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "a"},
        {"username": "with space"},
        {"username": "at@sign"},
        {"username": "new\nline"},
        {"username": "кирилл"},
        {"password": "short"},
        {"password": "x" * 1025},
        {"display_name": " "},
        {"display_name": "\u202egnp.exe"},
        {"email": "nowhere"},
        {"admin": True},
    ],
    ids=str,
)
async def test_an_account_out_of_bounds_is_refused(http: httpx2.AsyncClient, wrong: dict) -> None:
    body = {"username": f"u{uuid.uuid4().hex[:12]}", "password": PASSWORD} | wrong
    assert code(await http.post("/api/auth/register", json=body)) == (400, "bad_request")


async def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(
    http: httpx2.AsyncClient, alice: Person
) -> None:
    known = await http.post("/api/auth/login", json={"username": alice.username, "password": "wrong horse"})
    unknown = await http.post("/api/auth/login", json={"username": "nobody-here", "password": "wrong horse"})
    by_email = await http.post("/api/auth/login", json={"email": "nobody@example.org", "password": "wrong horse"})
    assert code(known) == (401, "authentication_failed")
    assert known.content == unknown.content == by_email.content
    assert dict(known.headers) == dict(unknown.headers)
    assert known.headers["www-authenticate"] == "Bearer"


async def test_a_storm_of_logins_is_refused_beyond_its_bound(http: httpx2.AsyncClient, alice: Person) -> None:
    body = {"username": alice.username, "password": "wrong horse"}
    answers = await asyncio.gather(*(http.post("/api/auth/login", json=body) for _ in range(90)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert 0 < len(refused) < 90
    assert code(refused[0]) == (503, "overloaded")
    assert refused[0].headers["retry-after"] == "2"


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(
    http: httpx2.AsyncClient, alice: Person
) -> None:
    first = alice.tokens["refresh_token"]
    rotated = await refresh(http, first)
    assert rotated.status_code == 200
    second = rotated.json()["refresh_token"]
    assert second != first
    assert rotated.json()["session_id"] == alice.tokens["session_id"]
    third = (await refresh(http, second)).json()["refresh_token"]
    assert code(await refresh(http, first)) == (401, "token_reused")
    assert code(await refresh(http, third)) == (401, "session_revoked")


async def test_windows_that_refresh_at_once_get_the_same_successor(http: httpx2.AsyncClient, alice: Person) -> None:
    answers = await asyncio.gather(*(refresh(http, alice.tokens["refresh_token"]) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    assert (await refresh(http, alice.tokens["refresh_token"])).json()["refresh_token"] == successor  # a lost answer
    assert (await refresh(http, successor)).status_code == 200


async def test_a_token_that_comes_again_late_is_a_stolen_one(
    http: httpx2.AsyncClient, gateway: Gateway, alice: Person
) -> None:
    assert (await refresh(http, alice.tokens["refresh_token"])).status_code == 200
    sessions = gateway.api.store.database["sessions"]
    await sessions.update_one({"_id": alice.tokens["session_id"]}, {"$inc": {"rotated_ms": -10_001}})
    assert code(await refresh(http, alice.tokens["refresh_token"])) == (401, "token_reused")
    assert code(await alice("GET", "/api/me")) == (401, "session_revoked")  # the access token is worth nothing, too
    events = [entry.event for entry in await gateway.api.store.audit.about(alice.user_id)]
    assert events == ["session.reused", "session.opened"]


async def test_an_unknown_refresh_token_is_refused(http: httpx2.AsyncClient) -> None:
    assert code(await refresh(http, "x" * 43)) == (401, "authentication_failed")
    assert code(await http.post("/api/auth/refresh")) == (401, "authentication_failed")


async def test_signing_out_ends_this_session_only(http: httpx2.AsyncClient, alice: Person) -> None:
    other = (await http.post("/api/auth/login", json={"username": alice.username, "password": PASSWORD})).json()
    assert (await alice("POST", "/api/auth/logout")).status_code == 204
    assert code(await refresh(http, alice.tokens["refresh_token"])) == (401, "session_revoked")
    assert (await refresh(http, other["refresh_token"])).status_code == 200


async def test_signing_out_everywhere_ends_all_sessions(http: httpx2.AsyncClient, alice: Person, bob: Person) -> None:
    other = (await http.post("/api/auth/login", json={"username": alice.username, "password": PASSWORD})).json()
    assert (await alice("POST", "/api/auth/logout", json={"everywhere": True})).status_code == 204
    for tokens in (alice.tokens, other):
        assert code(await refresh(http, tokens["refresh_token"])) == (401, "session_revoked")
    assert (await refresh(http, bob.tokens["refresh_token"])).status_code == 200


async def test_the_cookie_carries_the_refresh_token_out_of_scripts_reach(
    http: httpx2.AsyncClient, alice: Person
) -> None:
    body = {"username": alice.username, "password": PASSWORD, "cookie": True}
    answer = await http.post("/api/auth/login", json=body)
    assert "refresh_token" not in answer.json()
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for attribute in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert attribute in cookie
    http.cookies.clear()
    sent = {"Cookie": cookie.partition(";")[0]}
    ours = {CUSTOM_HEADER: "web"}
    for wrong in (
        ours | {"Origin": "https://evil.example"},
        ours | {"Origin": "null"},
        ours,
        {"Origin": "https://chat.example"},
    ):
        assert code(await http.post("/api/auth/refresh", headers=sent | wrong)) == (403, "forbidden_origin")
    for origin in ({"Origin": "https://chat.example"}, {"Origin": "http://gateway.test"}):
        answer = await http.post("/api/auth/refresh", headers=sent | ours | origin)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()
        sent = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        http.cookies.clear()


async def test_tokens_are_not_stored_in_the_clear(gateway: Gateway, alice: Person) -> None:
    session = await gateway.api.store.sessions.get(alice.tokens["session_id"])
    assert session is not None
    assert alice.tokens["refresh_token"] not in str(session)


async def test_registration_can_be_closed(redis: Server, mongodb: Server) -> None:
    settings = make_settings(redis, mongodb, registration_open=False)
    async with open_gateway(settings) as gateway:
        transport = httpx2.ASGITransport(app=gateway.public)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            body = {"username": "alice", "password": PASSWORD}
            assert code(await http.post("/api/auth/register", json=body)) == (403, "registration_closed")
