"""The Python SDK's REST side, where the server's answers get lost."""

import asyncio
import json

import pytest

from headrace_client import Api, Session

pytestmark = pytest.mark.anyio


async def test_refresh_whose_answer_was_lost_is_asked_for_again_while_the_server_repeats_it() -> None:
    """The first answer is cut off, the second never comes."""
    asked: list[str] = []
    first_at = 0.0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first_at
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length:")[2].split()[0])
        asked.append(json.loads(await reader.readexactly(size))["refresh_token"])
        now = asyncio.get_running_loop().time()
        first_at = first_at or now
        if len(asked) == 2:
            await reader.read()  # until the client gives up
        elif len(asked) > 2 and now - first_at <= 10:
            body = json.dumps({"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 600}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        session = Session(access_token="access-1", refresh_token="refresh-1", expires_in=0)
        api = Api(f"http://127.0.0.1:{port}", session)
        assert await api.token() == "access-2"
    assert asked == ["refresh-1"] * 3
