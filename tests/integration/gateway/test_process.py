"""`python -m gateway` as an operator meets it: exit codes, readiness, the orderly end."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backplane.settings import Settings, load_settings
from backplane.store.mongo import Store
from tests.conftest import mongodb_url, redis_url
from tests.services import Server, free_port, mongodb_server, redis_server

ROOT = Path(__file__).parents[3]
PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
OPS_TOKEN = uuid.uuid4().hex + uuid.uuid4().hex
DRAIN_SECONDS = 2

Start = Callable[..., "Process"]


class Process:
    """One gateway process and its public port."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = int(environment.get("HEADRACE_PORT", "0")) or free_port()
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "gateway"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HEADRACE_PORT": str(self.port)} | environment,
                stdout=output,
                stderr=subprocess.PIPE,
            )

    def get(self, path: str, port: int | None = None, **headers: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{port or self.port}{path}", headers=headers, timeout=10)

    def until(self, path: str, status: int, seconds: float = 30, *, saying: str = "") -> httpx2.Response:
        deadline = time.monotonic() + seconds
        answer = None
        while time.monotonic() < deadline:
            assert self.popen.poll() is None, self.end()
            try:
                answer = self.get(path)
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code == status and saying in answer.text:
                return answer
            time.sleep(0.05)
        raise AssertionError(
            f"{path} did not answer {status}: {answer and answer.text}\n{self.log.read_text()[-3000:]}"
        )

    def end(self, seconds: float = 30) -> tuple[int, str]:
        """Exit code and standard error."""
        _, error = self.popen.communicate(timeout=seconds)
        return self.popen.returncode, error.decode()


def environment(redis: Server, mongodb: Server, **more: str) -> dict[str, str]:
    name = f"t{uuid.uuid4().hex[:10]}"
    return {
        "HEADRACE_REDIS_URL": redis_url(redis),
        "HEADRACE_MONGODB_URL": mongodb_url(mongodb),
        "HEADRACE_MONGODB_DATABASE": name,
        "HEADRACE_NAMESPACE": name,
        "HEADRACE_PARTITIONS": "4",
        "HEADRACE_SHARDS": "4",
        "HEADRACE_SIGNING_KEY": PEM,
        "HEADRACE_OPS_TOKEN": OPS_TOKEN,
        "HEADRACE_DRAIN_SECONDS": str(DRAIN_SECONDS),
    } | more


async def migrate(settings: Settings) -> None:
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()


def born(settings: Settings) -> dict[str, str]:
    """What the environment must say to fit a deployment born with these settings."""
    return {"HEADRACE_MONGODB_DATABASE": settings.mongodb_database, "HEADRACE_NAMESPACE": settings.namespace}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[Process] = []

    def start(environment: dict[str, str]) -> Process:
        processes.append(Process(environment, tmp_path / f"{len(processes)}.log"))
        return processes[-1]

    yield start
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.communicate()


def test_wrong_settings_are_all_said_at_once(start: Start) -> None:
    process = start({"HEADRACE_PARTITIONS": "0", "HEADRACE_SHARDS": "many", "HEADRACE_PORT": "70000"})
    exit_code, error = process.end()
    assert exit_code == 2
    for variable in ("HEADRACE_PARTITIONS", "HEADRACE_SHARDS", "HEADRACE_PORT"):
        assert variable in error
    assert "Traceback" not in error


def test_production_needs_a_signing_key_and_a_right_one(start: Start, redis: Server, mongodb: Server) -> None:
    for key in ("", "not a key"):
        exit_code, error = start(environment(redis, mongodb, HEADRACE_SIGNING_KEY=key)).end()
        assert exit_code == 2
        assert "HEADRACE_SIGNING_KEY" in error
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("HEADRACE_REDIS_URL", "rediss://a:pass/word@127.0.0.1/0"),
        ("HEADRACE_REDIS_URL", "rediss://127.0.0.1/0?ssl_ca_certs=/none.pem"),
        ("HEADRACE_MONGODB_URL", "mongodb://a:pass/word@127.0.0.1/"),
        ("HEADRACE_MONGODB_URL", "mongodb://127.0.0.1/?tls=true&tlsCAFile=/none.pem"),
    ],
)
def test_a_url_that_can_not_be_used_is_said_without_its_password(
    start: Start, redis: Server, mongodb: Server, variable: str, url: str
) -> None:
    exit_code, error = start(environment(redis, mongodb) | {variable: url}).end()
    assert (exit_code, error.count("\n")) == (2, 1), error
    assert variable in error
    assert "word@" not in error


@pytest.mark.anyio
async def test_a_migration_is_waited_for_and_another_layout_is_refused(
    start: Start, settings: Settings, redis: Server, mongodb: Server
) -> None:
    """C18"""
    early = start(environment(redis, mongodb, **born(settings)))
    early.until("/health/ready", 503, saying="headrace migrate")
    await migrate(settings)
    early.until("/health/ready", 200)
    exit_code, error = start(environment(redis, mongodb, **born(settings), HEADRACE_PARTITIONS="8")).end()
    assert (exit_code, error.count("\n")) == (1, 1)
    assert "8 partitions" in error


def test_a_taken_port_is_said(start: Start, redis: Server, mongodb: Server) -> None:
    exit_code, error = start(environment(redis, mongodb, HEADRACE_PORT=str(redis.port))).end()
    assert exit_code == 1
    assert "Traceback" not in error


@pytest.mark.anyio
async def test_health_and_metrics_show_details_only_to_operators(
    start: Start, settings: Settings, redis: Server, mongodb: Server
) -> None:
    await migrate(settings)
    internal = free_port()
    process = start(environment(redis, mongodb, **born(settings), HEADRACE_INTERNAL_PORT=str(internal)))
    process.until("/health/ready", 200)
    assert process.get("/health").json() == {"status": "ok", "reasons": []}
    for path in ("/health/detailed", "/metrics"):
        assert process.get(path).status_code == 401
        assert process.get(path, Authorization="Bearer wrong").status_code == 401
        assert process.get(path, port=internal).status_code == 200
    allowed = process.get("/health/detailed", Authorization=f"Bearer {OPS_TOKEN}").json()
    assert (allowed["status"], set(allowed["dependencies"])) == ("ready", {"redis", "mongodb"})
    assert allowed["streams"]["dead_entries"] == 0
    assert allowed["streams"]["stages"]["persist"] == {"owners": {}, "unowned": settings.partitions}
    metrics = process.get("/metrics", Authorization=f"Bearer {OPS_TOKEN}").text
    assert 'headrace_dependency_up{name="redis"} 1.0' in metrics
    assert "headrace_stream_lag_entries{" in metrics
    assert "server" not in process.get("/health").headers


def wait_for_exit(process: Process) -> tuple[int, str]:
    """SIGTERM, and an end within the promised time."""
    process.popen.send_signal(signal.SIGTERM)
    return process.end(DRAIN_SECONDS + 5)


@pytest.mark.anyio
async def test_readiness_follows_redis_and_mongodb(start: Start, settings: Settings, tmp_path: Path) -> None:
    """It serves while they are away, and needs no restart when they come, go and come again."""
    redis, mongodb = redis_server(tmp_path / "redis"), mongodb_server(tmp_path / "mongodb")
    mongodb.start()
    await migrate(
        load_settings(
            {},
            environment="development",
            mongodb_url=mongodb_url(mongodb),
            mongodb_database=settings.mongodb_database,
            namespace=settings.namespace,
            partitions=4,
            shards=4,
        )
    )
    mongodb.kill()  # migrated first: a gateway that finds a database without its indexes refuses to serve
    process = start(environment(redis, mongodb, **born(settings)))
    try:
        reasons = process.until("/health/ready", 503).json()["reasons"]
        assert {"redis is away", "mongodb is away"} <= set(reasons)
        assert process.get("/health").status_code == 200
        login = {"username": "a", "password": "b"}
        answer = httpx2.post(f"http://127.0.0.1:{process.port}/api/auth/login", json=login, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        mongodb.start()
        redis.start()
        process.until("/health/ready", 200)
        redis.kill()
        assert process.until("/health/ready", 503).json()["reasons"] == ["redis is away"]
        redis.start()
        process.until("/health/ready", 200)
        assert wait_for_exit(process) == (0, "")
    finally:
        redis.kill()
        mongodb.kill()


async def frames(socket: websockets.ClientConnection) -> AsyncIterator[dict]:
    """Everything until the close, whatever its code."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            yield msgspec.json.decode(await socket.recv())


@pytest.mark.anyio
async def test_a_leaving_gateway_says_goodbye_to_sockets_and_polls(
    start: Start, settings: Settings, redis: Server, mongodb: Server
) -> None:
    await migrate(settings)
    process = start(environment(redis, mongodb, **born(settings)))
    process.until("/health/ready", 200)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{process.port}", timeout=30) as http:
        account = {"username": "alice", "password": "correct horse"}
        token = (await http.post("/api/auth/register", json=account)).json()["access_token"]
        authorization = {"Authorization": f"Bearer {token}"}
        position = (await http.get("/api/sync", headers=authorization)).json()["position"]
        query = {"after": position, "wait": 25}
        polling = asyncio.create_task(http.get("/api/events", params=query, headers=authorization))
        async with websockets.connect(f"ws://127.0.0.1:{process.port}/ws", subprotocols=["headrace.v1"]) as socket:
            await socket.send(msgspec.json.encode({"type": "connect", "token": token}).decode())
            assert msgspec.json.decode(await socket.recv())["type"] == "connected"
            process.popen.send_signal(signal.SIGTERM)
            assert [frame["type"] async for frame in frames(socket)][-1] == "disconnect"
            assert socket.close_code == 4005
        answer = await polling
        assert (answer.status_code, answer.json()["events"]) == (200, [])
    assert process.end(DRAIN_SECONDS + 5) == (0, "")


def test_it_leaves_in_time_though_everything_is_away(start: Start, tmp_path: Path) -> None:
    redis, mongodb = redis_server(tmp_path / "redis"), mongodb_server(tmp_path / "mongodb")
    process = start(environment(redis, mongodb))
    process.until("/health", 200)
    assert wait_for_exit(process) == (0, "")
