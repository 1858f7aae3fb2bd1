"""The threads of a conversation: newest reply first, by pages, with what one has not read of each."""

from typing import Any

import pytest

from tests.integration.gateway.rest.conftest import Person
from tests.integration.gateway.rest.test_changes import said

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


async def threads(person: Person, room: str, query: str = "") -> dict[str, Any]:
    answer = await person("GET", f"/api/conversations/{room}/threads{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def begun(person: Person, room: str, count: int) -> list[str]:
    """So many threads with a reply each, in order."""
    roots = [(await said(person, room, f"root {n}"))["message_id"] for n in range(count)]
    for root in roots:
        await said(person, room, "reply", thread_root_id=root)
    return roots


async def test_threads_come_by_pages_newest_reply_first(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    roots = await begun(bob, room, 5)
    await said(bob, room, "no thread")
    await said(bob, room, "once more", thread_root_id=roots[1])
    seen, query = [], "?limit=2"
    while query:
        page = await threads(alice, room, query)
        seen += [one["root"]["message_id"] for one in page["items"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == [roots[1], roots[4], roots[3], roots[2], roots[0]]


async def test_a_thread_says_what_one_has_not_read_of_it(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    [root] = await begun(bob, room, 1)
    await said(alice, room, "my own", thread_root_id=root)
    last = await said(bob, room, "third", thread_root_id=root)
    gone = await said(bob, room, "gone", thread_root_id=root)
    await bob("DELETE", f"/api/messages/{gone['message_id']}")
    [thread] = (await threads(alice, room))["items"]
    assert (thread["read_seq"], thread["unread_count"], thread["root"]["reply_count"]) == (0, 2, 3)
    body = {"read_seq": last["seq"] - 1, "thread_root_id": root, "private": True}
    await alice("POST", f"/api/conversations/{room}/read", json=body)
    [thread] = (await threads(alice, room))["items"]
    assert (thread["read_seq"], thread["unread_count"]) == (last["seq"] - 1, 1)


async def test_threads_that_are_not_one_s_to_see(alice: Person, bob: Person, eve: Person) -> None:
    room = await alice.group(bob)
    await alice("PATCH", f"/api/conversations/{room}", json={"history": "joined"})
    await begun(bob, room, 1)
    assert (await eve("GET", f"/api/conversations/{room}/threads")).json()["code"] == "not_member"
    await alice("POST", f"/api/conversations/{room}/members", json={"user_ids": [eve.user_id]})
    assert (await threads(eve, room))["items"] == []
    [root] = await begun(bob, room, 1)
    assert [one["root"]["message_id"] for one in (await threads(eve, room))["items"]] == [root]


@pytest.mark.parametrize("cursor", ["x", "1", "1-2-3", "1-x", f"{2**60}-1", "٣-1"])
async def test_a_cursor_of_nowhere_is_refused(alice: Person, bob: Person, cursor: str) -> None:
    room = await alice.group(bob)
    answer = await alice("GET", f"/api/conversations/{room}/threads?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
