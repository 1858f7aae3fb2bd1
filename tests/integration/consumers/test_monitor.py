"""A consumer's own port: health and figures, from the first to the last moment of the process."""

import asyncio
import socket
import urllib.request
from urllib.error import HTTPError

import pytest

from consumers.monitor import shown
from tests.services import free_port


@pytest.mark.anyio
async def test_both_are_served_until_the_end_and_not_without_a_port() -> None:
    port = free_port()
    async with shown("127.0.0.1", port):
        status, body = await asyncio.to_thread(_get, port, "/health")
        assert (status, body) == (200, b'{"status":"ok"}')
        status, body = await asyncio.to_thread(_get, port, "/metrics")
        assert (status, b"headrace_" in body) == (200, True)
        assert (await asyncio.to_thread(_get, port, "/nothing"))[0] == 404
    async with shown("127.0.0.1", 0):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def _get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as failure:
        return failure.code, failure.read()
