"""People in a real database: names are unique, searches take their words literally."""

import anyio
import pytest

from backplane.store.mongo import Store
from backplane.store.users import as_user
from tests.integration.store.shapes import a_user, new_id

pytestmark = pytest.mark.anyio


async def test_a_name_is_given_once_and_a_repeat_of_the_same_person_is_no_conflict(store: Store) -> None:
    ada = a_user("ada", email="ada@example.org")
    assert await store.users.create(ada)
    assert await store.users.create(ada), "our own write again, after an unknown outcome"
    assert not await store.users.create(a_user("ada"))
    assert await store.users.find([ada.user_id, new_id()]) == {ada.user_id: ada}


async def test_of_people_racing_for_a_name_one_gets_it(store: Store) -> None:
    outcomes: list[bool] = []

    async def register() -> None:
        outcomes.append(await store.users.create(a_user("ada")))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(register)
    assert sorted(outcomes) == [False] * 7 + [True]


async def test_people_are_found_by_name_or_email_whatever_the_case(store: Store) -> None:
    ada, bob = a_user("ada", email="ada@example.org"), a_user("bob", disabled=True)
    assert await store.users.create(ada)
    assert await store.users.create(bob)
    assert await store.users.by_name("ADA") == ada
    assert await store.users.by_name("Ada@Example.org") == ada
    assert await store.users.by_name("bob") == bob
    assert await store.users.by_name("eve") is None
    assert await store.users.by_name("eve@example.org") is None


async def test_an_email_that_two_gave_is_the_first_ones(store: Store) -> None:
    first = a_user("zoe", email="shared@example.org", created_ms=1)
    assert await store.users.create(a_user("ada", email="shared@example.org", created_ms=2))
    assert await store.users.create(first)
    assert await store.users.by_name("shared@example.org") == first


async def test_only_what_is_given_is_changed(store: Store) -> None:
    ada = a_user("ada")
    await store.users.create(ada)
    await store.users.update(ada.user_id, display_name="Countess")
    await store.users.update(ada.user_id, password_hash="other")
    await store.users.update(ada.user_id)
    stored = (await store.users.find([ada.user_id]))[ada.user_id]
    assert (stored.display_name, stored.password_hash, stored.username) == ("Countess", "other", "ada")


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("al", ["al", "al.b", "alan", "alé"]), ("AL.", ["al.b"]), (".*", []), ("^a", []), ("zed", []), ("alan", ["alan"])],
)
async def test_a_search_takes_the_prefix_literally(store: Store, prefix: str, expected: list[str]) -> None:
    for name in ("alan", "al", "al.b", "alé", "bal", "am"):
        await store.users.create(a_user(name))
    assert [user.username for user in await store.users.search(prefix, limit=10)] == expected
    assert [user.username for user in await store.users.search(prefix, limit=1)] == expected[:1]


def test_others_see_neither_email_nor_hash() -> None:
    shown = as_user(a_user("ada", email="ada@example.org", password_hash="secret"))
    assert "secret" not in repr(shown)
    assert "example.org" not in repr(shown)
