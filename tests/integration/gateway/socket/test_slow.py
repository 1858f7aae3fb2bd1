"""A client that does not read costs a bounded amount of memory, loses nothing, and is closed in the end."""

import asyncio
import socket
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.integration.gateway.socket.conftest import with_limits
from tests.integration.gateway.socket.rig import SUBPROTOCOL, Client, Rig, until

pytestmark = pytest.mark.anyio
EVENTS, SIZE = 6000, 3000
CLIENT_BUFFER = 1 << 16


async def lazy(rig: Rig, user: str) -> Client:
    """A client whose kernel takes little, and whose library reads only when asked."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CLIENT_BUFFER)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", rig.port))
    ws = await connect(rig.url, sock=raw, subprotocols=[SUBPROTOCOL], compression=None, max_queue=1, close_timeout=0.5)
    client = Client(ws)
    await client.say("connect", token=rig.token(user))
    await client.hear("connected")
    return client


@with_limits(log_max_entries=100_000, heartbeat_seconds=60)
async def test_a_slow_reader_costs_a_bound_and_gets_everything_once_it_reads(rig: Rig):
    slow = await lazy(rig, "ann")
    quick, _ = await rig.connected("bob")
    most = 0
    for _ in range(EVENTS // 500):
        await rig.append("ann", 500, size=SIZE)
        most = max(most, rig.hub.waiting_bytes)
        await rig.append("bob")
    assert await quick.events(EVENTS // 500) == list(range(1, EVENTS // 500 + 1)), "a neighbour is not held up"
    # 18 MB rang. Two buffers (ours and the transport's) and one page may wait.
    assert 0 < most < 600_000
    assert await slow.events(EVENTS, seconds=60) == list(range(1, EVENTS + 1))
    await rig.append("ann")
    assert await slow.events(1) == [EVENTS + 1]
    await slow.socket.close()


@with_limits(slow_consumer_seconds=0.5, heartbeat_seconds=60)
async def test_a_client_that_never_reads_is_aborted(rig: Rig):
    slow = await lazy(rig, "ann")
    neighbour, _ = await rig.connected("ann")
    began = time.monotonic()
    reading = asyncio.create_task(neighbour.events(2000, seconds=60))
    for _ in range(4):
        await rig.append("ann", 500, size=SIZE)
    assert await reading == list(range(1, 2001))
    await until(lambda: len(rig.hub) == 1, seconds=30)
    await until(lambda: rig.transports == 1, seconds=30)
    assert time.monotonic() - began < 30
    # What its kernel holds is still whole frames in order; then the socket ends.
    seen: list[int] = []
    with pytest.raises(ConnectionClosed):
        await read_into(seen, slow)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) < 2000


async def read_into(offsets: list[int], client: Client) -> None:
    while True:
        offsets += await client.events(1)


@with_limits(slow_consumer_seconds=0.5, heartbeat_seconds=60)
async def test_a_client_that_asks_and_never_reads_is_not_answered_without_bound(rig: Rig):
    slow = await lazy(rig, "ann")
    start = await rig.head("ann")
    await rig.append("ann", 100, size=SIZE)
    most = 0

    async def ask_for_ever() -> None:
        nonlocal most
        while True:
            await slow.say("sync", after=start, limit=100)  # 40 bytes that ask for 300 KB
            await asyncio.sleep(0)
            most = max(most, rig.hub.waiting_bytes)

    asking = asyncio.create_task(ask_for_ever())
    await until(lambda: len(rig.hub) == 0, seconds=30)
    asking.cancel()
    await asyncio.wait([asking])
    assert 0 < most < 1_500_000
