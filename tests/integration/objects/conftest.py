"""One S3 server a session, with two buckets; and servers that tests may kill."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backplane.objects.s3 import Objects
from backplane.settings import Settings
from tests.objects import opened, settings_for, when_it_serves
from tests.services import SeaweedServer, Server, seaweedfs_server


@pytest.fixture(scope="session")
def s3_settings(s3: Server) -> Settings:
    settings = settings_for(s3, allowed_origins="https://chat.example")

    async def prepare() -> None:
        async with opened(settings) as objects:
            await when_it_serves(objects)

    asyncio.run(prepare())
    return settings


@pytest.fixture
async def objects(s3_settings: Settings) -> AsyncIterator[Objects]:
    async with opened(s3_settings) as objects:
        yield objects


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[SeaweedServer]:
    """A server of this test's own, to be stopped and killed."""
    server = seaweedfs_server(tmp_path / "s3")
    server.start()
    yield server
    server.kill()
