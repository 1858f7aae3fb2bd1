import asyncio

import argon2
import httpx2
import pytest

from gateway.app import Gateway
from tests.integration.gateway.rest.conftest import PASSWORD, Person

pytestmark = pytest.mark.anyio

NEW = "staple battery 7"


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def sign_in(person: Person, password: str = PASSWORD, **more) -> httpx2.Response:
    return await person.http.post("/api/auth/login", json={"username": person.username, "password": password} | more)


async def another(person: Person, **more) -> Person:
    answer = await sign_in(person, **more)
    assert answer.status_code == 200, answer.text
    return Person(person.http, person.user_id, person.username, answer.json())


async def test_sessions_are_listed_with_device_and_when_they_were_seen(alice: Person) -> None:
    phone = await another(alice, device="phone")
    items = (await phone("GET", "/api/auth/sessions")).json()["items"]
    assert [(one["device"], one["current"]) for one in items] == [("phone", True), (None, False)]
    assert items[0]["session_id"] == phone.tokens["session_id"]
    assert items[0]["address"] == "127.0.0.1"
    before = items[1]["seen_at"]
    await alice.http.post("/api/auth/refresh", json={"refresh_token": alice.tokens["refresh_token"]})
    items = (await phone("GET", "/api/auth/sessions")).json()["items"]
    assert [one["device"] for one in items] == [None, "phone"]  # the last seen first
    assert items[0]["seen_at"] > before


async def test_a_session_can_be_ended_from_another_and_its_access_token_is_worth_nothing_at_once(alice: Person) -> None:
    phone = await another(alice)
    assert (await alice("DELETE", f"/api/auth/sessions/{phone.tokens['session_id']}")).status_code == 204
    assert code(await phone("GET", "/api/me")) == (401, "session_revoked")
    assert (await alice("DELETE", f"/api/auth/sessions/{phone.tokens['session_id']}")).status_code == 204
    assert len((await alice("GET", "/api/auth/sessions")).json()["items"]) == 1


async def test_nobody_ends_a_session_of_somebody_else(alice: Person, bob: Person) -> None:
    path = f"/api/auth/sessions/{alice.tokens['session_id']}"
    unknown = await bob("DELETE", "/api/auth/sessions/01900000-0000-7000-8000-000000000000")
    foreign = await bob("DELETE", path)
    assert code(foreign) == (404, "not_found")
    assert foreign.content == unknown.content
    assert (await alice("GET", "/api/me")).status_code == 200


@pytest.mark.parametrize("everywhere", [False, True], ids=["here", "everywhere"])
async def test_signing_out_ends_access_tokens_at_once(alice: Person, everywhere: bool) -> None:
    phone = await another(alice)
    assert (await alice("POST", "/api/auth/logout", json={"everywhere": everywhere})).status_code == 204
    assert code(await alice("GET", "/api/me")) == (401, "session_revoked")
    assert (await phone("GET", "/api/me")).status_code == (401 if everywhere else 200)


async def test_another_password_ends_every_other_session(gateway: Gateway, alice: Person) -> None:
    phone = await another(alice)
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await alice("POST", "/api/auth/password", json=body)).status_code == 204
    assert code(await phone("GET", "/api/me")) == (401, "session_revoked")
    answer = await phone.http.post("/api/auth/refresh", json={"refresh_token": phone.tokens["refresh_token"]})
    assert code(answer) == (401, "session_revoked")
    assert (await alice("GET", "/api/me")).status_code == 200
    assert code(await sign_in(alice)) == (401, "authentication_failed")
    assert (await sign_in(alice, NEW)).status_code == 200
    events = [entry.event for entry in await gateway.api.store.audit.about(alice.user_id)]
    assert events == ["session.opened", "login.refused", "password.changed", "session.opened", "session.opened"]


@pytest.mark.parametrize(
    ("current", "new", "expected"),
    [
        ("wrong horse", NEW, (403, "forbidden")),
        (PASSWORD, "short", (400, "bad_request")),
        (PASSWORD, "Password123", (400, "bad_request")),
    ],
    ids=["wrong", "short", "common"],
)
async def test_a_password_that_will_not_do_changes_nothing(
    alice: Person, current: str, new: str, expected: tuple[int, str]
) -> None:
    body = {"current_password": current, "new_password": new}
    assert code(await alice("POST", "/api/auth/password", json=body)) == expected
    assert (await sign_in(alice)).status_code == 200


async def test_a_common_password_and_ones_own_name_open_no_account(http: httpx2.AsyncClient) -> None:
    for body in (
        {"username": "fresh-name-1", "password": "iloveyou1"},
        {"username": "fresh-name-2", "password": "FRESH-name-2"},
        {"username": "fresh-name-3", "password": "me@example.org", "email": "Me@example.org"},
    ):
        answer = await http.post("/api/auth/register", json=body)
        assert code(answer) == (400, "bad_request")
        assert "password" in answer.json()["detail"]


async def test_a_sign_in_that_overlaps_another_password_opens_nothing(
    gateway: Gateway, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was looked at, and is not when the session is there."""
    sessions, create = gateway.api.store.sessions, gateway.api.store.sessions.create

    async def late(session) -> None:
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert (await alice("POST", "/api/auth/password", json=body)).status_code == 204
        await create(session)

    with monkeypatch.context() as patched:
        patched.setattr(sessions, "create", late)
        assert code(await sign_in(alice)) == (401, "authentication_failed")
    assert len((await alice("GET", "/api/auth/sessions")).json()["items"]) == 1


async def test_a_password_hashed_anew_never_comes_over_another_one(gateway: Gateway, alice: Person) -> None:
    users = gateway.api.store.users
    stored = await users.get(alice.user_id)
    assert stored is not None
    await users.rehash(alice.user_id, "another", "stale")
    assert await users.get(alice.user_id) == stored


async def test_who_is_disabled_can_do_nothing_at_once_and_again_when_enabled(gateway: Gateway, alice: Person) -> None:
    api = gateway.api
    await api.store.users.disable(alice.user_id)
    await api.revocations.disable(alice.user_id)
    assert code(await alice("GET", "/api/conversations")) == (403, "account_disabled")
    assert code(await sign_in(alice)) == (403, "account_disabled")
    await api.store.users.disable(alice.user_id, disabled=False)
    await api.revocations.enable(alice.user_id)
    assert (await alice("GET", "/api/conversations")).status_code == 200
    assert (await sign_in(alice)).status_code == 200


async def test_a_long_poll_ends_with_its_session(alice: Person) -> None:
    phone = await another(alice)
    position = (await phone("GET", "/api/events")).json()["position"]
    polling = asyncio.create_task(phone("GET", "/api/events", params={"after": position, "wait": 20}))
    await asyncio.sleep(0.3)
    assert (await alice("DELETE", f"/api/auth/sessions/{phone.tokens['session_id']}")).status_code == 204
    async with asyncio.timeout(1):
        assert code(await polling) == (401, "session_revoked")


async def test_a_password_hashed_with_yesterdays_parameters_is_hashed_anew_at_sign_in(
    gateway: Gateway, alice: Person
) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    await gateway.api.store.users.update(alice.user_id, password_hash=weak)
    assert (await sign_in(alice)).status_code == 200
    stored = await gateway.api.store.users.get(alice.user_id)
    assert stored is not None
    assert stored.password_hash != weak
    assert (await sign_in(alice)).status_code == 200


@pytest.mark.parametrize("device", ["\u202egnp", "a\u0000b", "x" * 81, " "])
async def test_a_device_is_called_something_that_can_be_shown(alice: Person, device: str) -> None:
    before = len((await alice("GET", "/api/auth/sessions")).json()["items"])
    assert code(await sign_in(alice, device=device)) == (400, "bad_request")
    assert len((await alice("GET", "/api/auth/sessions")).json()["items"]) == before
