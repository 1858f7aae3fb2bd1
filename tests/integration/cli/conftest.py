"""`headrace …` on a deployment of the test's own, with entries put there as gateways and stages put them."""

import asyncio
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from backplane.leases import Leases
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.mongo import Store
from backplane.streams import Partition
from cli.main import main
from schemas.intents import SendMessage, encode_intent
from schemas.marks import Mark, encode_mark
from schemas.names import INTENT_FIELD, MARK_FIELD
from schemas.stages import STAGES

T = TypeVar("T")


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Deployment:
    """A deployment and a shell beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.names = settings, settings.names

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a shell in which commands find this deployment and nothing else."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        return clean | {
            "HEADRACE_REDIS_URL": self.settings.redis_url.get_secret_value(),
            "HEADRACE_MONGODB_URL": self.settings.mongodb_url.get_secret_value(),
            "HEADRACE_MONGODB_DATABASE": self.settings.mongodb_database,
            "HEADRACE_NAMESPACE": self.settings.namespace,
            "HEADRACE_PARTITIONS": str(self.settings.partitions),
            "HEADRACE_SHARDS": str(self.settings.shards),
        }

    def run(self, *arguments: str, **environ: str) -> Done:
        """The whole command line in this process: what `headrace` runs, without the second that Python needs to start."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with pytest.MonkeyPatch.context() as shell, Path(os.devnull).open() as nothing:
            shell.setattr(os, "environ", self.environ | environ)
            shell.setattr(sys, "argv", ["headrace", *arguments])
            for name, stream in (("stdin", nothing), ("stdout", out), ("stderr", err)):
                shell.setattr(sys, name, stream)
            with pytest.raises(SystemExit) as ended:
                main()
        texts = [stream.buffer.getvalue().decode() for stream in (out, err) if not stream.flush()]
        assert "Traceback" not in texts[1]
        return Done(int(ended.value.code or 0), *texts)

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def with_redis(self, work: Callable[[Redis], Awaitable[T]]) -> T:
        async def run() -> T:
            redis = await Redis.open(self.settings)
            try:
                return await work(redis)
            finally:
                await redis.close()

        return asyncio.run(run())

    def with_store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        async def run() -> T:
            store = await Store.open(self.settings)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def append(self, *intents: SendMessage) -> None:
        """As a gateway does."""

        async def work(redis: Redis) -> None:
            for intent in intents:
                key = self.names.intents(self.names.partition_of(intent.conversation_id))
                await redis.command("XADD", key, "*", INTENT_FIELD, encode_intent(intent))

        self.with_redis(work)

    def append_marks(self, *marks: Mark) -> None:
        """As a gateway does."""

        async def work(redis: Redis) -> None:
            for mark in marks:
                key = self.names.receipts(self.names.partition_of(mark.conversation_id))
                await redis.command("XADD", key, "*", MARK_FIELD, encode_mark(mark))

        self.with_redis(work)

    def bury_everything(self, partition: int) -> None:
        """As persist does with what it gives up on."""

        async def work(redis: Redis) -> None:
            leases = Leases(redis, STAGES["persist"], "worker-1", lease_ms=60_000)
            token = await leases.acquire(partition)
            assert token is not None
            owned = Partition(redis, STAGES["persist"], partition, token)
            for entry in (await owned.pending(100)).entries + (await owned.fetch(100)).entries:
                await owned.bury(entry, error="it burns\x1b[31m", first_ms=1, attempts=5)

        self.with_redis(work)

    def intents(self, partition: int) -> list[bytes]:
        """The encoded intents of a partition's stream, in order."""
        return self.entries(self.names.intents(partition))

    def marks(self, partition: int) -> list[bytes]:
        """The encoded marks of a partition's stream, in order."""
        return self.entries(self.names.receipts(partition))

    def entries(self, key: str) -> list[bytes]:
        """The first field of each entry."""

        async def work(redis: Redis) -> list[bytes]:
            rows = await redis.command("XRANGE", key, "-", "+")
            return [fields[1] for _, fields in rows]

        return self.with_redis(work)


@pytest.fixture
def deployment(settings: Settings) -> Deployment:
    return Deployment(settings)
