"""Fixtures: one Redis, one MongoDB-wire server and one S3 server a session, and settings that keep every test in a namespace of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from backplane.settings import Settings, load_settings
from cli import embedded
from tests.services import SeaweedServer, Server, mongodb_server, redis_server, seaweedfs_server

FIRST = ("system", "browser")
"""Where the slowest files are: begun first, none of them is left to one worker when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(folders).parts[0] not in FIRST)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = redis_server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = mongodb_server(tmp_path_factory.mktemp("mongodb"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    server = seaweedfs_server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


def mongodb_url(server: Server) -> str:
    return embedded.mongodb_stand_in_url(server.port)


def redis_url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def redis_settings(redis: Server) -> Settings:
    """Settings with a real Redis; MongoDB is not started."""
    return load_settings(
        {},
        environment="development",
        rate_limits="off",
        redis_url=redis_url(redis),
        namespace=f"t{uuid.uuid4().hex[:10]}",
        partitions=4,
        shards=4,
    )


@pytest.fixture
def settings(redis: Server, mongodb: Server) -> Settings:
    """Settings with a real Redis and a real MongoDB-wire server, in a namespace and database of this test's own."""
    name = f"t{uuid.uuid4().hex[:10]}"
    return load_settings(
        {},
        environment="development",
        rate_limits="off",
        redis_url=redis_url(redis),
        mongodb_url=mongodb_url(mongodb),
        mongodb_database=name,
        namespace=name,
        partitions=4,
        shards=4,
    )
