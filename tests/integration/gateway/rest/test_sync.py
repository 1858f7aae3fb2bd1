import asyncio

import pytest

from gateway.app import Gateway
from schemas.ids import Position, UserId
from tests.integration.gateway.rest.conftest import Person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


async def test_the_state_has_oneself_and_the_newest_messages_of_every_conversation(alice: Person, bob: Person) -> None:
    first, second = await alice.group(bob), await alice.group(bob)
    for number in range(1, 33):
        assert (await alice.say(first, str(number))).status_code == 201
    state = (await bob("GET", "/api/sync")).json()
    assert state["user"]["user_id"] == bob.user_id
    assert state["next_cursor"] is None
    assert [one["conversation_id"] for one in state["conversations"]] == [second, first]
    messages = state["conversations"][1]["messages"]
    assert [message["seq"] for message in messages] == list(range(3, 33))
    assert state["conversations"][1]["unread_count"] == 32
    assert state["conversations"][0]["messages"] == []


async def test_pages_share_the_position_of_the_first(alice: Person, bob: Person) -> None:
    """What happens between two pages is above the position, and comes as an event."""
    groups = [await alice.group(bob) for _ in range(5)]
    page = (await bob("GET", "/api/sync?limit=2")).json()
    position, seen = page["position"], [one["conversation_id"] for one in page["conversations"]]
    said = (await alice.say(groups[4], "between the pages")).json()
    while page["next_cursor"] is not None:
        page = (await bob("GET", "/api/sync", params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert page["position"] == position
        seen += [one["conversation_id"] for one in page["conversations"]]
    assert seen == groups[::-1]
    await bob.told_until(position, lambda event: event["data"].get("message_id") == said["message_id"])


async def test_state_and_events_above_its_position_are_whole_whenever_it_is_taken(alice: Person, bob: Person) -> None:
    """C8: the position comes before the database, so an event is in the state, above the position, or both; never in neither."""
    conversation_id = await alice.group(bob)
    total = 40

    async def talk() -> None:
        for number in range(total):
            assert (await alice.say(conversation_id, str(number))).status_code == 201

    talking = asyncio.create_task(talk())
    states = []
    while not talking.done():
        states.append((await bob("GET", "/api/sync")).json())
    await talking
    assert len(states) > 5
    for state in states[:: max(1, len(states) // 10)]:
        (conversation,) = state["conversations"]
        known = {message["seq"] for message in conversation["messages"]}
        position = state["position"]
        low = min(known, default=1)
        while max(known, default=0) < total:
            page = (await bob("GET", "/api/events", params={"after": position, "wait": 20})).json()
            assert page["resync"] is None
            assert page["events"], "the log does not bring what the state lacks"
            known |= {event["data"]["seq"] for event in page["events"] if event["event"] == "message.created"}
            position = page["position"]
        assert known >= set(range(low, total + 1))


async def test_sync_opens_the_log_that_a_socket_resumes(gateway: Gateway, alice: Person) -> None:
    position = (await alice("GET", "/api/sync")).json()["position"]
    assert Position.parse(position) == (await gateway.api.logs.open(UserId(alice.user_id))).position


@pytest.mark.parametrize("cursor", ["x", "1-1", "x:y", "1-1:", "1-1:nonsense"])
async def test_a_foreign_cursor_is_refused(alice: Person, cursor: str) -> None:
    answer = await alice("GET", "/api/sync", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
