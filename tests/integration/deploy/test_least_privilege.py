"""Everything at work under the users and roles of `deploy/`: people, every stage, the command line."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from backplane.redis import Redis
from backplane.settings import load_settings
from headrace_client import AnyEvent, Api, Client, Ephemeral, Event, Message, Presence, Resynced, Typing
from schemas.names import AUDIT, BLOCKS, DELIVERIES, MESSAGES, OPERATIONS, USERS, WEBHOOKS
from tests.integration.deploy import recorded
from tests.integration.deploy.servers import (
    ADMIN,
    CONSUMERS,
    DATABASE,
    GATEWAY,
    OPS,
    mongodb_url,
    mongodb_with_roles,
    redis_url,
    redis_with_users,
)
from tests.services import Server, free_port
from tests.system.stack import ROOT, Stack, run_stack, until
from tests.unit.deploy.roles import NEEDS, roles

pytestmark = pytest.mark.slow

PATIENCE = 30.0
UNAUTHORIZED = 13
MODULES = {"headraceGateway": "gateway", "headraceConsumers": "consumers", "headraceOps": "cli.main"}


@dataclass
class Seen:
    """What came of it all."""

    acl_log: set[tuple[str, str]]
    """What Redis has refused: (user, what)."""
    mongodb: dict[str, set[tuple[str, str]]]
    """What each kind of process asked of MongoDB: (command, collection)."""
    cli: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """What MongoDB would not do for whom."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(scenario(tmp_path_factory.mktemp("deploy")))


async def scenario(folder: Path) -> Seen:
    redis, mongodb = redis_with_users(folder / "redis"), mongodb_with_roles(folder / "mongodb")

    def urls(user: str) -> dict[str, str]:
        return {"redis_url": redis_url(redis, user), "mongodb_url": mongodb_url(mongodb, user)}

    async with run_stack(
        folder,
        gateways=1,
        consumers=1,
        redis=redis,
        mongodb=mongodb,
        of_kind={"gateway": urls(GATEWAY), "consumers": urls(CONSUMERS)},
        launch=("-m", recorded.__name__, str(folder)),
        mongodb_database=DATABASE,
        webhooks_allow_private="true",
        **urls(OPS),
    ) as stack:
        user_id, webhook_id = await people(stack)
        await spoil_an_entry(stack, redis)
        cli = await asyncio.to_thread(operators, stack, folder, user_id, webhook_id)
        refused = await asyncio.to_thread(forbidden, mongodb)
        return Seen(
            await refusals(redis),
            {role: asked(folder, module) for role, module in MODULES.items()},
            cli,
            refused,
        )


async def people(stack: Stack) -> tuple[str, str]:
    """Two people do all that there is to do; returns one's id, and that of a webhook of theirs."""
    url = f"http://{stack.addresses[0]}"
    ada, ben = Api(url), Api(url)
    await ada.register("ada", "correct horse battery")
    await ben.register("ben", "correct horse battery")
    me, other = (await ada.me()).user_id, (await ben.me()).user_id
    room = (await ada.create("group", [other], "all")).conversation_id
    direct = (await ada.create("direct", [other])).conversation_id
    webhook_id = await hook(ada, url, room)
    async with Client(url, token=ada.token) as writer, Client(url, token=ben.token) as reader:
        heard, told = reader.events(), writer.events()
        for events in (heard, told):
            await until_heard(events, lambda event: isinstance(event, Resynced))
        sending = writer.send(room, "from end to end")
        message = (await until_heard(heard, lambda event: data(event, Message))).data
        stored = await sending.stored
        assert message.message_id == stored.message_id

        reader.watch(room)
        writer.watch(room)
        reader.subscribe_presence([me])
        await until_heard(heard, lambda event: data(event, Presence))
        writer.typing(room)
        await until_heard(heard, lambda event: data(event, Typing))
        reader.mark(room, read_seq=stored.seq)
        writer.edit(stored, "to the other end")
        writer.react(stored, ":ok:")
        writer.send(room, "in a thread", thread_root_id=stored.message_id)
        await asyncio.wait_for(writer.send(room, "the last one").stored, PATIENCE)
    await ada.pin(stored.message_id)
    await ada.change_conversation(room, title="everything")
    await ada.change_mine(room, archived=True)
    await ben.read(room, stored.seq, thread_root_id=stored.message_id)
    await ben.threads(room)
    await ben.send(direct, "a word")
    await ada.block(other)
    await ada.sync()
    await ada.users("be")
    await ben.refresh()
    await ben.logout(everywhere=True)
    return me, webhook_id


async def hook(api: Api, url: str, room: str) -> str:
    """A webhook that leads nowhere, a bot that comes and goes, and a long poll."""
    signed = {"Authorization": f"Bearer {await api.token()}"}
    async with httpx2.AsyncClient(base_url=url, timeout=30, headers=signed) as http:
        where = {"url": f"http://127.0.0.1:{free_port()}/", "conversation_id": room, "events": ["message.created"]}
        made = await http.post("/api/webhooks", json=where)
        assert made.status_code == 201, made.text
        bot = await http.post(
            "/api/bots", json={"username": "robot", "display_name": "Robot", "scopes": ["messages:read"]}
        )
        assert bot.status_code == 201, bot.text
        assert (await http.post("/api/auth/bot", json={"token": bot.json()["token"]})).status_code == 200
        assert (await http.delete(f"/api/bots/{bot.json()['bot']['user_id']}")).status_code == 204
        position = (await http.get("/api/sync")).json()["position"]
        assert (await http.get("/api/events", params={"after": position, "wait": 1})).status_code == 200
        return made.json()["webhook_id"]


async def until_heard(events: AsyncIterator[AnyEvent], wanted: Callable[[AnyEvent], bool]) -> Any:
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if wanted(event):
                return event
    raise AssertionError("the events have ended")


def data(event: AnyEvent, kind: type) -> bool:
    return isinstance(event, Event | Ephemeral) and isinstance(event.data, kind)


async def spoil_an_entry(stack: Stack, redis: Server) -> None:
    """An intent that is none, for the dead letters."""
    admin = await Redis.open(load_settings({}, environment="development", redis_url=redis_url(redis, ADMIN)))
    try:
        await admin.command("XADD", stack.settings.names.intents(0), "*", "x", "y")

        async def buried() -> bool:
            return await admin.command("XLEN", stack.settings.names.dead(0)) == 1

        await until(buried, PATIENCE, "what cannot be read is not buried")
    finally:
        await admin.close()


def operators(stack: Stack, folder: Path, user_id: str, webhook_id: str) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every command that looks or mends."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environ |= stack.gateways[0].environ | {
        "HEADRACE_REDIS_URL": stack.settings.redis_url.get_secret_value(),
        "HEADRACE_MONGODB_URL": stack.settings.mongodb_url.get_secret_value(),
        "HEADRACE_SMOKE_PASSWORD": "correct horse battery",
    }
    commands = (
        "migrate", "doctor", "streams ls", "streams info 0", "streams tail intents -n 3", "groups", "dead ls", "dead drop --all --yes",
        "replay --all --execute", f"replay user {user_id} --execute", "users show ada", "users export ada", "webhooks ls",
        f"webhooks show {webhook_id}", f"webhooks disable {webhook_id}", f"webhooks enable {webhook_id}",
        f"smoke --url http://{stack.addresses[0]} --user probe --register", "users disable ben", "users enable ben", "users sign-out ben", "users erase ben --yes",
    )  # fmt: skip

    def run(words: str, record: Path, **urls: str) -> subprocess.CompletedProcess[str]:
        launch = [sys.executable, "-m", recorded.__name__, str(record), "cli.main", *words.split()]
        return subprocess.run(
            launch, env=environ | urls, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
        )

    done = {words: run(words, folder) for words in commands}
    for kind, process in (("gateway", stack.gateways[0]), ("consumers", stack.consumers[0])):
        urls = {name: process.environ[name] for name in ("HEADRACE_REDIS_URL", "HEADRACE_MONGODB_URL")}
        (folder / kind).mkdir()
        done[f"doctor, as {kind}"] = run("doctor", folder / kind, **urls)
    return done


def asked(folder: Path, module: str) -> set[tuple[str, str]]:
    """What a kind of process asked of MongoDB, and the doctor with its URLs."""
    with_its_urls = recorded.read(folder / module, "cli.main") if (folder / module).exists() else set[tuple[str, str]]()
    return recorded.read(folder, module) | with_its_urls


def forbidden(mongodb: Server) -> set[str]:
    """What MongoDB refuses: `user command`."""
    commands: dict[str, dict[str, Any]] = {
        "createIndexes": {"createIndexes": AUDIT, "indexes": [{"key": {"x": 1}, "name": "x"}]},
        "drop": {"drop": AUDIT},
        "dropIndexes": {"dropIndexes": MESSAGES, "index": "*"},
        "dropDatabase": {"dropDatabase": 1},
        "createUser": {"createUser": "eve", "pwd": "eve", "roles": []},
    }
    found: set[str] = set()
    for user in (GATEWAY, CONSUMERS, OPS):
        with MongoClient[dict[str, Any]](mongodb_url(mongodb, user)) as client:
            for name, command in commands.items():
                try:
                    client[DATABASE].command(command)
                except OperationFailure as failure:
                    found |= {f"{user} {name}"} if failure.code == UNAUTHORIZED else set()
    return found


async def refusals(redis: Server) -> set[tuple[str, str]]:
    admin = await Redis.open(load_settings({}, environment="development", redis_url=redis_url(redis, ADMIN)))
    try:
        entries = await admin.command("ACL", "LOG", "100")
    finally:
        await admin.close()
    found = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in entries]
    return {(one[b"username"].decode(), one[b"object"].decode()) for one in found}


def test_redis_refused_nothing_but_what_the_doctor_tries_in_vain(seen: Seen) -> None:
    assert seen.acl_log == {(user, "config|get") for user in (GATEWAY, CONSUMERS, OPS)}


def test_every_command_of_the_command_line_works(seen: Seen) -> None:
    failed = {words: done.stdout + done.stderr for words, done in seen.cli.items() if done.returncode}
    assert failed == {}
    assert "could not be read" in seen.cli["doctor"].stdout, "CONFIG is refused to it too"
    assert "unreadable" in seen.cli["dead ls"].stdout


@pytest.mark.parametrize("role", MODULES)
def test_mongodb_was_asked_for_nothing_that_the_role_does_not_allow(seen: Seen, role: str) -> None:
    beyond = {
        (command, collection)
        for command, collection in seen.mongodb[role]
        if not NEEDS[command] <= roles()[role].get(collection, set())
    }
    assert beyond == set()


def test_what_is_looked_for_did_happen(seen: Seen) -> None:
    """Otherwise the tests above say nothing."""
    assert {("insert", USERS), ("find", MESSAGES), ("aggregate", BLOCKS), ("listIndexes", AUDIT)} <= seen.mongodb[
        "headraceGateway"
    ]
    assert {("insert", MESSAGES), ("insert", OPERATIONS), ("insert", BLOCKS), ("insert", DELIVERIES)} <= seen.mongodb[
        "headraceConsumers"
    ]
    assert {("insert", AUDIT), ("update", WEBHOOKS), ("delete", BLOCKS)} <= seen.mongodb["headraceOps"]


def test_mongodb_refuses_what_nobody_of_ours_does(seen: Seen) -> None:
    wanted = {
        f"{user} {name}"
        for user in (GATEWAY, CONSUMERS, OPS)
        for name in ("drop", "dropIndexes", "dropDatabase", "createUser")
    }
    assert seen.refused == wanted | {f"{GATEWAY} createIndexes", f"{CONSUMERS} createIndexes"}
