"""Every REST operation and every frame, asked by everybody: the table of who may, and that a refusal tells nobody that a thing exists.

The columns of who is blocked are in `test_blocked.py` here and beside the socket's tests; that no bot does what its token is not good for, in
`test_bots.py`.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple, get_args

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from backplane.store.attachments import StoredAttachment
from gateway.app import Gateway
from gateway.rest.application import OPERATIONS
from schemas.client_frames import ClientFrame
from schemas.ids import AttachmentId, ConversationId, UserId
from tests.integration.gateway.rest.conftest import Person
from tests.integration.gateway.rest.test_changes import Join, said

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]

DONE: Final = "done"
WHO: Final = ("stranger", "removed", "member", "admin")


class Things(NamedTuple):
    """What a request is about; every id may also be one of nothing."""

    room: str
    message: str
    """The member's."""
    other: str
    """Somebody else in the group, a member."""
    file: str
    """The member's, in their message; it waits for its scan."""


class People(NamedTuple):
    owner: Person
    stranger: Person
    removed: Person
    member: Person
    admin: Person
    other: Person


def nothing(things: Things) -> Things:
    """The same, but there is no such conversation and no such message."""
    return things._replace(room=str(uuid.uuid4()), message=str(uuid.uuid4()), file=str(uuid.uuid4()))


Ask = Callable[[Things], tuple[str, str, Any]]
TEXT = {"content": {"text": "hello"}}

# Operation → (what stranger, removed, member and admin get, the request).
TABLE: dict[str, tuple[tuple[str, str, str, str], Ask]] = {
    "GET /api/conversations/{conversation_id}": (
        ("not_found", "not_found", DONE, DONE), lambda it: ("GET", f"/api/conversations/{it.room}", None),
    ),
    "PATCH /api/conversations/{conversation_id}": (
        ("not_member", "not_member", "forbidden", DONE),
        lambda it: ("PATCH", f"/api/conversations/{it.room}", {"title": "new"}),
    ),
    "PATCH /api/conversations/{conversation_id}/mine": (
        ("not_member", "not_member", DONE, DONE),
        lambda it: ("PATCH", f"/api/conversations/{it.room}/mine", {"archived": True}),
    ),
    "POST /api/conversations/{conversation_id}/members": (
        ("not_member", "not_member", "forbidden", DONE),
        lambda it: ("POST", f"/api/conversations/{it.room}/members", {"user_ids": [it.other]}),
    ),
    "PATCH /api/conversations/{conversation_id}/members/{user_id}": (
        ("not_member", "not_member", "forbidden", "forbidden"),
        lambda it: ("PATCH", f"/api/conversations/{it.room}/members/{it.other}", {"role": "admin"}),
    ),
    "DELETE /api/conversations/{conversation_id}/members/{user_id}": (
        ("not_member", "not_member", "forbidden", DONE),
        lambda it: ("DELETE", f"/api/conversations/{it.room}/members/{it.other}", None),
    ),
    "POST /api/conversations/{conversation_id}/read": (
        ("not_member", "not_member", DONE, DONE),
        lambda it: ("POST", f"/api/conversations/{it.room}/read", {"read_seq": 1}),
    ),
    "GET /api/conversations/{conversation_id}/messages": (
        ("not_member", "not_member", DONE, DONE), lambda it: ("GET", f"/api/conversations/{it.room}/messages", None),
    ),
    "GET /api/conversations/{conversation_id}/pins": (
        ("not_member", "not_member", DONE, DONE), lambda it: ("GET", f"/api/conversations/{it.room}/pins", None),
    ),
    "GET /api/conversations/{conversation_id}/threads": (
        ("not_member", "not_member", DONE, DONE), lambda it: ("GET", f"/api/conversations/{it.room}/threads", None),
    ),
    "POST /api/messages": (
        ("not_member", "not_member", DONE, DONE),
        lambda it: ("POST", "/api/messages", {"conversation_id": it.room, "client_msg_id": str(uuid.uuid4()), **TEXT}),
    ),
    "GET /api/messages/{message_id}": (
        ("not_found", "not_found", DONE, DONE), lambda it: ("GET", f"/api/messages/{it.message}", None),
    ),
    "PUT /api/messages/{message_id}": (
        ("not_found", "not_found", DONE, "forbidden"), lambda it: ("PUT", f"/api/messages/{it.message}", TEXT),
    ),
    "DELETE /api/messages/{message_id}": (
        ("not_found", "not_found", DONE, DONE), lambda it: ("DELETE", f"/api/messages/{it.message}", None),
    ),
    "POST /api/messages/{message_id}/reactions": (
        ("not_found", "not_found", DONE, DONE),
        lambda it: ("POST", f"/api/messages/{it.message}/reactions", {"emoji": ":ok:"}),
    ),
    "DELETE /api/messages/{message_id}/reactions/{emoji}": (
        ("not_found", "not_found", DONE, DONE),
        lambda it: ("DELETE", f"/api/messages/{it.message}/reactions/:ok:", None),
    ),
    "PUT /api/messages/{message_id}/pin": (
        ("not_found", "not_found", "forbidden", DONE), lambda it: ("PUT", f"/api/messages/{it.message}/pin", None),
    ),
    "DELETE /api/messages/{message_id}/pin": (
        ("not_found", "not_found", "forbidden", DONE), lambda it: ("DELETE", f"/api/messages/{it.message}/pin", None),
    ),
    "GET /api/messages/{message_id}/receipts": (
        ("not_found", "not_found", DONE, DONE), lambda it: ("GET", f"/api/messages/{it.message}/receipts", None),
    ),
    "GET /api/attachments/{attachment_id}": (
        ("not_found", "not_found", DONE, DONE), lambda it: ("GET", f"/api/attachments/{it.file}", None),
    ),
    "GET /api/attachments/{attachment_id}/content": (
        ("not_found", "not_found", "attachment_not_ready", "attachment_not_ready"),
        lambda it: ("GET", f"/api/attachments/{it.file}/content", None),
    ),
    "GET /api/attachments/{attachment_id}/thumbnail": (
        ("not_found", "not_found", "attachment_not_ready", "attachment_not_ready"),
        lambda it: ("GET", f"/api/attachments/{it.file}/thumbnail", None),
    ),
    "PUT /api/attachments/{attachment_id}/content": (
        ("not_found", "not_found", "unsupported", "not_found"),  # these tests have no object store
        lambda it: ("PUT", f"/api/attachments/{it.file}/content", None),
    ),
    "POST /api/attachments/{attachment_id}/complete": (
        ("not_found", "not_found", DONE, "not_found"),
        lambda it: ("POST", f"/api/attachments/{it.file}/complete", None),
    ),
    "DELETE /api/attachments/{attachment_id}": (
        ("not_found", "not_found", "attachment_used", "not_found"),
        lambda it: ("DELETE", f"/api/attachments/{it.file}", None),
    ),
    "POST /api/webhooks": (
        ("not_member", "not_member", "forbidden", DONE),
        lambda it: ("POST", "/api/webhooks", {"url": "https://8.8.8.8/", "conversation_id": it.room}),
    ),
}  # fmt: skip

OF_ONESELF: Final = {
    "POST /api/auth/register", "POST /api/auth/login", "POST /api/auth/refresh", "POST /api/auth/bot", "POST /api/auth/logout",
    "GET /api/auth/sessions", "DELETE /api/auth/sessions/{session_id}", "POST /api/auth/password", "GET /api/me", "PATCH /api/me",
    "GET /api/users", "GET /api/users/{user_id}", "GET /api/conversations", "POST /api/conversations", "GET /api/blocks",
    "PUT /api/users/{user_id}/block", "DELETE /api/users/{user_id}/block", "GET /api/sync", "GET /api/events",
    "POST /api/bots", "GET /api/bots", "DELETE /api/bots/{bot_id}", "POST /api/bots/{bot_id}/tokens",
    "DELETE /api/bots/{bot_id}/tokens/{token_id}", "GET /api/webhooks", "DELETE /api/webhooks/{webhook_id}",
    "POST /api/webhooks/{webhook_id}/enable", "POST /api/attachments",
}  # fmt: skip
"""About no conversation: everybody asks for what is theirs. What is somebody else's by its id is below."""

OWNED: Final = (
    ("DELETE", "/api/auth/sessions/{id}", None),
    ("DELETE", "/api/bots/{id}", None),
    ("POST", "/api/bots/{id}/tokens", {"scopes": ["messages:read"]}),
    ("DELETE", "/api/bots/{id}/tokens/{other}", None),
    ("DELETE", "/api/webhooks/{id}", None),
    ("POST", "/api/webhooks/{id}/enable", None),
)


def outcome(answer: httpx2.Response) -> str:
    return DONE if answer.status_code in {200, 201, 204} else answer.json()["code"]


@pytest.fixture(scope="module")
async def people(join: Join) -> People:
    return People(*[await join() for _ in People._fields])


async def a_group(people: People, gateway: Gateway) -> Things:
    """A group with all of them but the stranger, of whom one was put out, and a message of the member's with a file."""
    group = [people.removed, people.member, people.admin, people.other]
    room = await people.owner.group(*group)
    path = f"/api/conversations/{room}/members"
    assert (await people.owner("DELETE", f"{path}/{people.removed.user_id}")).status_code == 200
    assert (await people.owner("PATCH", f"{path}/{people.admin.user_id}", json={"role": "admin"})).status_code == 200
    message = await said(people.member, room)
    file = StoredAttachment(
        attachment_id=AttachmentId(str(uuid.uuid4())),
        owner_id=UserId(people.member.user_id),
        name="a.txt",
        content_type="text/plain",
        size=1,
        created_ms=1,
        status="pending",
        message_id=message["message_id"],
        conversation_id=ConversationId(room),
    )
    await gateway.api.store.attachments.create(file)
    return Things(room, message["message_id"], people.other.user_id, file.attachment_id)


async def test_every_operation_is_in_the_table() -> None:
    assert {f"{row.method} {row.path}" for row in OPERATIONS} == {*TABLE, *OF_ONESELF}


@pytest.mark.parametrize("operation", TABLE)
async def test_everybody_gets_what_the_table_says(operation: str, people: People, gateway: Gateway) -> None:
    expected, ask = TABLE[operation]
    things = await a_group(people, gateway)
    for who, wanted in zip(WHO, expected, strict=True):
        person: Person = getattr(people, who)
        if who == "admin" and wanted == DONE:
            things = await a_group(people, gateway)  # what the member has done is not in the way
        method, path, body = ask(things)
        answer = await person(method, path, json=body)
        assert outcome(answer) == wanted, f"{who}: {answer.text}"
        if who in {"stranger", "removed"}:
            method, path, body = ask(nothing(things))
            assert (await person(method, path, json=body)).content == answer.content, f"{who} learns that it exists"


@pytest.mark.parametrize("operation", [f"{row.method} {row.path}" for row in OPERATIONS if row.needs is not None])
@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_without_a_token_nothing_is_told(operation: str, token: str | None, http: httpx2.AsyncClient) -> None:
    method, _, path = operation.partition(" ")
    for part in (
        "conversation_id",
        "message_id",
        "user_id",
        "session_id",
        "bot_id",
        "token_id",
        "webhook_id",
        "emoji",
        "attachment_id",
    ):
        path = path.replace(f"{{{part}}}", str(uuid.uuid4()))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await http.request(method, path, headers=headers, content=b"not even JSON" if method != "GET" else None)
    assert (answer.status_code, outcome(answer)) == (401, "authentication_failed")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "body"), OWNED)
async def test_what_is_somebody_elses_is_not_there(
    method: str, path: str, body: Any, people: People, gateway: Gateway
) -> None:
    bot = (await people.owner("POST", "/api/bots", json={"username": f"b{uuid.uuid4().hex[:12]}"})).json()["bot"]
    hook = (
        await people.owner(
            "POST",
            "/api/webhooks",
            json={"url": "https://8.8.8.8/", "conversation_id": (await a_group(people, gateway)).room},
        )
    ).json()
    ids = {"sessions": people.owner.tokens["session_id"], "bots": bot["user_id"], "webhooks": hook["webhook_id"]}
    theirs = ids[path.split("/")[3] if "auth" in path else path.split("/")[2]]
    other = bot["tokens"][0]["token_id"]
    answer = await people.stranger(method, path.format(id=theirs, other=other), json=body)
    missing = await people.stranger(method, path.format(id=uuid.uuid4(), other=uuid.uuid4()), json=body)
    assert outcome(answer) == "not_found"
    assert answer.content == missing.content


# Frames

ACCEPTED: Final = "accepted"
FRAMES: dict[str, tuple[tuple[str, str, str, str], dict[str, Any]]] = {
    "message.send": (("not_member", "not_member", DONE, DONE), {"conversation_id": "room", "client_msg_id": "new", **TEXT}),
    "message.edit": (("not_member", "not_member", DONE, "forbidden"), {"conversation_id": "room", "message_id": "message", "client_op_id": "new", **TEXT}),
    "message.delete": (("not_member", "not_member", DONE, DONE), {"conversation_id": "room", "message_id": "message", "client_op_id": "new"}),
    "reaction.add": (("not_member", "not_member", DONE, DONE), {"conversation_id": "room", "message_id": "message", "client_op_id": "new", "emoji": ":ok:"}),
    "reaction.remove": (("not_member", "not_member", DONE, DONE), {"conversation_id": "room", "message_id": "message", "client_op_id": "new", "emoji": ":ok:"}),
    "watch": (("not_member", "not_member", ACCEPTED, ACCEPTED), {"conversation_id": "room"}),
    "typing": (("not_member", "not_member", "silence", "silence"), {"conversation_id": "room", "state": "start"}),
    "receipt": (("silence", "silence", "silence", "silence"), {"conversation_id": "room", "read_seq": 1}),
    "unwatch": ((ACCEPTED,) * 4, {"conversation_id": "room"}),
    "presence.subscribe": ((ACCEPTED,) * 4, {"user_ids": ["other"]}),
    "presence.unsubscribe": ((ACCEPTED,) * 4, {"user_ids": ["other"]}),
    "presence.set": ((ACCEPTED,) * 4, {"status": "busy"}),
    "sync": (("conflict",) * 4, {"after": "1-1", "limit": 1}),
    "pong": (("silence",) * 4, {}),
}  # fmt: skip
BEFORE_ANYTHING: Final = {"connect", "refresh"}
"""About the token alone: `test_crafted_tokens.py`."""


async def test_every_frame_is_in_the_table() -> None:
    assert {one.__struct_config__.tag for one in get_args(ClientFrame)} == {*FRAMES, *BEFORE_ANYTHING}


def filled(fields: dict[str, Any], things: Things) -> dict[str, Any]:
    of = {"room": things.room, "message": things.message, "new": str(uuid.uuid4())}
    return {
        name: of.get(value, value) if isinstance(value, str) else [things.other] if name == "user_ids" else value
        for name, value in fields.items()
    }


async def told(person: Person, address: str, frame: dict[str, Any], *, patience: float) -> str:
    """What comes of a frame: the code of a refusal, or that it was done, accepted, or met with silence for so many seconds."""
    own = frame.get("client_msg_id") or frame.get("client_op_id")
    async with connect(address, subprotocols=["headrace.v1"]) as socket:
        await socket.send(
            msgspec.json.encode({"type": "connect", "token": person.tokens["access_token"], "client": {}}).decode()
        )
        await socket.send(msgspec.json.encode(frame if frame["type"] == "pong" else {**frame, "id": 7}).decode())
        while msgspec.json.decode(await socket.recv())["type"] != "connected":
            pass
        accepted = "silence"
        try:
            async with asyncio.timeout(patience):
                while True:
                    heard = msgspec.json.decode(await socket.recv())
                    data = heard.get("data", {})
                    if heard["type"] == "reply" and heard.get("id") == 7:
                        if not heard["ok"]:
                            return heard["error"]["code"]
                        accepted = ACCEPTED
                        if not own:
                            return accepted
                    elif heard["type"] == "event" and heard["event"].endswith(".rejected") and own in data.values():
                        return data["error"]["code"]
                    elif (
                        heard["type"] == "event"
                        and own
                        and heard["event"]
                        in {
                            "message.created",
                            "message.edited",
                            "message.deleted",
                            "reaction.added",
                            "reaction.removed",
                        }
                    ):
                        return DONE
        except TimeoutError:
            return accepted


@pytest.mark.parametrize("type_", FRAMES)
async def test_everybody_is_answered_each_frame_as_the_table_says(
    type_: str, people: People, address: str, gateway: Gateway
) -> None:
    expected, fields = FRAMES[type_]
    things = await a_group(people, gateway)
    for who, wanted in zip(WHO, expected, strict=True):
        person: Person = getattr(people, who)
        if who == "admin" and wanted == DONE:
            things = await a_group(people, gateway)
        patience = 0.4 if wanted == "silence" else 20
        assert await told(person, address, {"type": type_, **filled(fields, things)}, patience=patience) == wanted, who
        if who in {"stranger", "removed"}:
            unreal = {"type": type_, **filled(fields, nothing(things))}
            assert await told(person, address, unreal, patience=patience) == wanted, f"{who} learns that it exists"


@pytest.mark.parametrize("type_", sorted({*FRAMES, "refresh"}))
async def test_who_has_not_said_who_they_are_is_answered_nothing(
    type_: str, people: People, address: str, gateway: Gateway
) -> None:
    fields = {"token": "x"} if type_ == "refresh" else filled(FRAMES[type_][1], await a_group(people, gateway))
    async with connect(address, subprotocols=["headrace.v1"]) as socket:
        await socket.send(msgspec.json.encode({"type": type_, **fields}).decode())
        heard: list[dict[str, Any]] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(msgspec.json.decode(await socket.recv()))
    assert [(frame["type"], frame["code"]) for frame in heard] == [("disconnect", 4504)]
