"""One deployment as these tests use it: send intents, run consumers here or as processes, look at what came of it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from backplane.logs import Logs
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.messages import StoredMessage
from backplane.store.mongo import Store
from backplane.streams import Intents
from consumers.process import make_worker
from consumers.worker import Worker
from schemas.events import EventHeader, decode_header
from schemas.ids import (
    ClientMsgId,
    ConversationId,
    IntentId,
    Position,
    UserId,
    group_conversation_id,
    partition_of,
)
from schemas.intents import CreateConversation, Intent, SendMessage, encode_intent
from schemas.marks import Mark, encode_mark
from schemas.names import BODY_FIELD, HEADER_FIELD
from schemas.stages import STAGES, StageName

ROOT = Path(__file__).resolve().parents[3]
BOTH: Sequence[StageName] = ("persist", "fanout")


def identifier() -> str:
    return str(uuid.uuid4())


def a_send(room: ConversationId, who: UserId, text: str = "hi", **more: Any) -> SendMessage:
    now_ms = int(time.time() * 1000)
    return SendMessage(IntentId(identifier()), room, who, ClientMsgId(identifier()), text, now_ms, **more)


def a_group(*who: UserId) -> CreateConversation:
    now_ms = int(time.time() * 1000)
    room = group_conversation_id(who[0], identifier())
    return CreateConversation(IntentId(identifier()), room, who[0], "group", who, now_ms, title="a group")


class Deployment:
    def __init__(self, settings: Settings, redis: Redis, store: Store) -> None:
        self.settings, self.redis, self.store = settings, redis, store
        self.names = settings.names
        self.intents = Intents(redis, limit=100_000)
        self.marks = Intents(redis, limit=100_000, stream="receipts")
        self.logs = Logs(redis, max_entries=10_000, epoch_ttl_seconds=3600)

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        store = await Store.open(settings)
        await store.migrate(settings.names)
        return cls(settings, await Redis.open(settings), store)

    async def close(self) -> None:
        await self.redis.close()
        await self.store.close()

    # In

    async def send(self, *intents: Intent) -> None:
        for intent in intents:
            await self.intents.append(self.names.partition_of(intent.conversation_id), encode_intent(intent))

    async def mark(self, room: ConversationId, who: UserId, read_seq: int = 0, **more: Any) -> None:
        mark = Mark(IntentId(identifier()), room, who, int(time.time() * 1000), read_seq=read_seq, **more)
        await self.marks.append(self.names.partition_of(room), encode_mark(mark))

    async def add_raw(self, partition: int, *words: bytes | str) -> None:
        await self.redis.command("XADD", self.names.intents(partition), "*", *words)

    async def room(self, *who: UserId) -> ConversationId:
        intent = a_group(*who)
        await self.send(intent)
        return intent.conversation_id

    def group_in(self, partition: int, *who: UserId) -> CreateConversation:
        """A group whose conversation is in this partition."""
        while True:
            intent = a_group(*who)
            if partition_of(intent.conversation_id, self.names.partitions) == partition:
                return intent

    # Consumers

    def worker(self, stage: StageName) -> Worker:
        return make_worker(stage, self.settings, self.redis, self.store)

    @contextlib.asynccontextmanager
    async def consumers(self, *stages: StageName) -> AsyncIterator[list[Worker]]:
        stop = asyncio.Event()
        workers = [self.worker(stage) for stage in stages or BOTH]
        tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
        try:
            yield workers
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    @contextlib.contextmanager
    def process(self, *stages: StageName, **settings: object) -> Any:
        """`python -m consumers`, killed at the end."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        for name, value in (self.settings.model_dump() | settings).items():
            if name in _FOR_PROCESSES:
                env[f"HEADRACE_{name.upper()}"] = str(
                    value.get_secret_value() if isinstance(value, SecretStr) else value
                )
        running = subprocess.Popen(
            [sys.executable, "-m", "consumers", "--stages", ",".join(stages or BOTH)], env=env, cwd=ROOT
        )
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()
            running.wait()

    async def owners(self, stage: StageName = "persist") -> dict[int, str]:
        keys = [("GET", self.names.lease(partition, stage)) for partition in range(self.names.partitions)]
        found = await self.redis.all(keys)
        return {partition: owner.decode() for partition, owner in enumerate(found) if owner}

    async def shares(self, stage: StageName = "persist") -> list[int]:
        return sorted(Counter((await self.owners(stage)).values()).values())

    # Out

    async def events(self) -> list[tuple[EventHeader, dict[str, Any]]]:
        found: list[tuple[EventHeader, dict[str, Any]]] = []
        for partition in range(self.names.partitions):
            for _, words in await self.redis.command("XRANGE", self.names.events(partition), "-", "+"):
                fields = dict(zip(words[::2], words[1::2], strict=True))
                if HEADER_FIELD in fields and fields.get(BODY_FIELD, b"").startswith(b'"event"'):
                    found.append((decode_header(fields[HEADER_FIELD]), json.loads(b"{" + fields[BODY_FIELD])))
        return found

    async def dead(self) -> list[dict[bytes, bytes]]:
        return [
            dict(zip(words[::2], words[1::2], strict=True))
            for partition in range(self.names.partitions)
            for _, words in await self.redis.command("XRANGE", self.names.dead(partition), "-", "+")
        ]

    async def messages(self, room: ConversationId) -> list[StoredMessage]:
        return await self.store.messages.unraised(room, 0)

    async def log(self, user: UserId, after: Position) -> list[dict[str, Any]]:
        return [json.loads(b"{" + entry.body) for entry in await self.logs.read(user, after, 10_000)]

    async def unfinished(self, *stages: StageName) -> int:
        """Entries that these stages (default: both) have not acknowledged; all of them where a stage has no group yet."""
        left = 0
        for stage in stages or BOTH:
            for partition in range(self.names.partitions):
                tag = self.names.partition_tag(partition)
                stream = f"{tag}{STAGES[stage].stream}"
                if await self.redis.command("EXISTS", stream):
                    left += await self._behind(stream, stage)
        return left

    async def _behind(self, stream: str, stage: StageName) -> int:
        for group in await self.redis.command("XINFO", "GROUPS", stream):
            words = dict(zip(group[::2], group[1::2], strict=True))
            if words[b"name"] == stage.encode():
                return words[b"pending"] + (words[b"lag"] or 0)
        return await self.redis.command("XLEN", stream)

    async def attempts(self) -> int:
        keys = [self.names.attempts(partition, stage) for partition in range(self.names.partitions) for stage in BOTH]
        return sum([await self.redis.command("HLEN", key) for key in keys])


_FOR_PROCESSES = {
    "environment", "redis_url", "mongodb_url", "mongodb_database", "namespace", "partitions", "shards", "lease_seconds",
    "mongodb_timeout_seconds", "retry_seconds", "max_attempts", "batch_entries", "receipt_members", "webhooks_allow_private",
    "webhooks_retry_seconds",
}  # fmt: skip


async def until(is_so: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Wait until something is so; fails with what was seen last."""
    deadline = time.monotonic() + seconds
    while not (seen := await is_so()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {seen!r}"
        await asyncio.sleep(0.03)
