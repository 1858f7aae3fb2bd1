"""A slot of a real Redis Cluster moves under our feet: what is refused was not done, and is done later, once and in order (hole C1).

We speak to one server, not to a cluster; but whoever puts a cluster behind the address meets these answers, so they are Redis' own here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backplane.errors import Transient, Unknown
from backplane.grants import Grants
from backplane.logs import Delivery, Logs
from backplane.redis import Redis
from backplane.settings import load_settings
from backplane.store.conversations import StoredMember
from backplane.streams import Entry
from consumers.fanout import Fact, Fanout
from consumers.stages import Work
from schemas.events import EventHeader, encode_header
from schemas.ids import ConversationId, Position, StreamId, UserId
from schemas.names import BODY_FIELD, HEADER_FIELD
from tests.conftest import redis_url
from tests.services import Server, free_port, redis_server

pytestmark = pytest.mark.anyio

CONNECTED, ABSENT = UserId("connected"), UserId("absent")
"""One of them has a log. A call that names both is what a moving slot can not answer."""
BOTH = (CONNECTED, ABSENT)


class Node:
    """One server of a cluster, asked without any of our own greetings."""

    def __init__(self, server: Server, **settings: bool) -> None:
        self.server = server
        self.redis = Redis(
            load_settings(
                {}, environment="development", redis_url=redis_url(server), shards=1, partitions=1, **settings
            )
        )
        self._connection = self.redis.plain_connection()
        self.id = ""

    async def ask(self, *words: str | int) -> Any:
        (reply,) = await self._connection.exchange([words], 5)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def ask_until(self, wanted: bytes, *words: str | int) -> None:
        async with asyncio.timeout(30):
            while wanted not in await self.ask(*words):  # noqa: ASYNC110  what is polled is the outside world
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self._connection.close()
        await self.redis.close()


class Cluster:
    """Two servers; the first has every slot, until one is moved."""

    def __init__(self, old: Node, new: Node) -> None:
        self.old, self.new, self.slot = old, new, -1

    async def form(self) -> None:
        for node in (self.old, self.new):
            node.id = (await node.ask("CLUSTER", "MYID")).decode()
        await self.old.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await self.old.ask("CLUSTER", "MEET", "127.0.0.1", self.new.server.port, self.bus_port(self.new))
        for node in (self.old, self.new):
            await node.ask_until(b"cluster_state:ok", "CLUSTER", "INFO")
            await node.ask_until(b"cluster_known_nodes:2", "CLUSTER", "INFO")
        names = self.old.redis.names
        self.slot = await self.old.ask("CLUSTER", "KEYSLOT", names.log(CONNECTED))

    @staticmethod
    def bus_port(node: Node) -> int:
        command = node.server.command(node.server.folder, node.server.port)
        return int(command[command.index("--cluster-port") + 1])

    async def begin_to_move(self) -> None:
        await self.new.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.old.id)
        await self.old.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.new.id)

    async def leave_it(self) -> None:
        for node in (self.old, self.new):
            await node.ask("CLUSTER", "SETSLOT", self.slot, "STABLE")

    async def move_the_keys(self) -> None:
        keys = await self.old.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 100)
        port = self.new.server.port
        await self.old.ask("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *(key.decode() for key in keys))

    async def end_the_move(self) -> None:
        for node in (self.new, self.old):
            await node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", self.new.id)


def in_cluster_mode(command: Callable[[Path, int], list[str]], bus: int) -> Callable[[Path, int], list[str]]:
    return lambda folder, port: [
        *command(folder, port),
        *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
    ]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    servers = [redis_server(tmp_path / name) for name in ("old", "new")]
    for server in servers:
        server.command = in_cluster_mode(server.command, free_port())
        server.start()
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
async def cluster(servers: list[Server]) -> AsyncIterator[Cluster]:
    cluster = Cluster(Node(servers[0]), Node(servers[1]))
    await cluster.form()
    yield cluster
    await cluster.old.close()
    await cluster.new.close()


def logs_of(node: Node) -> Logs:
    return Logs(node.redis, max_entries=1000, epoch_ttl_seconds=3600)


def event(number: int) -> Delivery:
    return Delivery(StreamId(number, 0), b"event %d" % number, BOTH)


async def held(logs: Logs, epoch: int) -> list[tuple[int, bytes]]:
    return [(one.position.offset, one.body) for one in await logs.read(CONNECTED, Position(epoch, 0), 100)]


@pytest.mark.parametrize("lossless", [False, True])
async def test_an_append_to_a_slot_that_moves_is_refused_whole_and_done_once_when_it_has_moved(
    cluster: Cluster, lossless: bool
) -> None:
    """C1: unless it is said that nothing is ever forgotten, another server means a resync, as after any failover (hole A5)."""
    logs = logs_of(cluster.old)
    epoch = (await logs.open(CONNECTED)).position.epoch
    assert await logs.append(0, "era", 0, [event(1)]) == 1
    await cluster.begin_to_move()
    for _ in range(3):
        with pytest.raises(Transient, match="TRYAGAIN") as caught:
            await logs.append(0, "era", 0, [event(2), event(3)])
        assert not isinstance(caught.value, Unknown)
        assert await held(logs, epoch) == [(1, b"event 1")]
    await cluster.move_the_keys()
    with pytest.raises(Transient, match="ASK"):
        await logs.append(0, "era", 0, [event(2), event(3)])
    await cluster.end_the_move()
    with pytest.raises(Transient, match="MOVED"):
        await logs.append(0, "era", 0, [event(2), event(3)])
    there = Node(cluster.new.server, redis_lossless_restart=lossless)
    moved = logs_of(there)
    if not lossless:
        assert await moved.append(0, "era", 0, [event(2), event(3)]) == 0
        assert await moved.heads([CONNECTED]) == [None]
        assert (await moved.open(CONNECTED)).position.epoch != epoch
        await there.close()
        return
    assert await moved.append(0, "era", 0, [event(2), event(3)]) == 2
    assert await moved.append(0, "era", 0, [event(1), event(2), event(3)]) == 0
    assert await held(moved, epoch) == [(1, b"event 1"), (2, b"event 2"), (3, b"event 3")]
    await there.close()


async def test_fanout_waits_for_a_slot_that_moves_and_passes_nothing_over(cluster: Cluster) -> None:
    """C1"""
    logs = logs_of(cluster.old)
    epoch = (await logs.open(CONNECTED)).position.epoch
    around = Around()
    fanout = Fanout(
        cluster.old.redis.names,
        0,
        around,
        logs=logs,
        grants=Grants(cluster.old.redis),
        conversations=around,
        skip_seconds=60,
    )
    await fanout.handle("era", [work(1)])
    await cluster.begin_to_move()
    handling = asyncio.create_task(fanout.handle("era", [work(2), work(3)]))
    while around.pauses < 3:  # noqa: ASYNC110  it is refused, again and again
        await asyncio.sleep(0.01)
    assert await held(logs, epoch) == [(1, b"event 1")]
    await cluster.leave_it()
    await handling
    assert await held(logs, epoch) == [(1, b"event 1"), (2, b"event 2"), (3, b"event 3")]
    assert await logs.skipped_shards(0) == set()


class Around:
    """The claim and the members."""

    alive = True
    pauses = 0

    async def confirm(self) -> None: ...

    def trouble(self) -> None: ...

    async def pause(self, seconds: float) -> None:
        self.pauses += 1
        await asyncio.sleep(min(seconds, 0.02))

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        return {
            key: [
                StoredMember(conversation_id=key, user_id=user, role="member", rev=1, spans=((1, None),))
                for user in BOTH
            ]
            for key in ids
        }


def work(number: int) -> Work[Fact]:
    header = EventHeader("message.created", f"e{number}", ConversationId("room"), number, 0)
    body = b"event %d" % number
    return Work(Entry(StreamId(number, 0), {HEADER_FIELD: encode_header(header), BODY_FIELD: body}), Fact(header, body))
