"""Redis with the users of `deploy/redis/users.acl`: what nobody of ours needs is refused to all of them."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backplane.errors import Permanent, Transient
from backplane.redis import Redis
from backplane.settings import load_settings
from cli import embedded
from tests.integration.deploy.servers import CONSUMERS, GATEWAY, OPS, password, redis_url, redis_with_users
from tests.services import Server, free_port
from tests.unit.deploy.acl import PATH

pytestmark = pytest.mark.anyio

REFUSED = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("DEBUG", "SLEEP", "0"),
    ("SHUTDOWN",),
    ("MONITOR",),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("ACL", "LIST"),
    ("EVAL", "return 1", "0"),
    ("FUNCTION", "FLUSH"),
    ("FUNCTION", "DELETE", "hr1_settle"),
    ("CLIENT", "LIST"),
    ("GET", "other:{p0}:intents"),
    ("GET", "hr2:{p0}:intents"),
    ("XADD", "other:{p0}:intents", "*", "i", "x"),
    ("SPUBLISH", "other:{u0}:ada:log", "x"),
    ("SSUBSCRIBE", "other:{u0}:ada:log"),
)
ALONE = {
    GATEWAY: [("XREADGROUP", "GROUP", "persist", "owner", "STREAMS", "hr:{p0}:intents", ">"), ("XTRIM", "hr:{p0}:intents", "MAXLEN", "0")],
    CONSUMERS: [("SSUBSCRIBE", "hr:{u0}:ada:log"), ("XDEL", "hr:{p0}:intents", "1-0")],
    OPS: [("XACK", "hr:{p0}:intents", "persist", "1-0"), ("SSUBSCRIBE", "hr:{u0}:ada:log")],
}  # fmt: skip
"""What others of ours may."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = redis_with_users(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@contextlib.asynccontextmanager
async def connected(url: str, **settings: object) -> AsyncIterator[Redis]:
    redis = await Redis.open(load_settings({}, environment="development", redis_url=url, **settings))
    try:
        yield redis
    finally:
        await redis.close()


@pytest.mark.parametrize("user", [GATEWAY, CONSUMERS, OPS])
async def test_dangerous_commands_and_other_namespaces_are_refused(server: Server, user: str) -> None:
    commands = [*REFUSED, *ALONE[user]]
    async with connected(redis_url(server, user)) as redis:
        assert await redis.ping() > 0
        replies = await redis.pipeline(commands)
    for command, reply in zip(commands, replies, strict=True):
        assert isinstance(reply, Permanent), command
        assert "permission" in str(reply), command


@pytest.mark.parametrize("user", [GATEWAY, CONSUMERS, OPS])
async def test_a_process_with_another_namespace_gets_nowhere(server: Server, user: str) -> None:
    async with connected(redis_url(server, user), namespace="other") as redis:
        with pytest.raises(Permanent, match="permission"):
            await redis.ping()


async def test_nobody_gets_in_without_a_password_or_with_anothers(server: Server) -> None:
    plain = f"redis://127.0.0.1:{server.port}/0"
    for url in (plain, f"redis://{GATEWAY}:{password(OPS)}@127.0.0.1:{server.port}/0"):
        async with connected(url) as redis:
            with pytest.raises((Permanent, Transient)):
                await redis.ping()


def test_the_file_as_it_is_shipped_is_refused_until_its_passwords_are_replaced(tmp_path: Path) -> None:
    program = embedded.redis_program()
    assert program is not None
    command = [*embedded.redis_command(program, tmp_path, free_port()), "--aclfile", str(PATH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    assert "password hash" in done.stdout
