"""The abusive side of `test_flood.py`, in a process of its own: `python -m tests.system.flooder HOST:PORT TOKEN SECONDS`.

Prints one JSON object: how its connections were closed, and what its logins were answered.
"""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LOGINS = 5000
HALF_OPEN = 500
FRAMES_A_SECOND = 1000


def socket_of(address: str):
    # It reads what it is told, else it would not hear why it is sent away.
    return connect(f"ws://{address}/ws", subprotocols=["headrace.v1"], max_queue=None, ping_interval=None)


async def flood_frames(address: str, token: str, until: float) -> Counter[int]:
    """1 000 frames a second from one person, who comes again at once when they are sent away."""
    closed: Counter[int] = Counter()
    frame = msgspec.json.encode({"type": "watch", "id": 1, "conversation_id": str(uuid.uuid4())}).decode()
    while time.monotonic() < until:
        try:
            async with socket_of(address) as socket:
                await socket.send(msgspec.json.encode({"type": "connect", "token": token, "client": {}}).decode())
                while time.monotonic() < until:
                    for _ in range(FRAMES_A_SECOND // 50):
                        await socket.send(frame)
                    await asyncio.sleep(0.02)
        except ConnectionClosed as gone:
            closed[gone.rcvd.code if gone.rcvd else 1006] += 1
    return closed


async def storm_logins(address: str) -> Counter[int]:
    """5 000 passwords on 20 connections, as fast as they are answered."""
    host, _, port = address.partition(":")
    statuses: Counter[int] = Counter()

    async def some(numbers: range) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            body = msgspec.json.encode({"username": f"victim-{number % 7}", "password": "a guess"})
            head = f"POST /api/auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            statuses[int(answer.split()[1])] += 1
            await reader.readexactly(int(answer.partition("content-length: ")[2].split()[0]))
        writer.close()

    await asyncio.gather(*(some(range(start, LOGINS, 20)) for start in range(20)))
    return statuses


@contextlib.asynccontextmanager
async def half_open(address: str) -> AsyncIterator[None]:
    """500 sockets that say nothing: half of them no request, half of them no `connect`."""
    host, _, port = address.partition(":")
    async with contextlib.AsyncExitStack() as held:
        for number in range(HALF_OPEN):
            if number % 2:
                _, writer = await asyncio.open_connection(host, int(port))
                held.callback(writer.close)
            else:
                await held.enter_async_context(socket_of(address))
        yield


async def main(address: str, token: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    async with half_open(address):
        closed, statuses = await asyncio.gather(flood_frames(address, token, until), storm_logins(address))
    print(json.dumps({"closed": closed, "logins": statuses}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
