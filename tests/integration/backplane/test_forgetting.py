"""Positions on a Redis that forgets: a state machine of kills, flushes, rewinds and lost keys, and never a silent gap."""

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backplane.errors import Transient
from backplane.leases import Leases
from backplane.logs import Delivery, Logs
from backplane.redis import Redis
from backplane.settings import load_settings
from backplane.streams import Partition
from schemas.ids import Position, StreamId, UserId
from schemas.stages import STAGES
from tests.conftest import redis_url
from tests.services import Server, redis_server

Answer = TypeVar("Answer")

ERA = "era-of-the-partition"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    server = redis_server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


class Reader:
    """One device: where it is, and how much of what happened it knows."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self.known = 0


class Forgetting(RuleBasedStateMachine):
    """Two users' logs under appends, repeats, and a server that is killed, flushed, rewound and loses single keys.

    The truth is the list of events whose append was definite. A reader that comes back either finds its epoch changed, and loads
    the truth; or reads on exactly what it does not know yet: nothing missing, doubled or in another order.
    """

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.settings = load_settings(
            {},
            environment="development",
            redis_url=redis_url(self.server),
            namespace=f"t{uuid.uuid4().hex[:10]}",
            partitions=1,
            shards=1,
        )
        self.users = [UserId("one"), UserId("two")]
        self.readers = {user: [Reader(), Reader()] for user in self.users}
        self.truth: list[Delivery] = []
        self.recent: list[Delivery] = []
        self.backup = self.server.folder.with_name("backup")
        self.era, self.next_id = "", 0

    @initialize()
    def begin(self) -> None:
        self.redis = self.runner.run(Redis.open(self.settings))
        self.logs = Logs(self.redis, max_entries=1000, epoch_ttl_seconds=3600)
        self.take_over()
        self.everybody_comes_back()
        self.remember()

    def teardown(self) -> None:
        self.runner.run(self.redis.close())
        self.runner.close()

    def definite(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        async def repeat() -> Answer:
            async with asyncio.timeout(20):
                while True:
                    try:
                        return await ask()
                    except Transient:
                        await asyncio.sleep(0.01)

        return self.runner.run(repeat())

    @rule()
    def take_over(self) -> None:
        """Another owner, or the same one after it noticed: a changed server under the partition renews all shards first."""

        async def fetch() -> str:
            token = await Leases(self.redis, STAGES["fanout"], "worker", lease_ms=60_000).acquire(0)
            assert token is not None
            return (await Partition(self.redis, STAGES["fanout"], 0, token).pending(1)).era

        if (era := self.definite(fetch)) != self.era:
            self.era, self.next_id, self.recent = era, 0, []  # ids may be smaller than before

    @rule(count=st.integers(1, 3), audience=st.sampled_from([0, 1, 2]))
    def append(self, count: int, audience: int) -> None:
        users = self.users if audience == 2 else [self.users[audience]]
        batch: list[Delivery] = []
        for _ in range(count):
            self.next_id += 1
            batch.append(Delivery(StreamId(self.next_id, 0), uuid.uuid4().hex.encode(), users))
        self.definite(lambda: self.logs.append(0, self.era, 0, batch))
        self.truth += batch
        self.recent = [*self.recent, *batch][-6:]

    @rule()
    def append_again(self) -> None:
        """A redelivery, or a zombie's call that lands late."""
        self.definite(lambda: self.logs.append(0, self.era, 0, self.recent))

    @rule(user=st.sampled_from([0, 1]), device=st.sampled_from([0, 1]))
    def come_back(self, user: int, device: int) -> None:
        who = self.users[user]
        reader = self.readers[who][device]
        head = self.definite(lambda: self.logs.open(who)).position
        mine = [delivery.body for delivery in self.truth if who in delivery.users]
        if reader.position is not None and reader.position.epoch == head.epoch:
            position, unread = reader.position, mine[reader.known :]
            assert position.offset <= head.offset, "a position from a future that Redis forgot passes for valid"
            entries = self.definite(lambda: self.logs.read(who, position, 1000))
            assert [entry.position.offset for entry in entries] == list(range(position.offset + 1, head.offset + 1))
            assert [entry.body for entry in entries] == unread
        reader.position, reader.known = head, len(mine)

    @rule()
    def everybody_comes_back(self) -> None:
        for user in (0, 1):
            for device in (0, 1):
                self.come_back(user, device)

    @rule()
    def remember(self) -> None:
        """A backup, or where a replica stood."""
        shutil.rmtree(self.backup, ignore_errors=True)
        shutil.copytree(self.server.folder / "appendonlydir", self.backup)

    @rule()
    def rewind(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.folder / "appendonlydir")
        shutil.copytree(self.backup, self.server.folder / "appendonlydir")
        self.server.start()

    @rule(lost=st.integers(1, 3), after=st.integers(1, 5))
    def lose_the_tail(self, lost: int, after: int) -> None:
        """A crash without the last second, and a head that grows back before anybody looks (hole A5)."""
        self.remember()
        self.append(lost, 2)
        self.everybody_comes_back()
        self.rewind()
        self.append(after, 2)

    @rule()
    def kill(self) -> None:
        self.server.restart()

    @rule()
    def flush(self) -> None:
        self.definite(lambda: self.redis.command("FLUSHALL"))

    @rule(user=st.sampled_from([0, 1]), what=st.sampled_from(["log", "epoch"]))
    def lose_a_key(self, user: int, what: str) -> None:
        self.definite(lambda: self.redis.command("DEL", self.redis.names.user(self.users[user], what)))

    @rule(user=st.sampled_from([0, 1]))
    def break_a_log(self, user: int) -> None:
        self.definite(lambda: self.redis.command("SET", self.redis.names.log(self.users[user]), "no stream"))

    @rule()
    def lose_the_connections(self) -> None:
        self.runner.run(self.redis.close())
        self.redis = self.runner.run(Redis.open(self.settings))
        self.logs = Logs(self.redis, max_entries=1000, epoch_ttl_seconds=3600)

    @invariant()
    def nobody_knows_the_future(self) -> None:
        assert all(reader.known <= len(self.truth) for readers in self.readers.values() for reader in readers)


def test_a5_b2_b4_c10_a_position_is_continued_without_a_gap_or_its_epoch_has_changed(own: Server) -> None:
    """A5, B2, B4, C10"""
    machine = type("ForgettingHere", (Forgetting,), {"server": own})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
