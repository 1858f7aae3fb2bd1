import asyncio
import uuid

import httpx2
import pytest

from tests.integration.gateway.rest.conftest import Person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


def direct(other: Person) -> dict:
    return {"kind": "direct", "member_ids": [other.user_id]}


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_second_direct_conversation_is_the_first(alice: Person, bob: Person) -> None:
    """B12"""
    first = await alice("POST", "/api/conversations", json=direct(bob))
    assert first.status_code == 201, first.text
    assert {member["user_id"] for member in first.json()["members"]} == {alice.user_id, bob.user_id}
    assert (first.json()["unread_count"], first.json()["last_message"]) == (0, None)
    again, theirs = [
        await one("POST", "/api/conversations", json=direct(other)) for one, other in ((alice, bob), (bob, alice))
    ]
    assert (again.status_code, theirs.status_code) == (200, 200)
    assert first.json()["conversation_id"] == again.json()["conversation_id"] == theirs.json()["conversation_id"]


async def test_a_key_that_is_none_is_refused_whatever_the_kind(alice: Person, bob: Person) -> None:
    for body in (direct(bob), {"kind": "group", "member_ids": [bob.user_id]}):
        assert code(await alice("POST", "/api/conversations", json=body, key="k" * 129)) == (400, "bad_request")


async def test_two_people_who_open_the_same_chat_at_once_get_one(alice: Person, bob: Person) -> None:
    """B12"""
    answers = await asyncio.gather(
        *(one("POST", "/api/conversations", json=direct(other)) for one, other in ((alice, bob), (bob, alice)) * 3)
    )
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["conversation_id"] for answer in answers}) == 1
    assert len((await alice("GET", "/api/conversations")).json()["items"]) == 1


async def test_a_group_under_a_key_is_made_once(alice: Person, bob: Person, eve: Person) -> None:
    """B12"""
    body = {"kind": "group", "member_ids": [bob.user_id, eve.user_id, bob.user_id], "title": "  Plans "}
    first = await alice("POST", "/api/conversations", json=body, key="plans")
    assert (first.status_code, first.json()["title"]) == (201, "Plans")
    assert len(first.json()["members"]) == 3
    again = await alice("POST", "/api/conversations", json=body, key="plans")
    assert (again.status_code, again.json()["conversation_id"]) == (200, first.json()["conversation_id"])
    other = await alice("POST", "/api/conversations", json=body | {"title": "Other"}, key="plans")
    assert code(other) == (409, "idempotency_conflict")
    theirs = await bob("POST", "/api/conversations", json={"kind": "group", "member_ids": [eve.user_id]}, key="plans")
    assert theirs.status_code == 201
    assert theirs.json()["conversation_id"] != first.json()["conversation_id"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kind": "direct", "member_ids": []}, (400, "bad_request")),
        ({"kind": "channel", "member_ids": []}, (400, "bad_request")),
        ({"kind": "group", "member_ids": ["bob"]}, (400, "bad_request")),
        ({"kind": "group", "member_ids": [], "title": "\u202eabc"}, (400, "bad_request")),
        ({"kind": "group", "member_ids": ["7d1b5c0a-3f52-4c1b-8f0e-2a9c5e6d7f01"]}, (422, "unknown_user")),
        ({"kind": "group", "member_ids": [str(uuid.UUID(int=n)) for n in range(1000)]}, (422, "member_limit")),
        ({"kind": "group", "member_ids": [str(uuid.UUID(int=n)) for n in range(1001)]}, (400, "bad_request")),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_conversation_out_of_bounds_is_refused(alice: Person, body: dict, expected: tuple[int, str]) -> None:
    assert code(await alice("POST", "/api/conversations", json=body)) == expected


async def test_a_direct_conversation_is_with_one_other(alice: Person, bob: Person, eve: Person) -> None:
    for members in ([alice.user_id], [bob.user_id, eve.user_id]):
        answer = await alice("POST", "/api/conversations", json={"kind": "direct", "member_ids": members})
        assert code(answer) == (400, "bad_request")
    named = await alice(
        "POST", "/api/conversations", json={"kind": "direct", "member_ids": [alice.user_id, bob.user_id]}
    )
    assert named.status_code == 201


async def test_strangers_see_nothing(alice: Person, bob: Person, eve: Person) -> None:
    conversation_id = await alice.group(bob)
    assert (await bob("GET", f"/api/conversations/{conversation_id}")).json()["title"] == "group"
    assert code(await eve("GET", f"/api/conversations/{conversation_id}")) == (404, "not_found")
    assert code(await eve("GET", f"/api/conversations/{conversation_id}/messages")) == (403, "not_member")
    assert code(await eve.say(conversation_id, "let me in")) == (403, "not_member")
    assert (await eve("GET", "/api/conversations")).json() == {"items": [], "next_cursor": None}


async def test_the_list_is_paged_without_gap_or_repeat(alice: Person, bob: Person) -> None:
    made = [await alice.group(bob) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for pages in range(1, 10):  # noqa: B007
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await alice("GET", "/api/conversations", params=query)).json()
        seen += [item["conversation_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (seen, pages) == (made[::-1], 3)
    assert code(await alice("GET", "/api/conversations?cursor=nonsense")) == (400, "bad_request")


async def test_the_list_shows_the_last_message_and_what_is_unread(alice: Person, bob: Person) -> None:
    conversation_id = await alice.group(bob)
    for text in ("one", "two"):
        assert (await alice.say(conversation_id, text)).status_code == 201
    (seen,) = (await bob("GET", "/api/conversations")).json()["items"]
    assert (seen["last_message"]["content"]["text"], seen["unread_count"], seen["last_seq"]) == ("two", 2, 2)
