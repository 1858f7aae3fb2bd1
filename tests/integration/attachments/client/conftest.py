"""The SDK against a whole deployment that takes files: a gateway on a real port, and S3 behind a door that can be cut."""

import asyncio
import hashlib
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backplane.settings import Settings
from gateway.app import Gateway, make_server
from headrace_client import Api
from tests.door import Door
from tests.services import SeaweedServer, free_port

PASSWORD = "correct horse battery"
LARGE_BYTES = 20_000_000


@pytest.fixture(scope="module")
async def door(s3: SeaweedServer) -> AsyncIterator[Door]:
    async with Door.to(s3.port) as door:
        yield door


@pytest.fixture(scope="module")
def file_settings(file_settings: Settings, door: Door) -> Settings:
    """Clients come to S3 by the door; the servers do not."""
    return file_settings.model_copy(update={"s3_public_url": door.url})


@pytest.fixture(scope="module")
async def url(gateway: Gateway) -> AsyncIterator[str]:
    server = make_server(gateway.public, ())
    server.config.port = port = free_port()
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


@pytest.fixture
async def ann(url: str) -> Api:
    return await person(url)


@pytest.fixture
async def ben(url: str) -> Api:
    return await person(url)


async def person(url: str) -> Api:
    api = Api(url)
    await api.register(f"sdk-{secrets.token_hex(5)}", PASSWORD)
    return api


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`LARGE_BYTES` that look like nothing."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(b"\0" * 64 + random.Random(1).randbytes(LARGE_BYTES - 64))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


class Progress:
    """What a program was told of a transfer."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, count: int, total: int) -> None:
        self.seen.append((count, total))

    def check(self, size: int) -> None:
        """It only rose, and came to its end."""
        counts = [count for count, _ in self.seen]
        assert counts == sorted(set(counts))
        assert self.seen[-1] == (size, size)
        assert {total for _, total in self.seen} == {size}
