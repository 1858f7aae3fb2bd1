"""Everything that can be changed in a conversation, over REST, through persist: what it is then, and who may."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from schemas.roles import DIRECT, GROUP, Permission
from tests.integration.gateway.rest.conftest import Person
from tests.integration.gateway.rest.test_messages import code

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

Join = Callable[[], Awaitable[Person]]


async def said(person: Person, room: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    body = {"conversation_id": room, "content": {"text": text}, "client_msg_id": str(uuid.uuid4()), **more}
    answer = await person("POST", "/api/messages", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_an_edit_is_made_once_and_only_by_its_author(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    message = await said(alice, room)
    path = f"/api/messages/{message['message_id']}"
    edited = await alice("PUT", path, json={"content": {"text": "bye"}, "expected_rev": message["rev"]}, key="edit 1")
    assert edited.status_code == 200
    assert edited.json()["content"] == {"text": "bye"}
    assert edited.json()["rev"] > message["rev"]
    assert edited.json()["edited_at"] is not None
    again = await alice("PUT", path, json={"content": {"text": "bye"}, "expected_rev": message["rev"]}, key="edit 1")
    assert again.json() == edited.json()
    other = await alice("PUT", path, json={"content": {"text": "other"}}, key="edit 1")
    assert code(other) == (409, "idempotency_conflict")
    late = await alice("PUT", path, json={"content": {"text": "late"}, "expected_rev": message["rev"]})
    assert code(late) == (409, "conflict")
    assert code(await bob("PUT", path, json={"content": {"text": "mine"}})) == (403, "forbidden")
    assert (await bob("GET", path)).json() == edited.json()


async def test_a_deleted_message_leaves_a_tombstone_that_a_resend_finds(alice: Person, bob: Person) -> None:
    """C13"""
    room = await alice.group(bob)
    key = str(uuid.uuid4())
    message = (await alice.say(room, "hello", key)).json()
    path = f"/api/messages/{message['message_id']}"
    gone = (await alice("DELETE", path)).json()
    assert (gone["content"], gone["seq"], gone["deleted_at"] is not None) == (None, 1, True)
    assert (await alice.say(room, "hello", key)).json()["deleted_at"] == gone["deleted_at"]
    assert (await alice("DELETE", path)).json()["deleted_at"] == gone["deleted_at"]
    assert code(await alice("PUT", path, json={"content": {"text": "back"}})) == (404, "not_found")
    assert code(await bob("POST", f"{path}/reactions", json={"emoji": "👍"})) == (404, "not_found")


async def test_reactions_are_sets_of_people(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    path = f"/api/messages/{(await said(alice, room))['message_id']}"
    for person in (bob, alice, bob):
        answer = await person("POST", f"{path}/reactions", json={"emoji": "👍"})
    assert answer.json()["reactions"] == {"👍": [bob.user_id, alice.user_id]}
    answer = await bob("DELETE", f"{path}/reactions/👍")
    assert answer.json()["reactions"] == {"👍": [alice.user_id]}
    assert code(await bob("POST", f"{path}/reactions", json={"emoji": "no"})) == (400, "bad_request")


async def test_an_emoji_that_is_too_long_is_refused_and_not_cut_to_another_one(alice: Person, bob: Person) -> None:
    path = f"/api/messages/{(await said(alice, await alice.group(bob)))['message_id']}/reactions"
    accents = "\u0301" * 63
    assert (await bob("POST", path, json={"emoji": f"👍{accents}"})).status_code == 200
    assert code(await bob("DELETE", f"{path}/👍{accents}\u0301")) == (400, "bad_request")
    assert (await bob("DELETE", f"{path}/👍{accents}")).json()["reactions"] == {}


async def test_a_thread_counts_its_replies_and_is_paged(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    root = await said(alice, room)
    replies = [await said(bob, room, f"reply {n}", thread_root_id=root["message_id"]) for n in range(5)]
    await said(bob, room, "beside it")
    now = (await alice("GET", f"/api/messages/{root['message_id']}")).json()
    assert (now["reply_count"], now["last_reply_at"]) == (5, replies[-1]["created_at"])
    await bob("DELETE", f"/api/messages/{replies[0]['message_id']}")
    assert (await alice("GET", f"/api/messages/{root['message_id']}")).json()["reply_count"] == 4
    thread = f"/api/conversations/{room}/messages?thread_root_id={root['message_id']}"
    newest = (await alice("GET", f"{thread}&limit=2")).json()
    assert [one["content"]["text"] for one in newest["items"]] == ["reply 3", "reply 4"]
    older = (await alice("GET", f"{thread}&limit=3&cursor={newest['next_cursor']}")).json()
    assert [one["seq"] for one in older["items"]] == [reply["seq"] for reply in replies[:3]]
    within = await bob.say(room, "x")
    nested = {"conversation_id": room, "content": {"text": "x"}, "thread_root_id": replies[1]["message_id"]}
    assert code(await alice("POST", "/api/messages", json=nested, key="nested")) == (400, "bad_request")
    assert within.status_code == 201


async def test_who_joins_later_sees_what_the_group_decided(alice: Person, bob: Person, eve: Person) -> None:
    room = await alice.group(bob)
    before = await said(alice, room, "before")
    assert (await alice("PATCH", f"/api/conversations/{room}", json={"history": "joined", "title": "new"})).json()[
        "title"
    ] == "new"
    added = await alice("POST", f"/api/conversations/{room}/members", json={"user_ids": [eve.user_id]})
    assert {one["user_id"] for one in added.json()["members"]} == {alice.user_id, bob.user_id, eve.user_id}
    seen = (await eve("GET", f"/api/conversations/{room}")).json()
    assert (seen["first_seq"], seen["unread_count"], seen["last_message"]) == (2, 0, None)
    after = await said(alice, room, "after")
    page = (await eve("GET", f"/api/conversations/{room}/messages")).json()["items"]
    assert [one["message_id"] for one in page] == [after["message_id"]]
    assert code(await eve("GET", f"/api/messages/{before['message_id']}")) == (404, "not_found")
    synced = (await eve("GET", "/api/sync")).json()["conversations"][0]
    assert [one["seq"] for one in synced["messages"]] == [2]
    changes = (await eve("GET", f"/api/conversations/{room}/messages?since_rev=0")).json()["items"]
    assert [one["seq"] for one in changes] == [2]


async def test_who_was_put_out_sees_nothing_more_and_may_come_back(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    await said(bob, room)
    assert (await alice("DELETE", f"/api/conversations/{room}/members/{bob.user_id}")).status_code == 200
    assert code(await bob.say(room, "still here?")) == (403, "not_member")
    assert code(await bob("GET", f"/api/conversations/{room}")) == (404, "not_found")
    assert code(await bob("GET", f"/api/conversations/{room}/messages")) == (403, "not_member")
    await alice("POST", f"/api/conversations/{room}/members", json={"user_ids": [bob.user_id]})
    assert (await bob.say(room, "back")).status_code == 201


async def test_an_owner_gives_the_group_away_before_leaving(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    members = f"/api/conversations/{room}/members"
    assert code(await alice("DELETE", f"{members}/{alice.user_id}")) == (409, "last_owner")
    given = (await alice("PATCH", f"{members}/{bob.user_id}", json={"role": "owner"})).json()
    assert {one["user_id"]: one["role"] for one in given["members"]} == {alice.user_id: "admin", bob.user_id: "owner"}
    assert (await alice("DELETE", f"{members}/{alice.user_id}")).status_code == 204
    assert (await bob("DELETE", f"{members}/{bob.user_id}")).status_code == 204


async def test_muted_archived_and_cleared_are_one_s_own(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    await said(bob, room)
    mine = f"/api/conversations/{room}/mine"
    changed = await alice(
        "PATCH", mine, json={"muted_until": "2027-01-01T00:00:00Z", "archived": True, "cleared": True}
    )
    seen = changed.json()
    assert (seen["muted_until"], seen["archived"], seen["first_seq"]) == ("2027-01-01T00:00:00.000Z", True, 2)
    assert (seen["unread_count"], seen["last_message"]) == (0, None)
    others = (await bob("GET", f"/api/conversations/{room}")).json()
    assert (others["muted_until"], others["archived"], others["first_seq"]) == (None, False, 1)
    assert (await alice("PATCH", mine, json={"muted_until": None})).json()["muted_until"] is None
    for time in ("2027-01-01T00:00:00", "tomorrow"):
        assert code(await alice("PATCH", mine, json={"muted_until": time})) == (400, "bad_request")


async def test_who_is_blocked_can_not_write_and_is_not_told_more(alice: Person, bob: Person) -> None:
    body = {"kind": "direct", "member_ids": [bob.user_id]}
    assert (await bob("PUT", f"/api/users/{alice.user_id}/block")).status_code == 204
    assert code(await alice("POST", "/api/conversations", json=body)) == (403, "blocked")
    assert (await bob("GET", "/api/blocks")).json() == {"user_ids": [alice.user_id]}
    assert (await bob("DELETE", f"/api/users/{alice.user_id}/block")).status_code == 204
    room = (await alice("POST", "/api/conversations", json=body)).json()["conversation_id"]
    assert (await alice.say(room, "hi")).status_code == 201
    await bob("PUT", f"/api/users/{alice.user_id}/block")
    assert code(await alice.say(room, "hi")) == (403, "blocked")
    assert (await bob.say(room, "hi")).status_code == 201, "who blocks may still write"
    assert (await bob("GET", "/api/sync")).json()["blocked_user_ids"] == [alice.user_id]
    together = await bob.group(alice)
    assert (await alice.say(together, "hi")).status_code == 201, "a block is for two people alone"


async def test_pins_and_mentions(alice: Person, bob: Person) -> None:
    room = await alice.group(bob)
    message = await said(alice, room, mentions=[bob.user_id, str(uuid.uuid4()), "all"])
    assert message["mentions"] == [bob.user_id, "all"], "who is not here is not mentioned"
    path = f"/api/messages/{message['message_id']}/pin"
    assert (await alice("PUT", path)).json()["pinned_by"] == alice.user_id
    pins = (await bob("GET", f"/api/conversations/{room}/pins")).json()["items"]
    assert [one["message_id"] for one in pins] == [message["message_id"]]
    assert (await alice("DELETE", path)).json()["pinned_at"] is None


# Who may do what: every row of the table, for every role, a stranger and a removed member


class Room:
    """A group with one of each, and a message of each of them."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.messages: dict[str, str] = {}
        self.id = ""

    @classmethod
    async def make(cls, join: Join) -> "Room":
        room = cls()
        for name in ("owner", "admin", "member", "other member", "other admin", "removed", "stranger"):
            room.people[name] = await join()
        owner = room.people["owner"]
        room.id = await owner.group(*(room.people[name] for name in list(room.people)[1:6]))
        for name in ("admin", "other admin"):
            path = f"/api/conversations/{room.id}/members/{room.people[name].user_id}"
            assert (await owner("PATCH", path, json={"role": "admin"})).status_code == 200
        for name in ("owner", "admin", "member", "other member", "other admin", "removed"):
            room.messages[name] = (await said(room.people[name], room.id))["message_id"]
        await owner("DELETE", f"/api/conversations/{room.id}/members/{room.people['removed'].user_id}")
        return room

    async def do(self, permission: Permission, who: str) -> httpx2.Response:  # noqa: C901, PLR0911, PLR0912 - one row a permission
        me, room = self.people[who], f"/api/conversations/{self.id}"
        own = f"/api/messages/{self.messages.get(who, self.messages['owner'])}"
        others = f"/api/messages/{self.messages['other member']}"
        text = {"content": {"text": "text"}}
        target = self.people["other member"].user_id
        match permission:
            case "message.send":
                return await me.say(self.id, "x")
            case "message.send.all":
                body = {"conversation_id": self.id, **text, "mentions": ["all"]}
                return await me("POST", "/api/messages", json=body, key=str(uuid.uuid4()))
            case "message.edit":
                return await me("PUT", own, json=text)
            case "message.delete":
                mine = await said(me, self.id) if who in self.messages and who != "removed" else None
                return await me("DELETE", f"/api/messages/{mine['message_id']}" if mine else own)
            case "message.delete.others":
                by = self.people["other member"]
                return await me("DELETE", f"/api/messages/{(await said(by, self.id))['message_id']}")
            case "reaction.add":
                return await me("POST", f"{others}/reactions", json={"emoji": ":ok:"})
            case "reaction.remove":
                return await me("DELETE", f"{others}/reactions/:ok:")
            case "message.pin":
                return await me("PUT", f"{others}/pin")
            case "conversation.update":
                return await me("PATCH", room, json={"title": f"of {who}"})
            case "conversation.retention":
                return await me("PATCH", room, json={"retention_days": 7})
            case "member.add":
                return await me("POST", f"{room}/members", json={"user_ids": [self.people["newcomer"].user_id]})
            case "member.remove":
                return await me("DELETE", f"{room}/members/{self.people['newcomer'].user_id}")
            case "member.remove.admin":
                return await me("DELETE", f"{room}/members/{self.people['other admin'].user_id}")
            case "member.leave":
                return await me("DELETE", f"{room}/members/{me.user_id}")
            case "member.role":
                return await me("PATCH", f"{room}/members/{target}", json={"role": "member"})
            case "member.mine":
                return await me("PATCH", f"{room}/mine", json={"archived": True})


@pytest.mark.parametrize("permission", list(GROUP))
async def test_every_operation_answers_every_role_as_the_table_says(permission: Permission, join: Join) -> None:
    room = await Room.make(join)
    room.people["newcomer"] = await join()
    owner = room.people["owner"]
    for who in ("stranger", "removed", "member", "admin", "owner"):
        if permission in {"member.remove", "member.remove.admin"}:  # there is somebody to remove again
            ids = [room.people[name].user_id for name in ("newcomer", "other admin")]
            await owner("POST", f"/api/conversations/{room.id}/members", json={"user_ids": ids})
            path = f"/api/conversations/{room.id}/members/{ids[1]}"
            await owner("PATCH", path, json={"role": "admin"})
        answer = await room.do(permission, who)
        if who in {"stranger", "removed"}:
            assert code(answer) in {(403, "not_member"), (404, "not_found")}, (who, answer.text)
        elif who not in GROUP[permission]:
            assert code(answer) == (403, "forbidden"), (who, answer.text)
        elif permission == "member.leave" and who == "owner":
            assert code(answer) == (409, "last_owner")
        else:
            assert answer.status_code in {200, 201, 204}, (who, answer.text)


async def test_in_a_direct_conversation_there_is_nobody_to_manage(alice: Person, bob: Person, eve: Person) -> None:
    body = {"kind": "direct", "member_ids": [bob.user_id]}
    room = (await alice("POST", "/api/conversations", json=body)).json()["conversation_id"]
    message = (await said(bob, room))["message_id"]
    path = f"/api/conversations/{room}"
    refused = {
        "message.delete.others": await alice("DELETE", f"/api/messages/{message}"),
        "conversation.update": await alice("PATCH", path, json={"title": "x"}),
        "member.add": await alice("POST", f"{path}/members", json={"user_ids": [eve.user_id]}),
        "member.remove": await alice("DELETE", f"{path}/members/{bob.user_id}"),
        "member.leave": await alice("DELETE", f"{path}/members/{alice.user_id}"),
        "member.role": await alice("PATCH", f"{path}/members/{bob.user_id}", json={"role": "admin"}),
    }
    for permission, answer in refused.items():
        assert not DIRECT[permission], permission
        assert code(answer) == (403, "forbidden"), (permission, answer.text)
    assert (await alice("PUT", f"/api/messages/{message}/pin")).status_code == 200
