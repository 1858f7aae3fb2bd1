"""A verdict that comes after its message is told to everybody who sees that message."""

import asyncio
import uuid
from typing import Any

import pytest

from backplane.settings import Settings
from tests.integration.attachments.by_hand import Bench
from tests.integration.attachments.conftest import Sender, running

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("storing")]


async def heard(person: Sender, after: str, count: int) -> list[dict[str, Any]]:
    """The next events."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            answer = await person("GET", "/api/events", params={"after": after, "wait": 20})
            page = answer.json()
            assert page["resync"] is None
            found, after = found + page["events"], page["position"]
    return found


@pytest.mark.parametrize(("content", "status"), [(b"hello", "clean"), (b"<html>", "error")])
async def test_a_verdict_that_comes_after_the_message_is_told(
    file_settings: Settings, alice: Sender, bob: Sender, content: bytes, status: str
) -> None:
    position = (await bob("GET", "/api/sync")).json()["position"]
    room, file = await alice.group(bob), await alice.upload(content)
    sent = (await alice.send(room, file)).json()
    assert [one["status"] for one in sent["attachments"]] == ["pending"]
    async with running(file_settings, "scan"):
        created, told, updated = await heard(bob, position, 3)
    assert [event["event"] for event in (created, told, updated)] == [
        "conversation.created",
        "message.created",
        "attachment.updated",
    ]
    assert [told["data"]["attachments"][0]["status"], updated["data"]["attachments"][0]["status"]] == [
        "pending",
        status,
    ]
    assert updated["data"]["message_id"] == sent["message_id"]
    assert updated["data"]["rev"] > told["data"]["rev"]
    for person in (alice, bob):
        (message,) = await person.page(room)
        assert (message["rev"], message["attachments"]) == (updated["data"]["rev"], updated["data"]["attachments"])


async def test_a_file_that_is_announced_sent_and_deleted_again_and_again_is_told_each_time(
    bench: Bench, alice: Sender, bob: Sender
) -> None:
    """With the same key it has the same id each time, and the same versions: what is told is told of its message."""
    room = await alice.group(bob)
    for _ in range(2):
        file = await alice.upload(b"hello", key="always the same")
        sent = (await alice.send(room, file)).json()
        await bench.do(file)
        found = await bob.page_until(room, lambda found: found[-1]["attachments"][0]["status"] == "clean")
        assert found[-1]["message_id"] == sent["message_id"]
        assert (await alice("DELETE", f"/api/messages/{sent['message_id']}", key=str(uuid.uuid4()))).status_code < 300
        await bench.forget(await bench.stored(file))


async def test_a_verdict_that_came_before_the_message_is_in_it(
    file_settings: Settings, alice: Sender, bob: Sender
) -> None:
    file = await alice.upload(b"hello")
    async with running(file_settings, "scan"):
        await alice.verdict(file)
    sent = (await alice.send(await alice.group(bob), file)).json()
    assert [one["status"] for one in sent["attachments"]] == ["clean"]
