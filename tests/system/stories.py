"""Many small scenes on one deployment, with random changes of every kind, and what each device should see of them.

In a scene are a few people, a group and a direct conversation; devices leave, come back, lose their sockets, or lose their logs. At
rest each device's view must equal what the server shows now.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from backplane.errors import Transient
from backplane.logs import Logs
from backplane.store.expiry import DAY_MS
from backplane.store.users import StoredUser
from backplane.streams import lags
from gateway.tokens import Tokens
from headrace_client import Client, Conversation, Link, Message, View
from headrace_client.rest import load_state
from headrace_client.view import Room
from schemas.ids import SYSTEM, ClientOpId, ConversationId, IntentId, SessionId, UserId
from schemas.intents import ExpireMessages, encode_intent
from schemas.names import INTENT_FIELD
from tests.system.stack import Stack, until

AT_ONCE, STEPS = 25, 14
EMOJI = ("👍", "🎉", ":ok:")


@dataclass
class Device:
    """A client that comes and goes, and the view that it keeps."""

    url: Callable[[], str]
    token: str
    store: Path
    view: View
    client: Client | None = None
    reader: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        async def token() -> str:
            return self.token

        if self.client is None:
            self.client = Client(self.url(), token=token, store=self.store)
            await self.client.__aenter__()
            self.reader = asyncio.create_task(self._read(self.client))

    async def _read(self, client: Client) -> None:
        async for item in client.events():
            self.view.apply(item)

    async def leave(self) -> None:
        """Go offline; what was handled is remembered."""
        if self.client is not None and self.reader is not None:
            await self.client.close()
            with contextlib.suppress(BaseException):
                await self.reader
            self.client = self.reader = None

    def cut(self) -> None:
        """Lose the socket without a goodbye."""
        if self.client is not None and self.client._socket is not None:
            self.client._socket.transport.abort()


@dataclass
class Scene:
    """One story."""

    stack: Stack
    http: httpx2.AsyncClient
    logs: Logs
    rng: random.Random
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)
    devices: list[Device] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[int] = field(default_factory=list)
    faults: bool = True
    """Whether servers may fail; a lost keep-alive connection may be seen at any time."""

    async def set_up(self) -> None:
        signer = Tokens(self.stack.settings)
        for number in range(4):
            user = UserId(str(uuid.uuid4()))
            name = f"u{number}-{user}"
            stored = StoredUser(user_id=user, username=name, display_name=name, password_hash="-", created_ms=1)
            await until(partial(self.stack.store.users.create, stored), 30, "nobody can be made")
            self.tokens[user] = signer.issue(user, SessionId(str(uuid.uuid4())), now_ms=time.time_ns() // 1_000_000)
        one, two, three, _ = self.tokens
        for user in (one, one, two, three):
            path = self.folder / f"{len(self.devices)}.db"
            self.devices.append(Device(self.address, self.tokens[user], path, View(user)))
        await asyncio.gather(*(device.connect() for device in self.devices))
        for kind, members in (("group", [two, three]), ("direct", [two])):
            made = await self.ask(one, "POST", "/api/conversations", {"kind": kind, "member_ids": members})
            self.rooms.append(made.json()["conversation_id"])

    def address(self) -> str:
        return f"http://{self.rng.choice(self.stack.addresses)}"

    async def ask(self, user: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens[user]}", "Idempotency-Key": str(uuid.uuid4())}
        answer = None
        while answer is None or answer.status_code >= 500 or answer.status_code == 202:
            try:
                answer = await self.http.request(method, self.address() + path, json=body, headers=headers, timeout=30)
            except httpx2.TransportError:  # the same request again, under the same key, is safe
                answer = None
            if answer is None or answer.status_code >= 500:
                assert self.faults, f"{answer and answer.text}"
                await asyncio.sleep(0.2)
        self.outcomes.append(answer.status_code)
        return answer

    async def play(self, steps: int = STEPS, moves: "Sequence[Move] | None" = None) -> None:
        for _ in range(steps):
            with contextlib.suppress(Transient):  # Redis is away for the tester too
                await self.rng.choice(moves or MOVES)(self)

    async def settle(self) -> None:
        """Every device is connected and has all of its person's log."""
        for device in self.devices:
            await device.connect()

        async def at_rest() -> bool:
            heads = await self.logs.heads([UserId(device.view.user_id) for device in self.devices])
            return all(
                head is not None
                and device.client is not None
                and device.client.link is Link.CONNECTED
                and not len(device.client._core.inbox)
                and device.client.stats().position == str(head.position)
                for device, head in zip(self.devices, heads, strict=True)
            )

        await until(at_rest, 90, "the devices are not at rest")

    async def compare(self) -> None:
        for device in self.devices:
            for key, room in device.view.rooms.items():
                if not room.whole:
                    await self.load(device.view, key)
            fresh = await self.fresh(device)
            different = list(differences(shape(device.view), shape(fresh)))
            assert not different, f"{device.view.user_id}: seen | fresh: {different}\n{self.outcomes}"

    async def fresh(self, device: Device) -> View:
        """A new view of the same person: the state, and all of the history."""
        view = View(device.view.user_id)
        address = Client(self.address(), token=device.token).address
        view.replace(await load_state(address, device.token))
        for key in view.rooms:
            await self.load(view, key)
        return view

    async def load(self, view: View, room_id: str) -> None:
        """What a program asks for when somebody opens a conversation that it does not have whole."""
        path = f"/api/conversations/{room_id}"
        conversation = (await self.ask(view.user_id, "GET", path)).json()
        history = (await self.ask(view.user_id, "GET", f"{path}/messages?after_seq=0&limit=200")).json()["items"]
        view.load(msgspec.convert(conversation, Conversation), msgspec.convert(history, list[Message]))

    async def close(self) -> None:
        await asyncio.gather(*(device.leave() for device in self.devices))

    # Moves

    def anybody(self) -> str:
        return self.rng.choice(list(self.tokens)[:3])

    async def say(self) -> None:
        user, room = self.anybody(), self.rng.choice(self.rooms)
        known = [one for one in self.said if one["conversation_id"] == room]
        root = self.rng.choice(known)["message_id"] if known and self.rng.random() < 0.4 else None
        body = {
            "conversation_id": room,
            "content": {"text": f"text {self.rng.random()}"},
            "thread_root_id": root,
            "mentions": self.rng.choice([[], [self.anybody()], ["all"]]),
        }
        answer = await self.ask(user, "POST", "/api/messages", body)
        if answer.status_code == 201:
            self.said.append(answer.json())

    async def change_a_message(self) -> None:
        if not self.said:
            return
        message, emoji = self.rng.choice(self.said), self.rng.choice(EMOJI)
        path = f"/api/messages/{message['message_id']}"
        method, rest, body = self.rng.choice(
            [
                ("PUT", "", {"content": {"text": f"edit {self.rng.random()}"}}),
                ("DELETE", "", None),
                ("POST", "/reactions", {"emoji": emoji}),
                ("POST", "/reactions", {"emoji": emoji}),
                ("DELETE", f"/reactions/{emoji}", None),
                ("PUT", "/pin", None),
                ("DELETE", "/pin", None),
            ]
        )
        await self.ask(self.anybody(), method, path + rest, body)

    async def change_the_group(self) -> None:
        room, user = f"/api/conversations/{self.rooms[0]}", self.rng.choice(list(self.tokens))
        method, rest, body = self.rng.choice(
            [
                ("PATCH", "", {"title": f"title {self.rng.random()}"}),
                ("PATCH", "", {"history": self.rng.choice(["all", "joined"])}),
                ("POST", "/members", {"user_ids": [user]}),
                ("POST", "/members", {"user_ids": list(self.tokens)}),
                ("DELETE", f"/members/{user}", None),
                ("PATCH", f"/members/{user}", {"role": self.rng.choice(["owner", "admin", "admin", "member"])}),
            ]
        )
        await self.ask(self.anybody(), method, room + rest, body)

    async def change_what_is_mine(self) -> None:
        user, room = self.anybody(), self.rng.choice(self.rooms)
        body = self.rng.choice(
            [{"archived": self.rng.random() < 0.5}, {"muted_until": "2030-01-01T00:00:00Z"}, {"cleared": True}]
        )
        await self.ask(user, "PATCH", f"/api/conversations/{room}/mine", body)

    async def grow_old(self) -> None:
        """Two days go by in a conversation that keeps a day, for a part of what was said in it."""
        room = self.rng.choice(self.rooms)
        days = self.rng.choice([1, 1, None])
        await self.ask(self.anybody(), "PATCH", f"/api/conversations/{room}", {"retention_days": days})
        intent = ExpireMessages(
            intent_id=IntentId(str(uuid.uuid4())),
            conversation_id=ConversationId(room),
            actor_id=SYSTEM,
            client_op_id=ClientOpId(str(uuid.uuid4())),
            at_ms=int(time.time() * 1000) + 2 * DAY_MS,
            after_seq=0,
            up_to_seq=self.rng.randrange(1, 6),
        )
        names = self.stack.settings.names
        stream = names.intents(names.partition_of(intent.conversation_id))
        await self.stack.redis.command("XADD", stream, "*", INTENT_FIELD, encode_intent(intent))

    async def block(self) -> None:
        users = list(self.tokens)
        await self.ask(users[0], self.rng.choice(["PUT", "DELETE"]), f"/api/users/{users[1]}/block")

    async def read(self) -> None:
        """A receipt, over the socket or over REST."""
        device, room = self.rng.choice(self.devices), self.rng.choice(self.rooms)
        seq = self.rng.randrange(1, 20)
        if device.client is not None and self.rng.random() < 0.5:
            device.client.mark(room, read_seq=seq)
        else:
            path = f"/api/conversations/{room}/read"
            await self.ask(device.view.user_id, "POST", path, {"read_seq": seq, "private": self.rng.random() < 0.3})

    async def come_and_go(self) -> None:
        device = self.rng.choice(self.devices)
        await (device.leave() if device.client else device.connect())

    async def lose_a_socket(self) -> None:
        self.rng.choice(self.devices).cut()

    async def lose_a_log(self) -> None:
        await self.logs.drop([UserId(self.anybody())])

    async def trim_a_log(self) -> None:
        """What somebody has missed is not there any more."""
        log = self.stack.settings.names.log(UserId(self.anybody()))
        await self.stack.redis.command("XTRIM", log, "MAXLEN", 0)


Move = Callable[[Scene], Any]
MOVES: list[Move] = [
    *[Scene.say] * 5,
    *[Scene.change_a_message] * 6,
    *[Scene.change_the_group] * 5,
    *[Scene.change_what_is_mine] * 2,
    Scene.block,
    Scene.grow_old,
    *[Scene.read] * 4,
    *[Scene.come_and_go] * 3,
    Scene.lose_a_socket,
    Scene.lose_a_log,
    Scene.trim_a_log,
]


def shape(view: View) -> dict[str, Any]:
    """A view as plain values; `rev` of a conversation only orders what is heard of it."""
    return {
        "blocked": sorted(view.blocked),
        "rooms": {key: _room(room) for key, room in sorted(view.rooms.items())},
    }


def _room(room: Room) -> dict[str, Any]:
    known = room.conversation
    return {
        "settings": (known.kind, known.title, known.history, known.retention_days, known.expired_seq),
        "own": (known.muted_until or None, known.archived or False, room.first_seq),
        "members": {
            user: (one.role, one.rev, one.joined_rev, one.delivered_seq, one.read_seq)
            for user, one in sorted(room.members.items())
        },
        "last_seq": room.last_seq,
        "messages": dict(sorted(room.messages.items())),
    }


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two shapes differ, in words."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys(), key=str):
            yield from differences(one.get(key), other.get(key), f"{path}/{str(key)[:8]}")
    elif one != other:
        yield f"{path}: {one} | {other}"


@contextlib.asynccontextmanager
async def scenes_on(
    stack: Stack, http: httpx2.AsyncClient, rng: random.Random, folder: Path
) -> AsyncGenerator[list[Scene]]:
    logs = Logs(stack.redis, max_entries=10_000, epoch_ttl_seconds=3600)
    scenes: list[Scene] = []
    for number in range(AT_ONCE):
        (folder / str(number)).mkdir(parents=True)
        scenes.append(Scene(stack, http, logs, random.Random(rng.random()), folder / str(number)))
    try:
        await asyncio.gather(*(scene.set_up() for scene in scenes))
        yield scenes
    finally:
        await asyncio.gather(*(scene.close() for scene in scenes))


async def compare(stack: Stack, scenes: list[Scene]) -> None:
    """Once everything has come to rest, every view is what a fresh fetch shows."""
    await rest(stack, scenes)
    await asyncio.gather(*(scene.compare() for scene in scenes))


async def rest(stack: Stack, scenes: list[Scene]) -> None:
    """Let everything come to rest, with every device connected."""

    async def settled() -> bool:
        return all(lag.lag == 0 and not lag.pending for lag in await lags(stack.redis))

    await asyncio.gather(*(scene.settle() for scene in scenes))
    await until(settled, 60, "the stages are not at rest")
    await asyncio.gather(*(scene.settle() for scene in scenes))
