"""`headrace users`: what is exported is everything, and what was erased is nowhere any more."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from backplane.redis import Redis
from backplane.revocations import Revocations
from backplane.settings import Settings
from backplane.store.mongo import Store
from backplane.store.webhooks import StoredWebhook
from backplane.streams import Intents
from cli.asking.erasing import Eraser
from cli.failures import Failure
from consumers.process import make_worker
from schemas.ids import (
    ClientMsgId,
    ClientOpId,
    ConversationId,
    IntentId,
    MessageId,
    SessionId,
    UserId,
    direct_conversation_id,
    message_id_of,
)
from schemas.intents import (
    AddReaction,
    ChangeRole,
    CreateConversation,
    Intent,
    RemoveMember,
    SendMessage,
    SetBlock,
    encode_intent,
)
from tests.integration.cli.conftest import Deployment
from tests.integration.store.shapes import a_session, a_user, new_id


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[tuple[Store, Intents]]:
    """A deployment's persist worker, and the way to it."""
    store, redis, stop = await Store.open(settings), await Redis.open(settings), asyncio.Event()
    await store.migrate(settings.names)
    worker = asyncio.create_task(make_worker("persist", settings, redis, store).run(stop))
    try:
        yield store, Intents(redis, limit=1000)
    finally:
        stop.set()
        await worker
        await redis.close()
        await store.close()


class People:
    """Three people, a group of the first one's, their direct conversations, and what is said in them."""

    def __init__(self, names: Any) -> None:
        self.names = names
        self.ann, self.ben, self.cid = (
            a_user(f"{who}-{new_id()[:8]}", email=f"{who}@example.org") for who in ("ann", "ben", "cid")
        )
        self.group = ConversationId(new_id())
        self.direct = direct_conversation_id(self.ann.user_id, self.ben.user_id)
        self.left = ConversationId(new_id())

    async def live(self, store: Store, intents: Intents) -> None:
        for user in (self.ann, self.ben, self.cid):
            await store.users.create(user)
        await store.sessions.create(a_session("a" * 64, user_id=self.ann.user_id, device="a phone"))
        await store.webhooks.create(
            StoredWebhook(
                webhook_id=new_id(),
                owner_id=self.ann.user_id,
                url="https://example.org",
                secret="hush",
                created_ms=1,
                active_ms=1,
            )
        )
        ann, ben, cid = self.ann.user_id, self.ben.user_id, self.cid.user_id
        for room, kind, who in (
            (self.group, "group", (ann, ben, cid)),
            (self.direct, "direct", (ann, ben)),
            (self.left, "group", (ben, ann)),
        ):
            await self.send(intents, CreateConversation(IntentId(new_id()), room, who[0], kind, who, 1))
            await self.say(intents, room, ann, "a")
            await self.say(intents, room, ben, "b")
            await self.change(intents, AddReaction, room, ann, message_id=self.message(room, ben, "b"), emoji="👍")
        await self.change(intents, ChangeRole, self.group, ann, user_id=cid, role="admin")
        await self.change(intents, RemoveMember, self.left, ann, user_id=ann)
        await self.change(intents, SetBlock, self.direct, ben, user_id=ann, blocked=True)
        await self.change(intents, SetBlock, direct_conversation_id(ann, cid), ann, user_id=cid, blocked=True)
        await until(lambda: self.all_done(store))

    async def all_done(self, store: Store) -> bool:
        """Whether the last change of every conversation is stored: each is in a partition of its own, and one says nothing of another."""
        cid = await store.conversations.member(self.group, self.cid.user_id)
        ann = await store.conversations.member(self.left, self.ann.user_id)
        if cid is None or cid.role != "admin" or ann is None or ann.current:
            return False
        blocked = [await store.blocks.of_user(one.user_id) for one in (self.ann, self.ben)]
        return self.cid.user_id in blocked[0] and bool(blocked[1])

    def message(self, room: ConversationId, who: UserId, key: str) -> MessageId:
        return message_id_of(room, who, ClientMsgId(uuid.uuid5(uuid.UUID(room), key).hex))

    async def say(self, intents: Intents, room: ConversationId, who: UserId, key: str) -> None:
        client_msg_id = ClientMsgId(uuid.uuid5(uuid.UUID(room), key).hex)
        await self.send(intents, SendMessage(IntentId(new_id()), room, who, client_msg_id, f"{key} says", 1))

    async def change(self, intents: Intents, of: Any, room: ConversationId, who: UserId, **fields: Any) -> None:
        intent = of(
            intent_id=new_id(), conversation_id=room, actor_id=who, client_op_id=ClientOpId(new_id()), at_ms=1, **fields
        )
        await self.send(intents, intent)

    async def send(self, intents: Intents, intent: Intent) -> None:
        await intents.append(self.names.partition_of(intent.conversation_id), encode_intent(intent))


async def until(is_so: Callable[[], Awaitable[object]], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not await is_so():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


def with_people(deployment: Deployment, then: Callable[[People, Store], Awaitable[None]]) -> None:
    async def run() -> None:
        people = People(deployment.names)
        async with serving(deployment.settings) as (store, intents):
            await people.live(store, intents)
            await then(people, store)

    asyncio.run(run())


async def headrace(deployment: Deployment, *arguments: str) -> Any:
    """The command line, beside what runs here."""
    return await asyncio.to_thread(deployment.run, *arguments)


def test_an_export_has_all_that_is_somebody_s_and_no_secret(deployment: Deployment, tmp_path: Path) -> None:
    async def then(people: People, store: Store) -> None:
        done = await headrace(deployment, "users", "export", people.ann.username, "-o", str(tmp_path / "ann.jsonl"))
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "ann.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        kinds = [row["kind"] for row in rows]
        assert {kind: kinds.count(kind) for kind in kinds} == {
            "user": 1, "session": 1, "block": 1, "webhook": 1, "audit": 1, "membership": 3, "message": 3, "reaction": 3
        }  # fmt: skip
        assert {row["content"]["text"] for row in rows if row["kind"] == "message"} == {"a says"}
        assert rows[0]["email"] == people.ann.email
        for secret in ("argon2", "hush", "a" * 64, "b says", people.ben.username):
            assert secret not in text
        assert [one.event for one in await store.audit.about(people.ann.user_id)] == ["user.exported"]

    with_people(deployment, then)


def test_without_yes_nothing_is_erased(deployment: Deployment) -> None:
    async def then(people: People, store: Store) -> None:
        done = await headrace(deployment, "users", "erase", people.ann.username, "--json")
        row = json.loads(done.stdout)
        assert (row["conversations"], row["messages"], row["reactions"], row["erased"]) == (2, 3, 3, False)
        assert (await store.users.find([people.ann.user_id]))[people.ann.user_id] == people.ann
        assert await store.audit.about(people.ann.user_id) == []

    with_people(deployment, then)


def test_of_whom_was_erased_nothing_is_left_but_an_id(deployment: Deployment) -> None:
    """Also where they had left, and where the other one blocks them; the group has an owner again."""

    async def then(people: People, store: Store) -> None:
        done = await headrace(deployment, "users", "erase", people.ann.user_id, "--yes")
        assert done.returncode == 0, done.stderr
        await check_erased(people, store)
        members = {one.user_id: one for one in (await store.conversations.members([people.group]))[people.group]}
        assert {user: (one.role, one.current) for user, one in members.items()} == {
            people.ann.user_id: ("admin", False), people.ben.user_id: ("member", True), people.cid.user_id: ("owner", True)
        }  # fmt: skip
        noted = [one.event for one in await store.audit.about(people.ann.user_id)]
        assert [one for one in noted if one.startswith("user.")] == ["user.erased", "user.erase.begun"]
        assert noted.count("member.removed") == 2  # of the two conversations
        again = await headrace(deployment, "users", "erase", people.ann.user_id, "--yes", "--json")
        assert json.loads(again.stdout)["messages"] == 0
        await check_erased(people, store)

    with_people(deployment, then)


async def check_erased(people: People, store: Store) -> None:
    ann = people.ann.user_id
    for collection in await store.database.list_collection_names():
        for document in await store.database[collection].find({}).to_list():
            text = str(document)
            for word in (people.ann.username, str(people.ann.email), "a says", "a phone", "'👍'"):
                assert word not in text, (collection, document)
    left = (await store.users.find([ann]))[ann]
    assert (left.display_name, left.disabled, left.password_hash) == ("Deleted account", True, "")
    assert await store.users.present([ann]) == {}
    assert await store.users.search("erased", limit=10) == []
    assert await store.blocks.of_user(ann) == []
    for room in (people.group, people.direct, people.left):
        messages = sorted((await store.messages.between(room, 0, 10)).values(), key=lambda one: one.seq)
        assert [(one.text, one.wiped) for one in messages] == [(None, True), ("b says", False)]


def test_an_erasure_without_consumers_says_so_and_goes_on_when_it_is_called_again(deployment: Deployment) -> None:
    people = People(deployment.names)

    async def run() -> None:
        async with serving(deployment.settings) as (store, intents):
            await people.live(store, intents)
        store, redis = await Store.open(deployment.settings), await Redis.open(deployment.settings)
        eraser = Eraser(deployment.settings, store, redis, people.ann.user_id, wait_seconds=0.3)
        await eraser.shut_out()
        with pytest.raises(Failure, match="do the consumers run"):
            await eraser.take_out(execute=True)
        await redis.close()
        await store.close()
        async with serving(deployment.settings) as (store, _):
            done = await headrace(deployment, "users", "erase", people.ann.user_id, "--yes")
            assert done.returncode == 0, done.stderr
            await check_erased(people, store)

    asyncio.run(run())


def test_an_unknown_person_is_told(deployment: Deployment) -> None:
    done = deployment.run("users", "show", "nobody-of-that-name")
    assert (done.returncode, done.stderr) == (1, "Error: there is no user nobody-of-that-name\n")


def test_one_person_is_shown(deployment: Deployment) -> None:
    async def then(people: People, store: Store) -> None:
        done = await headrace(deployment, "users", "show", people.ben.username, "--json")
        row = json.loads(done.stdout)
        assert (row["user_id"], row["state"], row["conversations"]) == (people.ben.user_id, "enabled", 3)

    with_people(deployment, then)


def test_who_is_disabled_is_signed_out_everywhere_until_enabled(deployment: Deployment) -> None:
    async def then(people: People, store: Store) -> None:
        ann = people.ann.user_id
        redis = await Redis.open(deployment.settings)
        revocations = Revocations(redis, token_seconds=600)
        (session,) = await store.sessions.of_user(ann)
        done = await headrace(deployment, "users", "disable", people.ann.username)
        assert done.returncode == 0, done.stderr
        assert (await store.users.get(ann)).disabled
        assert (await store.sessions.get(session.session_id)).revoked_ms is not None
        assert await revocations.reason(ann, SessionId("any")) == "account_disabled"
        assert [hook.enabled for hook in await store.webhooks.of_owner(ann)] == [False]
        assert (await headrace(deployment, "users", "enable", people.ann.username)).returncode == 0
        assert not (await store.users.get(ann)).disabled
        assert await revocations.reason(ann, SessionId("any")) is None
        assert await revocations.reason(ann, session.session_id) == "session_revoked"  # the old tokens stay dead
        noted = [(one.event, one.actor.partition(":")[0]) for one in await store.audit.about(ann)]
        assert noted == [("user.enabled", "operator"), ("user.disabled", "operator")]
        await redis.close()

    with_people(deployment, then)


def test_signing_somebody_out_ends_their_sessions_alone(deployment: Deployment) -> None:
    async def then(people: People, store: Store) -> None:
        done = await headrace(deployment, "users", "sign-out", people.ann.username)
        assert "sessions that ended: 1" in done.stderr
        (session,) = await store.sessions.of_user(people.ann.user_id)
        assert session.revoked_ms is not None
        assert not (await store.users.get(people.ann.user_id)).disabled
        assert (await headrace(deployment, "users", "sign-out", "nobody")).returncode == 1

    with_people(deployment, then)
