import uuid

import httpx2
import pytest

from tests.integration.gateway.rest.conftest import Person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def seen(who: Person, conversation_id: str) -> dict:
    return (await who("GET", f"/api/conversations/{conversation_id}")).json()


async def read(who: Person, conversation_id: str, read_seq: int, **more) -> httpx2.Response:
    return await who("POST", f"/api/conversations/{conversation_id}/read", json={"read_seq": read_seq} | more)


async def said(who: Person, conversation_id: str, count: int) -> list[dict]:
    return [(await who.say(conversation_id, str(number))).json() for number in range(count)]


async def test_reading_is_stored_answered_and_only_forward(alice: Person, bob: Person) -> None:
    """C11, C2"""
    room = await alice.group(bob)
    await said(alice, room, 4)
    for asked, expected in ((3, 3), (2, 3), (999, 4)):
        answer = await read(bob, room, asked)
        assert (answer.status_code, answer.json()["read_seq"], answer.json()["delivered_seq"]) == (
            200,
            expected,
            expected,
        )
    state = await seen(bob, room)
    assert (state["unread_count"], state["read_seq"]) == (0, 4)


async def test_all_devices_of_a_person_see_the_same_unread_count(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    await said(alice, room, 5)
    login = await bob.http.post("/api/auth/login", json={"username": bob.username, "password": "correct horse"})
    phone = Person(bob.http, bob.user_id, bob.username, login.json())
    await read(bob, room, 2)
    assert [(await seen(device, room))["unread_count"] for device in (bob, phone)] == [3, 3]
    await read(phone, room, 3, private=True)
    listed = [(await device("GET", "/api/conversations")).json()["items"][0] for device in (bob, phone)]
    assert [(one["unread_count"], one["read_seq"], one["private_read_seq"]) for one in listed] == [(2, 2, 3)] * 2
    marks = {one["user_id"]: one["read_seq"] for one in (await seen(alice, room))["members"]}
    assert marks[bob.user_id] == 2


async def test_members_are_told_and_read_it_in_the_conversation(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    await said(alice, room, 2)
    position = (await alice("GET", "/api/sync")).json()["position"]
    await read(bob, room, 2)
    events = await alice.told_until(position, lambda event: event["event"] == "receipt.updated")
    [receipt] = [event["data"] for event in events if event["event"] == "receipt.updated"]
    assert receipt == {"conversation_id": room, "user_id": bob.user_id, "delivered_seq": 2, "read_seq": 2}


async def test_a_thread_is_read_by_itself(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    root = (await said(alice, room, 3))[0]["message_id"]
    answer = await read(bob, room, 3, thread_root_id=root)
    assert (answer.json()["thread_root_id"], answer.json()["read_seq"]) == (root, 3)
    state = await seen(bob, room)
    assert state["thread_marks"] == [{"thread_root_id": root, "delivered_seq": 3, "read_seq": 3, "private_read_seq": 0}]
    assert (state["read_seq"], (await seen(alice, room))["thread_marks"]) == (0, [])
    assert "thread_marks" not in (await bob("GET", "/api/conversations")).json()["items"][0]


async def test_what_can_not_be_read_is_refused(alice: Person, bob: Person, eve: Person) -> None:
    """C11"""
    room = await alice.group(bob)
    assert code(await read(eve, room, 1)) == (403, "not_member")
    assert code(await read(bob, str(uuid.uuid4()), 1)) == (403, "not_member")
    assert code(await read(bob, room, 0)) == (400, "bad_request")
    assert code(await read(bob, room, -1)) == (400, "bad_request")
    assert code(await read(bob, room, 1, more=1)) == (400, "bad_request")
    assert code(await read(bob, "nowhere", 1)) in {(400, "bad_request"), (404, "not_found")}


async def test_who_has_read_a_message_is_asked_for_by_pages(alice: Person, bob: Person, eve: Person) -> None:
    room = await alice.group(bob, eve)
    first, second = [one["message_id"] for one in await said(alice, room, 2)]
    await read(bob, room, 2)
    await read(eve, room, 1)
    await read(alice, room, 2)
    answer = (await alice("GET", f"/api/messages/{second}/receipts")).json()
    assert (answer["delivered_count"], answer["read_count"]) == (1, 1)
    assert answer["items"] == [{"user_id": bob.user_id, "read": True}], "the sender is nobody's reader"
    seen_ids: list[str] = []
    cursor = None
    for _ in range(5):
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await bob("GET", f"/api/messages/{first}/receipts", params=query)).json()
        assert (page["delivered_count"], page["read_count"]) == (2, 2)
        seen_ids += [one["user_id"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen_ids == sorted([bob.user_id, eve.user_id])


async def test_receipts_of_a_message_are_for_its_conversation(alice: Person, bob: Person, eve: Person) -> None:
    room = await alice.group(bob)
    [message] = await said(alice, room, 1)
    path = f"/api/messages/{message['message_id']}/receipts"
    assert code(await eve("GET", path)) == (404, "not_found")
    assert code(await alice("GET", f"/api/messages/{uuid.uuid4()}/receipts")) == (404, "not_found")
    assert code(await alice("GET", f"{path}?cursor=nonsense")) == (400, "bad_request")
