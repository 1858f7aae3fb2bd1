"""Attachments over REST: announced once, within one's quota, complete when they are there, and let go of."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
import pytest

from backplane.settings import Settings
from gateway.app import open_gateway
from tests.integration.attachments.conftest import Join, Sender
from tests.services import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

QUOTA = 1000
HELLO: dict[str, Any] = {"name": "a.txt", "content_type": "text/plain", "size": 5}


async def announce(person: Sender, key: str | None = None, **fields: Any) -> httpx2.Response:
    return await person("POST", "/api/attachments", json=HELLO | fields, key=key)


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@contextlib.asynccontextmanager
async def another_gateway(settings: Settings, **changed: object) -> AsyncGenerator[httpx2.AsyncClient]:
    """The same deployment by a gateway with other settings."""
    async with open_gateway(settings.model_copy(update=changed)) as gateway:
        transport = httpx2.ASGITransport(app=gateway.public, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            yield http


@pytest.fixture(scope="module")
async def small(file_settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A gateway with little room for everybody."""
    async with another_gateway(file_settings, attachment_quota_bytes=QUOTA) as http:
        yield http


@pytest.fixture(scope="module")
async def somebody(join: Join) -> Sender:
    return await join()


def by(person: Sender, http: httpx2.AsyncClient) -> Sender:
    """The same person at another gateway."""
    return dataclasses.replace(person, http=http)


async def test_the_same_key_is_the_same_file_with_a_fresh_form(alice: Sender) -> None:
    first, again = await announce(alice, "key"), await announce(alice, "key")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["attachment_id"] == again.json()["attachment_id"]
    assert first.json()["attachment"] == again.json()["attachment"]
    assert await alice.post(again.json(), b"hello") == 204
    file = first.json()["attachment_id"]
    assert (await alice.complete(file)).status_code == 200
    third = await announce(alice, "key")
    assert (third.status_code, third.json()["attachment_id"], third.json()["upload"]) == (200, file, None)


@pytest.mark.parametrize(
    "other", [{"size": 6}, {"name": "b.txt"}, {"content_type": "text/csv"}, {"sha256": "0" * 64}], ids=str
)
async def test_the_same_key_for_another_file_is_a_conflict(alice: Sender, other: dict[str, Any]) -> None:
    await announce(alice, "key")
    assert refusal(await announce(alice, "key", **other)) == (409, "idempotency_conflict")


async def test_the_same_key_of_somebody_else_and_no_key_are_other_files(alice: Sender, bob: Sender) -> None:
    answers = [await announce(alice, "key"), await announce(bob, "key"), await announce(alice), await announce(alice)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["attachment_id"] for answer in answers}) == 4


async def test_announced_twice_at_once_is_announced_once(alice: Sender) -> None:
    answers = await asyncio.gather(*[announce(alice, "key") for _ in range(5)])
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["attachment_id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../../etc/passwd"},
        {"name": "C:\\a.txt"},
        {"name": ".."},
        {"name": ""},
        {"name": "   "},
        {"name": "a\x00.txt"},
        {"name": "a\r\nX-Header: b"},
        {"name": "gpj.\u202eexe"},
        {"name": "x" * 300},
        {"name": "x" * 2000},
        {"content_type": ""},
        {"content_type": "text"},
        {"content_type": "text/"},
        {"content_type": "te xt/plain"},
        {"content_type": "text/plain\r\nX-Header: b"},
        {"content_type": "text/" + "x" * 200},
        {"size": 0},
        {"size": -1},
        {"size": 2**60},
        {"size": 1.5},
        {"size": "5"},
        {"sha256": "0" * 63},
        {"sha256": "X" * 64},
        {"status": "clean"},
    ],
    ids=lambda wrong: repr(wrong)[:40],
)
async def test_what_can_not_be_is_refused(somebody: Sender, wrong: dict[str, Any]) -> None:
    assert refusal(await announce(somebody, **wrong)) == (400, "bad_request")


async def test_the_largest_file_fits_and_one_byte_more_does_not(alice: Sender) -> None:
    assert (await announce(alice, size=30_000_000)).status_code == 201
    assert refusal(await announce(alice, size=30_000_001)) == (413, "payload_too_large")


async def test_a_quota_is_used_up_to_the_last_byte_and_comes_back(alice: Sender, small: httpx2.AsyncClient) -> None:
    alice = by(alice, small)
    first = (await announce(alice, size=QUOTA - 1)).json()["attachment_id"]
    assert refusal(await announce(alice, size=2)) == (422, "quota_exceeded")
    assert (await announce(alice, "last", size=1)).status_code == 201
    assert (await announce(alice, "last", size=1)).status_code == 200, "a repeat takes no more room"
    assert refusal(await announce(alice, size=1)) == (422, "quota_exceeded")
    assert (await alice("DELETE", f"/api/attachments/{first}")).status_code == 204
    assert (await announce(alice, size=QUOTA - 1)).status_code == 201


async def test_a_quota_is_ones_own(alice: Sender, bob: Sender, small: httpx2.AsyncClient) -> None:
    for person in (alice, bob):
        assert (await announce(by(person, small), size=QUOTA)).status_code == 201


async def test_what_was_refused_takes_no_room(alice: Sender, small: httpx2.AsyncClient) -> None:
    alice = by(alice, small)
    content = b"<html>".ljust(QUOTA)
    assert (await alice.verdict(await alice.upload(content)))["status"] == "error"
    assert (await announce(alice, size=QUOTA)).status_code == 201


async def test_of_many_at_once_no_more_are_taken_than_fit(join: Join, small: httpx2.AsyncClient) -> None:
    for _ in range(3):
        alice = by(await join(), small)
        answers = await asyncio.gather(*[announce(alice, size=QUOTA // 2 + 1) for _ in range(4)])
        taken = [answer for answer in answers if answer.status_code == 201]
        assert len(taken) == 1
        assert {refusal(answer) for answer in answers if answer not in taken} <= {(422, "quota_exceeded")}
        assert (await announce(alice, size=QUOTA // 2 - 1)).status_code == 201, "who was refused takes no room"


async def test_complete_waits_for_the_upload_and_may_be_repeated(alice: Sender) -> None:
    announced = await alice.announce(b"hello")
    file = announced["attachment_id"]
    assert refusal(await alice.complete(file)) == (409, "attachment_not_ready")
    await alice.post(announced, b"hello")
    assert (await alice.complete(file)).json()["status"] == "pending"
    assert (await alice.complete(file)).json()["status"] in {"pending", "clean"}
    await alice.verdict(file)
    assert (await alice.complete(file)).json()["status"] == "clean"


async def test_a_file_of_ones_own_can_be_let_go_of_at_any_time(alice: Sender) -> None:
    announced, pending = await alice.announce(b"hello"), await alice.upload(b"pending")
    clean = await alice.upload(b"clean")
    await alice.verdict(clean)
    for file in (announced["attachment_id"], pending, clean):
        assert (await alice("DELETE", f"/api/attachments/{file}")).status_code == 204
        assert (await alice("GET", f"/api/attachments/{file}")).status_code in {404, 410}
        assert (await alice("GET", f"/api/attachments/{file}/content")).status_code in {404, 410}
        assert refusal(await alice("DELETE", f"/api/attachments/{file}")) == (404, "not_found")
        assert refusal(await alice.complete(file)) == (404, "not_found")


@pytest.mark.parametrize("file", ["00000000-0000-7000-8000-000000000000", "x", "..%2f..", "0" * 200])
async def test_what_does_not_exist_is_not_found(somebody: Sender, file: str) -> None:
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/complete"),
        ("GET", "/content"),
        ("GET", "/thumbnail"),
    ]:
        assert (await somebody(method, f"/api/attachments/{file}{path}")).status_code == 404


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"scanner_url": None}, (503, "scanner_unavailable")),
        ({"s3_url": None}, (422, "unsupported")),
    ],
    ids=["no scanner", "no object store"],
)
async def test_without_a_scanner_or_an_object_store_nothing_is_taken(
    file_settings: Settings, alice: Sender, changed: dict[str, Any], code: tuple[int, str]
) -> None:
    file = (await alice.announce(b"hello"))["attachment_id"]
    served = await alice.upload(b"served")
    await alice.verdict(served)
    async with another_gateway(file_settings, **changed) as http:
        there = by(alice, http)
        assert refusal(await announce(there)) == code
        put = await there("PUT", f"/api/attachments/{file}/content", content=b"hello")
        assert refusal(put) == code
        got = await there("GET", f"/api/attachments/{served}/content")
        assert got.status_code == 302 if "scanner_url" in changed else refusal(got) == code


async def test_while_the_object_store_is_away_files_wait(file_settings: Settings, alice: Sender) -> None:
    async with another_gateway(file_settings, s3_url=f"http://127.0.0.1:{free_port()}") as http:
        there = by(alice, http)
        announced = await announce(there, "key")
        assert announced.status_code == 201, "a form is made without the store"
        file = announced.json()["attachment_id"]
        assert refusal(await there.complete(file)) == (503, "unavailable")
        assert refusal(await there("PUT", f"/api/attachments/{file}/content", content=b"hello")) == (503, "unavailable")
    assert await alice.post((await announce(alice, "key")).json(), b"hello") == 204
    assert (await alice.complete(file)).status_code == 200
    assert (await alice.verdict(file))["status"] == "clean"
