"""People who talk on a stack, what they saw, and the verdict on it."""

import asyncio
import contextlib
import os
import random
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from backplane.logs import Logs
from backplane.store.users import StoredUser
from backplane.streams import lags
from gateway.tokens import Tokens
from schemas.ids import SessionId, UserId
from tests.histories import records
from tests.histories.checker import Report, check
from tests.histories.client import Client
from tests.histories.recorder import Recorder
from tests.system import leftovers
from tests.system.stack import Stack, until

REST_SECONDS = 60.0
OUTBOX_LIMIT = 12


@dataclass
class Scene:
    """The people, devices and conversations of one test, and everything that happened to them."""

    stack: Stack
    rng: random.Random
    http: httpx2.AsyncClient
    recorder: Recorder = field(default_factory=Recorder)
    users: list[str] = field(default_factory=list)
    conversations: dict[str, list[str]] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    sent: int = 0
    turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """One for each thing that can be broken: faults of the same one go one after the other."""

    # Setting up

    async def people(self, count: int) -> None:
        """Create people; nobody needs a password, their tokens are signed here."""
        users = [UserId(str(uuid.uuid4())) for _ in range(count)]
        for number, user in enumerate(users):
            name = f"u{number}-{user[:8]}"
            assert await self.stack.store.users.create(
                StoredUser(user_id=user, username=name, display_name=name, password_hash="-", created_ms=1)
            )
        self.users += users

    def device(self, user: str, name: str) -> Client:
        """A device of a person, connected from now on."""
        tokens = Tokens(self.stack.settings)
        token = tokens.issue(UserId(user), SessionId(str(uuid.uuid4())), now_ms=time.time_ns() // 1_000_000)
        client = Client(self.recorder, self.http, self.stack.addresses, user=user, device=name, token=token)
        self.clients.append(client)
        client.start()
        return client

    async def devices(self, *, each: int = 1) -> None:
        """Give everybody devices and wait until they are connected and whole."""
        for number, user in enumerate(self.users):
            for nth in range(each):
                self.device(user, f"d{number}.{nth}")
        await self.all_whole()

    async def all_whole(self) -> None:
        async def whole() -> bool:
            return all(client.synced.is_set() for client in self.clients)

        await until(whole, REST_SECONDS, "some devices are not connected")

    async def converse(self, *, directs: int = 0, groups: Sequence[int] = ()) -> None:
        """Open conversations over REST: pairs of neighbours, and groups of the given sizes of random people."""
        for number in range(directs):
            first = number % len(self.users)
            await self._open(
                "direct", [self.users[first], self.users[(first + 1 + number // len(self.users)) % len(self.users)]]
            )
        for size in groups:
            await self._open("group", self.rng.sample(self.users, size))

    async def _open(self, kind: str, members: list[str]) -> None:
        token = next(client.token for client in self.clients if client.user == members[0])
        answer = await self.http.post(
            f"http://{self.stack.addresses[0]}/api/conversations",
            json={"kind": kind, "member_ids": members},
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid.uuid4())},
            timeout=15,
        )
        assert answer.status_code in {200, 201}, answer.text
        conversation_id = answer.json()["conversation_id"]
        self.conversations[conversation_id] = members
        self.recorder.add(records.Members(conversation_id=conversation_id, users=members))

    # Talking

    async def talk(self, messages: int, *, per_second: float, text: str = "") -> None:
        """Everybody sends, in turn at random, to a conversation of theirs, until so many messages are sent."""
        began, goal = time.monotonic(), self.sent + messages
        start = self.sent
        while self.sent < goal:
            ahead = (self.sent - start) / per_second - (time.monotonic() - began)
            await asyncio.sleep(max(ahead, 0.0))
            self.say_something(text)

    @contextlib.asynccontextmanager
    async def talking(self, *, per_second: float) -> AsyncGenerator[None]:
        """Talk for as long as the block lasts."""
        task = asyncio.create_task(self.talk(10**9, per_second=per_second))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def say_something(self, text: str = "") -> None:
        """One message from somebody whose outbox has room."""
        ready = [
            client
            for client in self.clients
            if client.reading.is_set() and len(client.outbox) < OUTBOX_LIMIT and not client.dead
        ]
        if not ready:  # the system is behind: so are the people
            return
        self.say(self.rng.choice(ready), text)

    def say(self, client: Client, text: str = "") -> None:
        """One message from this device, to a conversation of its person's."""
        mine = [conversation for conversation, members in self.conversations.items() if client.user in members]
        if mine:
            self.sent += 1
            client.send(self.rng.choice(mine), f"{self.sent} of {client.device} {text}".strip())

    def fault(self, what: str, *, loses_accepted: bool = False) -> None:
        """Write down what is about to be broken."""
        self.recorder.add(records.Fault(t=self.recorder.t, what=what, loses_accepted=loses_accepted))

    def healed(self) -> None:
        """Write down that nothing is broken any more."""
        self.recorder.add(records.Healed(t=self.recorder.t))

    # The end

    async def verdict(self, folder: Path, *, dead: int = 0, settle_seconds: float = 20.0) -> Report:
        """Let it come to rest, read what is stored, and check the whole history; shows the figures."""
        with contextlib.suppress(TimeoutError):  # what does not come to rest is the checker's to explain
            await until(self._at_rest, REST_SECONDS, "the system did not come to rest", interval_seconds=0.25)
        self.recorder.add(await self._quiesced())
        self.recorder.records += await asyncio.to_thread(leftovers.stored, self.stack.settings, set(self.conversations))
        self.recorder.records += await self._fresh()
        path = folder / "history.jsonl"
        self.recorder.save(path)
        report = check(self.recorder.records, dead=dead, settle_seconds=settle_seconds)
        print(report.explain())
        assert report.clean, f"{report.explain()}\nhistory: {path}\n{self.stack.logs()}"
        return report

    async def _at_rest(self) -> bool:
        if not all(client.at_rest for client in self.clients if not client.dead):
            return False
        unsettled = await self._unsettled()
        return not any(unsettled.values()) and not any((await self._unread()).values())

    async def _unsettled(self) -> dict[str, int]:
        unsettled: dict[str, int] = {}
        for lag in await lags(self.stack.redis):
            unsettled[f"{lag.stage} {lag.partition}"] = -1 if lag.lag is None else lag.lag + lag.pending
        return unsettled

    async def _unread(self) -> dict[str, int]:
        """How far each living device is behind its person's log; -1 if that log is not valid or another one."""
        logs = Logs(self.stack.redis, max_entries=10_000, epoch_ttl_seconds=86_400)
        living = [client for client in self.clients if not client.dead]
        heads = await logs.heads([UserId(client.user) for client in living])
        unread: dict[str, int] = {}
        for client, head in zip(living, heads, strict=True):
            here = client.position
            same = head is not None and here is not None and head.position.epoch == here.epoch
            unread[f"log of {client.device}"] = head.position.offset - here.offset if same and head and here else -1
        return unread

    async def _quiesced(self) -> records.Quiesced:
        unsettled = {
            place: count for place, count in ((await self._unsettled()) | (await self._unread())).items() if count
        }
        dead = 0
        for partition in range(self.stack.settings.partitions):
            dead += await self.stack.redis.command("XLEN", self.stack.settings.names.dead(partition))
        outboxes = {
            client.device: [*client.outbox, *client.changes.waiting]
            for client in self.clients
            if client.outbox or client.changes.waiting
        }
        return records.Quiesced(t=self.recorder.t, unsettled=unsettled, dead=dead, outboxes=outboxes)

    async def _fresh(self) -> list[records.Record]:
        """What each person is shown, by whichever of their devices is left."""
        living = {client.user: client for client in self.clients if not client.dead}
        found = [await leftovers.fresh(self.http, self.stack.addresses, client) for client in living.values()]
        return [record for one in found for record in one]


@contextlib.asynccontextmanager
async def open_scene(stack: Stack, rng: random.Random | None = None) -> AsyncGenerator[Scene]:
    """A scene on a stack; its devices leave at the end."""
    async with httpx2.AsyncClient(limits=httpx2.Limits(max_connections=40)) as http:
        scene = Scene(stack, rng or seeded(), http)
        try:
            yield scene
        finally:
            outcomes = await asyncio.gather(*(client.stop() for client in scene.clients), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome


def seeded() -> random.Random:
    """The randomness of a test: `HEADRACE_SEED` repeats a run's choices."""
    seed = int(os.environ.get("HEADRACE_SEED") or random.randrange(10**6))
    print(f"HEADRACE_SEED={seed}")
    return random.Random(seed)
