"""Files of messages: whose they may be, in how many, who may fetch them, and who hears of their verdict."""

import asyncio
import uuid

import httpx2
import pytest

from backplane.settings import Settings
from schemas.entities import rfc3339
from tests.integration.attachments.conftest import Join, Sender
from tests.objects import get

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def clean(person: Sender, content: bytes = b"hello") -> str:
    file = await person.upload(content)
    assert (await person.verdict(file))["status"] == "clean"
    return file


async def content(person: Sender, file: str, **headers: str) -> httpx2.Response:
    sent = {"Authorization": f"Bearer {person.tokens['access_token']}"} | headers
    return await person.http.get(f"/api/attachments/{file}/content", headers=sent)


async def test_a_message_holds_its_senders_own_files_alone(alice: Sender, bob: Sender) -> None:
    room, file = await alice.group(bob), await clean(alice)
    assert refusal(await bob.send(room, file)) == (422, "unknown_attachment")
    assert refusal(await alice.send(room, str(uuid.uuid4()))) == (422, "unknown_attachment")
    assert refusal(await alice.send(room, file, file)) == (400, "bad_request")
    assert (await alice.send(room, file)).status_code == 201


async def test_a_file_that_is_not_there_or_was_refused_or_withdrawn_is_in_no_message(
    alice: Sender, bob: Sender
) -> None:
    room = await alice.group(bob)
    announced = await alice.announce(b"hello")
    assert refusal(await alice.send(room, announced["attachment_id"])) == (409, "attachment_not_ready")
    bad = await alice.upload(b"<html>")
    await alice.verdict(bad)
    assert refusal(await alice.send(room, bad)) == (410, "attachment_gone")
    gone = await clean(alice)
    await alice("DELETE", f"/api/attachments/{gone}")
    assert refusal(await alice.send(room, gone)) == (422, "unknown_attachment")


async def test_text_may_be_missing_where_there_is_a_file(alice: Sender, bob: Sender) -> None:
    room = await alice.group(bob)
    assert refusal(await alice.send(room)) == (400, "bad_request")
    assert (await alice.send(room, await clean(alice))).status_code == 201
    assert (await alice.send(room, await clean(alice), text="look")).status_code == 201


async def test_a_file_belongs_to_one_message(alice: Sender, bob: Sender) -> None:
    room, file = await alice.group(bob), await clean(alice)
    sent = await alice.send(room, file)
    assert refusal(await alice.send(room, file)) == (409, "attachment_used")
    assert refusal(await alice("DELETE", f"/api/attachments/{file}")) == (409, "attachment_used")
    assert [one["message_id"] for one in await bob.page(room)] == [sent.json()["message_id"]]


async def test_sent_to_many_conversations_at_once_it_is_in_one(alice: Sender, bob: Sender) -> None:
    rooms = [await alice.group(bob) for _ in range(6)]
    for _ in range(3):
        file = await clean(alice, uuid.uuid4().bytes.hex().encode())
        answers = await asyncio.gather(*[alice.send(room, file) for room in (*rooms, rooms[0])])
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 6
        assert {refusal(answer) for answer in answers if answer.status_code != 201} == {(409, "attachment_used")}
        holding = [
            one
            for room in rooms
            for one in await bob.page(room)
            for held in one["attachments"]
            if held["attachment_id"] == file
        ]
        assert len(holding) == 1
        assert (await bob.fetch(file)).status_code == 200


async def test_a_repeat_of_a_message_with_a_file_is_the_same_message(alice: Sender, bob: Sender) -> None:
    room, file = await alice.group(bob), await clean(alice)
    body = {"conversation_id": room, "content": {"text": ""}, "attachments": [file]}
    first, again = [await alice("POST", "/api/messages", json=body, key="once" + file) for _ in range(2)]
    assert first.status_code == 201
    assert again.json()["message_id"] == first.json()["message_id"]


async def test_a_link_is_a_redirect_or_json(alice: Sender, file_settings: Settings) -> None:
    file = await clean(alice)
    found = await content(alice, file)
    assert (found.status_code, found.content) == (302, b"")
    said = await content(alice, file, Accept="application/json")
    assert said.status_code == 200
    assert set(said.json()) == {"url", "expires_at"}
    assert said.json()["expires_at"] > rfc3339(0)
    assert (await get(said.json()["url"])).content == b"hello"
    assert found.headers["location"].startswith(f"{file_settings.s3_url}/{file_settings.s3_bucket}/{file}/content?")


async def test_members_alone_are_given_links(alice: Sender, bob: Sender, join: Join) -> None:
    stranger, room, file = await join(), await alice.group(bob), await clean(alice)
    assert refusal(await content(bob, file)) == (404, "not_found")
    await alice.send(room, file)
    assert (await content(bob, file)).status_code == 302
    assert refusal(await content(stranger, file)) == (404, "not_found")
    assert (await alice.http.get(f"/api/attachments/{file}/content")).status_code == 401


async def test_who_comes_later_sees_what_the_conversation_shows_them(alice: Sender, bob: Sender, join: Join) -> None:
    late, room, file = await join(), await alice.group(bob), await clean(alice)
    await alice.send(room, file)
    changed = await alice("PATCH", f"/api/conversations/{room}", json={"history": "joined"}, key=str(uuid.uuid4()))
    assert changed.status_code < 300
    body = {"user_ids": [late.user_id]}
    added = await alice("POST", f"/api/conversations/{room}/members", json=body, key=str(uuid.uuid4()))
    assert added.status_code < 300, added.text
    assert refusal(await content(late, file)) == (404, "not_found")
    newer = await clean(alice, b"newer")
    await alice.send(room, newer)
    assert (await late.fetch(newer)).content == b"newer"


async def test_who_left_or_was_put_out_is_given_no_link(alice: Sender, bob: Sender, join: Join) -> None:
    carol = await join()
    room, file = await alice.group(bob, carol), await clean(alice)
    await alice.send(room, file)
    for who, by in ((bob, alice), (carol, carol)):
        assert (await content(who, file)).status_code == 302
        path = f"/api/conversations/{room}/members/{who.user_id}"
        assert (await by("DELETE", path, key=str(uuid.uuid4()))).status_code < 300
        assert refusal(await content(who, file)) == (404, "not_found")
    assert (await content(alice, file)).status_code == 302


async def test_a_deleted_message_takes_its_files_along(alice: Sender, bob: Sender) -> None:
    room, file = await alice.group(bob), await clean(alice)
    sent = await alice.send(room, file)
    gone = await alice("DELETE", f"/api/messages/{sent.json()['message_id']}", key=str(uuid.uuid4()))
    assert gone.status_code < 300
    for person in (alice, bob):
        assert refusal(await content(person, file)) in {(410, "attachment_gone"), (404, "not_found")}
    (message,) = await bob.page(room)
    assert not message.get("attachments")


async def test_a_link_is_good_for_a_moment(alice: Sender, file_settings: Settings) -> None:
    file = await clean(alice)
    link = (await content(alice, file)).headers["location"]
    assert f"X-Amz-Expires={file_settings.download_seconds}" in link
    assert (await get(link)).status_code == 200
    async with asyncio.timeout(20):
        while (late := await get(link)).status_code == 200:  # noqa: ASYNC110 - time tells nobody
            await asyncio.sleep(0.2)
    assert late.status_code == 403
    assert (await alice.fetch(file)).status_code == 200, "the next one is good again"
