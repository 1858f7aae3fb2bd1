"""What somebody who is blocked may do in the direct conversation: every operation, every address that changes something, every reading.

The rule: nothing that they do there reaches the other one; what is theirs alone, and what they read, stays as it was.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import httpx2
import pytest

from gateway.rest.application import OPERATIONS
from schemas.roles import DIRECT, GROUP, Permission
from tests.integration.gateway.rest.conftest import Person
from tests.integration.gateway.rest.test_changes import said

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

DONE: Final = "done"
"""It is made; else the code with which it is refused."""


@dataclass
class Direct:
    """Ann and Bob talk; Bob has blocked Ann. What there was before: a message, a reaction and a pin of each."""

    ann: Person
    bob: Person
    room: str = ""
    anns: str = ""
    bobs: str = ""

    async def make(self) -> "Direct":
        body = {"kind": "direct", "member_ids": [self.bob.user_id]}
        self.room = (await self.ann("POST", "/api/conversations", json=body)).json()["conversation_id"]
        self.anns = (await said(self.ann, self.room))["message_id"]
        self.bobs = (await said(self.bob, self.room))["message_id"]
        for message in (self.anns, self.bobs):
            await self.ann("POST", f"/api/messages/{message}/reactions", json={"emoji": ":ok:"})
            await self.ann("PUT", f"/api/messages/{message}/pin")
        assert (await self.bob("PUT", f"/api/users/{self.ann.user_id}/block")).status_code == 204
        return self

    async def send(self, **more: object) -> httpx2.Response:
        body = {"conversation_id": self.room, "content": {"text": "psst"}, **more}
        return await self.ann("POST", "/api/messages", json=body, key=str(uuid.uuid4()))

    async def on_the_room(self, method: str, rest: str = "", body: object = None) -> httpx2.Response:
        return await self.ann(method, f"/api/conversations/{self.room}{rest}", json=body)

    async def on(self, message: str, method: str, rest: str = "", body: object = None) -> httpx2.Response:
        return await self.ann(method, f"/api/messages/{message}{rest}", json=body)


Does = Callable[[Direct], Awaitable[httpx2.Response]]
TEXT = {"content": {"text": "psst"}}

COLUMN: dict[Permission, tuple[str, Does]] = {
    "message.send": ("blocked", lambda direct: direct.send()),
    "message.send.all": ("blocked", lambda direct: direct.send(mentions=["all"])),
    "message.edit": ("blocked", lambda direct: direct.on(direct.anns, "PUT", "", TEXT)),
    "message.delete": ("blocked", lambda direct: direct.on(direct.anns, "DELETE")),
    "message.delete.others": ("blocked", lambda direct: direct.on(direct.bobs, "DELETE")),
    "reaction.add": ("blocked", lambda direct: direct.on(direct.bobs, "POST", "/reactions", {"emoji": "👍"})),
    "reaction.remove": ("blocked", lambda direct: direct.on(direct.bobs, "DELETE", "/reactions/:ok:")),
    "message.pin": ("blocked", lambda direct: direct.on(direct.anns, "PUT", "/pin")),
    "conversation.update": ("forbidden", lambda direct: direct.on_the_room("PATCH", "", {"title": "psst"})),
    "conversation.retention": ("blocked", lambda direct: direct.on_the_room("PATCH", "", {"retention_days": 1})),
    "member.add": (
        "forbidden", lambda direct: direct.on_the_room("POST", "/members", {"user_ids": [direct.bob.user_id]}),
    ),
    "member.remove": ("forbidden", lambda direct: direct.on_the_room("DELETE", f"/members/{direct.bob.user_id}")),
    "member.remove.admin": ("forbidden", lambda direct: direct.on_the_room("DELETE", f"/members/{direct.bob.user_id}")),
    "member.leave": ("forbidden", lambda direct: direct.on_the_room("DELETE", f"/members/{direct.ann.user_id}")),
    "member.role": (
        "forbidden", lambda direct: direct.on_the_room("PATCH", f"/members/{direct.bob.user_id}", {"role": "member"}),
    ),
    "member.mine": (DONE, lambda direct: direct.on_the_room("PATCH", "/mine", {"archived": True})),
}  # fmt: skip

ADDRESSES: dict[str, tuple[str, Does]] = {
    "POST /api/conversations": (
        DONE,  # there is one already, and it is shown
        lambda direct: direct.ann(
            "POST", "/api/conversations", json={"kind": "direct", "member_ids": [direct.bob.user_id]}
        ),
    ),
    "POST /api/messages": COLUMN["message.send"],
    "PUT /api/messages/{message_id}": COLUMN["message.edit"],
    "DELETE /api/messages/{message_id}": COLUMN["message.delete"],
    "POST /api/messages/{message_id}/reactions": COLUMN["reaction.add"],
    "DELETE /api/messages/{message_id}/reactions/{emoji}": COLUMN["reaction.remove"],
    "PUT /api/messages/{message_id}/pin": COLUMN["message.pin"],
    "DELETE /api/messages/{message_id}/pin": ("blocked", lambda direct: direct.on(direct.anns, "DELETE", "/pin")),
    "PATCH /api/conversations/{conversation_id}": COLUMN["conversation.update"],
    "PATCH /api/conversations/{conversation_id}/mine": COLUMN["member.mine"],
    "POST /api/conversations/{conversation_id}/members": COLUMN["member.add"],
    "PATCH /api/conversations/{conversation_id}/members/{user_id}": COLUMN["member.role"],
    "DELETE /api/conversations/{conversation_id}/members/{user_id}": COLUMN["member.remove"],
    "PUT /api/users/{user_id}/block": (
        DONE, lambda direct: direct.ann("PUT", f"/api/users/{direct.bob.user_id}/block"),
    ),
    "DELETE /api/users/{user_id}/block": (
        DONE, lambda direct: direct.ann("DELETE", f"/api/users/{direct.bob.user_id}/block"),
    ),
    "POST /api/conversations/{conversation_id}/read": (
        DONE, lambda direct: direct.on_the_room("POST", "/read", {"read_seq": 2}),
    ),
    "POST /api/webhooks": (
        "forbidden",
        lambda direct: direct.ann(
            "POST", "/api/webhooks", json={"url": "https://hooks.example/", "conversation_id": direct.room}
        ),
    ),
    "GET /api/conversations": (DONE, lambda direct: direct.ann("GET", "/api/conversations")),
    "GET /api/conversations/{conversation_id}": (DONE, lambda direct: direct.on_the_room("GET")),
    "GET /api/conversations/{conversation_id}/messages": (DONE, lambda direct: direct.on_the_room("GET", "/messages")),
    "GET /api/conversations/{conversation_id}/pins": (DONE, lambda direct: direct.on_the_room("GET", "/pins")),
    "GET /api/conversations/{conversation_id}/threads": (DONE, lambda direct: direct.on_the_room("GET", "/threads")),
    "GET /api/messages/{message_id}": (DONE, lambda direct: direct.on(direct.bobs, "GET")),
    "GET /api/messages/{message_id}/receipts": (DONE, lambda direct: direct.on(direct.anns, "GET", "/receipts")),
    "GET /api/sync": (DONE, lambda direct: direct.ann("GET", "/api/sync")),
    "GET /api/users": (
        DONE, lambda direct: direct.ann("GET", f"/api/users?query={direct.bob.username}"),
    ),
    "GET /api/users/{user_id}": (DONE, lambda direct: direct.ann("GET", f"/api/users/{direct.bob.user_id}")),
}  # fmt: skip
ELSEWHERE = ("/api/auth/", "/api/me", "/api/bots", "/api/blocks", "/api/events", "/api/webhooks", "/api/attachments")
"""Addresses of which, unless they are named above, nothing is about another person, or comes to them but by a message."""


def outcome(answer: httpx2.Response) -> str:
    return DONE if answer.status_code in {200, 201, 204} else answer.json()["code"]


async def shown_to(bob: Person, room: str) -> tuple[object, ...]:
    """What the other one sees of the conversation."""
    conversation = (await bob("GET", f"/api/conversations/{room}")).json()
    messages = (await bob("GET", f"/api/conversations/{room}/messages")).json()["items"]
    return conversation["members"], conversation["last_seq"], conversation["title"], messages


@pytest.mark.parametrize("permission", list(GROUP))
async def test_a_blocked_person_is_answered_each_operation_as_the_column_says(
    permission: Permission, alice: Person, bob: Person
) -> None:
    direct = await Direct(alice, bob).make()
    expected, does = COLUMN[permission]
    assert expected == "blocked" or (expected == DONE) == bool(DIRECT[permission]), "beside a block the table counts"
    before = await shown_to(bob, direct.room)
    answer = await does(direct)
    assert outcome(answer) == expected, answer.text
    assert await shown_to(bob, direct.room) == before, "the other one sees something of it"


ABOUT_PEOPLE = [
    f"{operation.method} {operation.path}"
    for operation in OPERATIONS
    if f"{operation.method} {operation.path}" in ADDRESSES or not operation.path.startswith(ELSEWHERE)
]


@pytest.mark.parametrize("address", ABOUT_PEOPLE)
async def test_a_blocked_person_is_answered_at_each_address_as_the_column_says(
    address: str, alice: Person, bob: Person
) -> None:
    direct = await Direct(alice, bob).make()
    before = await shown_to(bob, direct.room)
    expected, does = ADDRESSES[address]
    answer = await does(direct)
    assert outcome(answer) == expected, answer.text
    assert await shown_to(bob, direct.room) == before, "the other one sees something of it"


def test_the_column_names_addresses_that_exist() -> None:
    assert set(ADDRESSES) <= set(ABOUT_PEOPLE)


async def test_what_a_blocked_person_reads_is_theirs_alone_until_the_block_is_lifted(
    alice: Person, bob: Person
) -> None:
    direct = await Direct(alice, bob).make()
    answer = (await direct.on_the_room("POST", "/read", {"read_seq": 2})).json()
    assert (answer["read_seq"], answer["private_read_seq"]) == (0, 2)
    assert (await direct.on_the_room("GET")).json()["unread_count"] == 0
    assert (await bob("GET", f"/api/messages/{direct.bobs}/receipts")).json()["delivered_count"] == 0
    await bob("DELETE", f"/api/users/{alice.user_id}/block")
    assert (await direct.on_the_room("POST", "/read", {"read_seq": 2})).json()["read_seq"] == 2


async def test_who_blocks_is_not_blocked_and_everything_is_possible_again_afterwards(
    alice: Person, bob: Person
) -> None:
    direct = await Direct(alice, bob).make()
    path = f"/api/messages/{direct.bobs}"
    assert (await bob("PUT", path, json=TEXT)).json()["content"] == TEXT["content"]
    assert (await bob("POST", f"{path}/reactions", json={"emoji": "👍"})).status_code == 200
    assert (await bob("DELETE", f"/api/users/{alice.user_id}/block")).status_code == 204
    assert (await direct.on(direct.anns, "DELETE")).json()["deleted_at"] is not None
    assert outcome(await direct.send()) == DONE
