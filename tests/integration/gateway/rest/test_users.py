import uuid

import httpx2
import pytest

from tests.integration.gateway.rest.conftest import Person

pytestmark = pytest.mark.anyio


async def test_one_sees_ones_email_and_others_do_not(join, bob: Person) -> None:
    email = f"{uuid.uuid4().hex}@example.org"
    alice = await join(email=email, display_name="Alice A.")
    me = (await alice("GET", "/api/me")).json()
    assert (me["email"], me["display_name"]) == (email, "Alice A.")
    seen = (await bob("GET", f"/api/users/{alice.user_id}")).json()
    assert seen == {"user_id": alice.user_id, "username": alice.username, "display_name": "Alice A."}


async def test_a_display_name_can_be_changed_within_bounds(alice: Person) -> None:
    changed = await alice("PATCH", "/api/me", json={"display_name": "  Ålice  "})
    assert changed.json()["display_name"] == "Ålice"
    assert (await alice("GET", "/api/me")).json() == changed.json()
    for name in ("", " ", "x" * 81, "a\nb", "\u202eabc"):
        assert (await alice("PATCH", "/api/me", json={"display_name": name})).status_code == 400
    assert (await alice("PATCH", "/api/me", json={"username": "other"})).status_code == 400


async def test_search_is_by_prefix_taken_literally(alice: Person, join) -> None:
    prefix = f"s{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}.{letter}" for letter in "cab"] + [f"{prefix}x"]
    for name in names:
        await join(username=name)

    async def found(query: str, limit: int = 20) -> list[str]:
        answer = await alice("GET", "/api/users", params={"query": query, "limit": limit})
        return [user["username"] for user in answer.json()["items"]]

    assert await found(prefix.upper()) == sorted(names)
    assert await found(f"{prefix}.") == sorted(names[:3])
    assert await found(f"{prefix}.", limit=2) == sorted(names)[:2]
    for query in (f"{prefix}*", ".*", "$", "%"):
        assert await found(query) == []


async def test_nobody_is_not_found(alice: Person) -> None:
    answer = await alice("GET", f"/api/users/{uuid.uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_keys_and_the_description_are_public(http: httpx2.AsyncClient) -> None:
    assert len((await http.get("/.well-known/jwks.json")).json()["keys"]) == 1
    assert (await http.get("/openapi.json")).json()["openapi"] == "3.1.0"
