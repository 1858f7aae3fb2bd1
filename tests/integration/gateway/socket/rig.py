"""A gateway's socket side in this process, on a real port and a real Redis, and a client that remembers what it heard."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backplane import grants
from backplane.doorbells import Doorbells
from backplane.errors import Permanent
from backplane.grants import Membership, Pair
from backplane.limits import Buckets
from backplane.logs import Delivery, Logs
from backplane.redis import Redis
from backplane.revocations import Revocations
from backplane.settings import Settings
from backplane.store.mongo import Store
from backplane.streams import Intents
from gateway.app import make_ephemera
from gateway.intake import Intake
from gateway.limiter import Limiter
from gateway.load import Load
from gateway.socket.ephemera import Ephemera
from gateway.socket.hub import Hub
from gateway.socket.transport import uvicorn_options
from gateway.tokens import Tokens
from schemas.ids import ConversationId, Position, SessionId, StreamId, UserId
from schemas.names import MEMBERS
from schemas.stages import STAGES
from tests.integration.store.shapes import a_conversation, a_member
from tests.services import free_port

SUBPROTOCOL = "headrace.v1"
CONVERSATION = "0190c0de-0000-7000-8000-000000000001"


class Client:
    """One socket; frames that nobody waited for are kept in `passed`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.passed: list[dict] = []

    async def say(self, type_: str, **fields) -> None:
        await self.socket.send(msgspec.json.encode({"type": type_, **fields}).decode())

    async def hear(self, type_: str, seconds: float = 20, **fields) -> dict:
        """The next frame of a type (and with these fields); others are passed over."""
        async with asyncio.timeout(seconds):
            while True:
                frame = msgspec.json.decode(await self.socket.recv())
                if frame["type"] == "ping":
                    await self.say("pong")
                if frame["type"] == type_ and fields.items() <= frame.items():
                    return frame
                self.passed.append(frame)

    async def events(self, count: int, seconds: float = 30) -> list[int]:
        """The offsets of the next `count` events."""
        return [Position.parse((await self.hear("event", seconds))["position"]).offset for _ in range(count)]

    async def ask(self, type_: str, **fields) -> dict:
        """Send a request, and return its reply."""
        number = uuid.uuid4().int % 10**9
        await self.say(type_, id=number, **fields)
        return await self.hear("reply", id=number)

    async def send(self, text: str = "hi", **fields) -> dict:
        return await self.ask(
            "message.send",
            **{"conversation_id": CONVERSATION, "client_msg_id": str(uuid.uuid4()), "content": {"text": text}} | fields,
        )

    async def end(self, seconds: float = 20) -> tuple[int, dict | None]:
        """Read to the end: the close code, and the `disconnect` frame before it."""
        said = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    frame = msgspec.json.decode(await self.socket.recv())
                    if frame["type"] == "disconnect":
                        said = frame
        except ConnectionClosed as closed:
            return (closed.rcvd.code if closed.rcvd else 1006), said


class Rig:
    """The parts, and what a consumer would do to them."""

    def __init__(
        self,
        settings: Settings,
        *,
        redis: Redis,
        store: Store,
        hub: Hub,
        ephemera: Ephemera,
        tokens: Tokens,
        server: uvicorn.Server,
    ) -> None:
        self.settings, self.redis, self.store, self.tokens = settings, redis, store, tokens
        self.hub, self.ephemera = hub, ephemera
        self.port = server.config.port
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        self._server = server
        self.logs = Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)
        self._event = 0
        self._stack = contextlib.AsyncExitStack()

    def token(self, user: str, *, session: str = "s1", now_ms: int | None = None) -> str:
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        return self.tokens.issue(UserId(user), SessionId(session), now_ms=now_ms)

    async def dial(self, **options) -> Client:
        """A socket that has said nothing yet."""
        options = {"subprotocols": [SUBPROTOCOL], "compression": None, "max_size": None, "close_timeout": 1} | options
        return Client(await self._stack.enter_async_context(connect(self.url, **options)))

    async def connected(self, user: str, resume: str | None = None, **client) -> tuple[Client, dict]:
        """A socket that is through with `connect`, and the answer."""
        dialled = await self.dial()
        fields = {"resume": resume} if resume else {}
        await dialled.say("connect", token=self.token(user), client=client, **fields)
        return dialled, await dialled.hear("connected")

    async def room(self, *users: str) -> ConversationId:
        """A conversation in the store; what is asked of it needs a real database."""
        room = str(uuid.uuid4())
        await self.store.conversations.create(a_conversation(room), [a_member(room, user) for user in users])
        return ConversationId(room)

    async def remove(self, user: str, room: ConversationId, rev: int = 5, *, rung: bool = True) -> None:
        """What persist and fanout do when somebody leaves; `rung=False`: their doorbell gets lost."""
        change = {"$set": {"rev": rev, "spans": [[1, rev]]}}
        await self.store.database[MEMBERS].update_one({"conversation_id": room, "user_id": user}, change)
        await grants.Grants(self.redis).change([Membership(Pair(UserId(user), room), rev, allowed=False)])
        left = b'"event":"member.left","event_id":"e","ts":"t","data":{"conversation_id":"%s","members":[{"user_id":"%s"}]}}'
        if rung:
            await self.append_body(user, left % (room.encode(), user.encode()))

    async def listeners(self, channel: str) -> int:
        return (await self.redis.command("PUBSUB", "SHARDNUMSUB", channel))[1]

    async def append_body(self, user: str, body: bytes) -> None:
        self._event += 1
        delivery = Delivery(StreamId(1, self._event), body, [UserId(user)])
        await self.logs.append(0, "era", self.settings.names.shard_of(UserId(user)), [delivery])

    async def append(self, user: str, count: int = 1, *, size: int = 0) -> None:
        """What fanout does for `count` events of one user."""
        shard = self.settings.names.shard_of(UserId(user))
        deliveries = []
        for _ in range(count):
            self._event += 1
            deliveries.append(Delivery(StreamId(1, self._event), self._body(size), [UserId(user)]))
        for start in range(0, count, 100):
            await self.logs.append(0, "era", shard, deliveries[start : start + 100])

    async def append_unheard(self, user: str, count: int = 1) -> None:
        """Entries whose doorbells got lost."""
        log = self.settings.names.log(UserId(user))
        epoch = (await self.logs.open(UserId(user))).position.epoch
        for _ in range(count):
            self._event += 1
            await self.redis.command("XADD", log, f"{epoch}-*", "b", self._body(0))

    async def trim(self, user: str, keep: int) -> None:
        await self.redis.command("XTRIM", self.settings.names.log(UserId(user)), "MAXLEN", keep)

    async def head(self, user: str) -> str:
        return str((await self.logs.open(UserId(user))).position)

    def _body(self, size: int) -> bytes:
        return b'"event":"message.created","event_id":"e%d","ts":"t","data":{"text":"%s"}}' % (self._event, b"x" * size)

    @property
    def transports(self) -> int:
        """Sockets that this process holds, whether anybody serves them or not."""
        return len(self._server.server_state.connections)

    async def close(self) -> None:
        await self._stack.aclose()


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this in time"
        await asyncio.sleep(0.02)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.asynccontextmanager
async def serving(settings: Settings, **hub_options) -> AsyncIterator[Rig]:
    """Start everything, as the composition root does."""
    tokens = Tokens(settings)
    redis = await Redis.open(settings)
    store = await Store.open(settings)  # connects when it is asked
    names = settings.names
    for partition in range(names.partitions):
        for stage in STAGES.values():
            stream = names.stream(stage.stream, partition)
            with contextlib.suppress(Permanent):  # there already: another gateway of the same deployment
                await redis.command("XGROUP", "CREATE", stream, stage.name, "0", "MKSTREAM")
    load = Load(settings, redis, poll_seconds=0.1)
    await load.start()
    logs = Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)
    intents = Intents(redis, limit=settings.intents_in_flight)
    marks = Intents(redis, limit=settings.intents_in_flight, stream="receipts")
    revocations = Revocations(redis, token_seconds=settings.access_token_seconds)
    limiter = Limiter(settings.policies, names, Buckets(redis), revocations)
    intake = Intake(names, intents, marks, load, limiter, limit=settings.intents_in_flight)
    ephemera = make_ephemera(settings, redis, store, load)
    heard = Doorbells(redis, ephemera.on_ring, ephemera.on_lost)
    ephemera.attach(heard)
    await heard.start()
    await ephemera.start()
    hub = Hub(
        settings, logs, intake, tokens, revocations=revocations, limiter=limiter, ephemera=ephemera, **hub_options
    )
    doorbells = Doorbells(redis, hub.on_ring, hub.on_lost)
    hub.attach(doorbells)
    await doorbells.start()
    await hub.start()
    port = free_port()
    application = Starlette(routes=[WebSocketRoute("/ws", hub.endpoint)])
    config = uvicorn.Config(
        application, port=port, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1,
        **uvicorn_options(),
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    rig = Rig(settings, redis=redis, store=store, hub=hub, ephemera=ephemera, tokens=tokens, server=server)
    try:
        yield rig
    finally:
        await rig.close()
        await hub.drain()
        server.should_exit = True
        await task
        await doorbells.close()
        await ephemera.close()
        await heard.close()
        await load.close()
        await store.close()
        await redis.close()
