"""A whole deployment as real processes: Redis, the MongoDB stand-in, gateways and consumers, each of which can be killed.

Every process writes its output to a file of its own; `Stack.logs` shows their ends when a test fails.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backplane.errors import Transient
from backplane.leases import Leases
from backplane.redis import Redis
from backplane.settings import PREFIX, Settings, load_settings
from backplane.store.mongo import Store
from cli import embedded
from schemas.limits import POLICIES
from schemas.stages import STAGES
from tests.services import Server, free_port, mongodb_server, redis_server

PARTITIONS = 8
SHARDS = 4
LEASE_SECONDS = 3.0
READY_SECONDS = 40.0
STOP_SECONDS = 25.0
ROOT = Path(__file__).parents[2]

# Production's values stretch every fault over minutes; the order between them is kept.
QUICK = {
    "environment": "development",
    "log_level": "info",
    "partitions": str(PARTITIONS),
    "shards": str(SHARDS),
    "lease_seconds": str(LEASE_SECONDS),
    "mongodb_timeout_seconds": "2.5",
    "sweep_seconds": "3",
    "heartbeat_seconds": "5",
    "resync_spread_ms": "300",
    "drain_seconds": "1",
    "slow_consumer_seconds": "4",
    "access_token_seconds": "3600",
    # Counted, faults and all, but nobody is refused.
    "rate_limits": ",".join(f"{name}=1000000/60" for name in POLICIES),
}


@dataclass
class Process:
    """One process of ours. `start` does not wait: `Stack.ready` does."""

    name: str
    arguments: list[str]
    environ: dict[str, str]
    port: int
    internal_port: int
    """Of metrics."""
    output: Path
    running: subprocess.Popen[bytes] | None = field(default=None, init=False)
    began: int = field(default=0, init=False)
    """How many lines it had written in earlier lives."""

    def start(self) -> None:
        assert self.running is None, f"{self.name} runs already"
        self.began = len(self.lines()) if self.output.exists() else 0
        with self.output.open("ab") as output:
            self.running = subprocess.Popen(
                [sys.executable, *self.arguments],
                env=os.environ | self.environ,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.running = None

    def lines(self) -> list[str]:
        """What it wrote so far."""
        return self.output.read_text(errors="replace").splitlines()

    @property
    def up(self) -> bool:
        """Whether it has said that it is: from then on it leaves in order."""
        return any("gateway is up" in line or "consumers are up" in line for line in self.lines()[self.began :])

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self.running is not None
        self.send(signal.SIGTERM)
        code = await asyncio.to_thread(self.running.wait, STOP_SECONDS)
        self.running = None
        return code

    async def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """An HTTP GET to the process itself; status 0 when it does not answer."""

        def ask() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=2) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refused:
                return refused.code, refused.read().decode()
            except OSError:
                return 0, ""

        return await asyncio.to_thread(ask)


@dataclass
class Stack:
    """The deployment, and the connections of the tester to what is behind it."""

    settings: Settings
    redis_server: Server
    mongodb_server: Server
    gateways: list[Process]
    consumers: list[Process]
    redis: Redis
    store: Store
    scanners: list[Process] = field(default_factory=list)

    @property
    def processes(self) -> list[Process]:
        return [*self.gateways, *self.consumers, *self.scanners]

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{gateway.port}" for gateway in self.gateways]

    async def owners(self) -> dict[str, dict[int, str]]:
        """Stage → partition → worker, as the leases say now."""
        return {
            name: await Leases(self.redis, stage, "observer", lease_ms=1000).owners() for name, stage in STAGES.items()
        }

    async def ready(self) -> None:
        """Every gateway that runs is ready, those that scan answer, and every partition has an owner for each stage."""

        async def all_ready() -> bool:
            for process in self.gateways:
                if process.running is not None and (await process.get("/health/ready"))[0] != 200:
                    return False
            for process in self.scanners:
                if process.running is not None and (await process.get("/metrics", process.internal_port))[0] != 200:
                    return False
            return all(len(owners) == PARTITIONS for owners in (await self.owners()).values())

        await until(all_ready, READY_SECONDS, "the stack is not ready")

    async def metric(self, name: str, labels: str = "") -> float:
        """The sum over all gateways of a metric's values with these labels, as `name="value"`."""
        total = 0.0
        for gateway in self.gateways:
            _, text = await gateway.get("/metrics", gateway.internal_port)
            lines = re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", text, re.MULTILINE)
            total += sum(float(value) for found, value in lines if labels in found)
        return total

    def logs(self, lines: int = 25) -> str:
        """The end of what every process wrote."""
        parts = [
            f"--- {process.name}\n" + "\n".join(process.lines()[-lines:])
            for process in self.processes
            if process.output.exists()
        ]
        return "\n".join(parts)


@contextlib.asynccontextmanager
async def run_stack(
    folder: Path,
    *,
    gateways: int = 2,
    consumers: int = 2,
    scanners: int = 0,
    redis: Server | None = None,
    mongodb: Server | None = None,
    of_kind: Mapping[str, Mapping[str, str]] | None = None,
    stages: Sequence[str] = tuple(STAGES),
    launch: Sequence[str] = ("-m",),
    **overrides: str,
) -> AsyncGenerator[Stack]:
    """Start everything, wait until it is ready, and tear it down whatever happened.

    Args:
        folder: an empty one, for data and output.
        gateways: how many.
        consumers: how many processes, each with all stages that have partitions.
        scanners: how many processes, each with the scan stage alone.
        redis: the server, not started yet; a plain one if not given.
        mongodb: the same.
        of_kind: settings of the gateways (`gateway`) or of the consumers alone.
        stages: what each process of consumers runs.
        launch: Python's arguments before the name of the module.
        overrides: settings by name, beside `QUICK`; the tester's connections have them too.
    """
    redis = redis or redis_server(folder / "redis")
    mongodb = mongodb or mongodb_server(folder / "mongodb")
    values = QUICK | {
        "redis_url": f"redis://127.0.0.1:{redis.port}/0",
        "mongodb_url": embedded.mongodb_stand_in_url(mongodb.port),
        "signing_key": signing_key(),
        **overrides,
    }
    environ = {PREFIX + name.upper(): value for name, value in values.items()}
    settings = load_settings(environ)
    processes: list[Process] = []

    def process(kind: str, number: int, *arguments: str) -> Process:
        port, internal_port = free_port(), free_port()
        ports = {"PORT": port, "INTERNAL_PORT": internal_port} if kind == "gateway" else {"METRICS_PORT": internal_port}
        made = Process(
            f"{kind}-{number}",
            [*launch, kind, *arguments],
            environ
            | {PREFIX + name.upper(): value for name, value in (of_kind or {}).get(kind, {}).items()}
            | {PREFIX + name: str(value) for name, value in ports.items()},
            port,
            internal_port,
            folder / f"{kind}-{number}.log",
        )
        processes.append(made)
        return made

    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.callback(lambda: [one.kill() for one in (*processes, redis, mongodb)])
        redis.start()
        mongodb.start()
        store = await Store.open(settings)
        cleanup.push_async_callback(store.close)
        await until(lambda: _migrated(store, settings), READY_SECONDS, "the database can not be migrated")
        client = await Redis.open(settings)
        cleanup.push_async_callback(client.close)
        stack = Stack(
            settings,
            redis,
            mongodb,
            [process("gateway", n) for n in range(gateways)],
            [process("consumers", n, "--stages", ",".join(stages)) for n in range(consumers)],
            client,
            store,
            [process("consumers", n, "--stages", "scan") for n in range(consumers, consumers + scanners)],
        )
        for one in processes:
            one.start()
        try:
            await stack.ready()
            yield stack
        except BaseException:
            sys.stderr.write(stack.logs())
            raise


async def _migrated(store: Store, settings: Settings) -> bool:
    await store.migrate(settings.names)
    return True


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float, what: str, *, interval_seconds: float = 0.1
) -> None:
    """Poll until a condition holds; while something is away, it does not.

    Raises:
        TimeoutError: it did not hold in time; says `what`.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Transient):
            if await condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} after {seconds} s")
        await asyncio.sleep(interval_seconds)


def signing_key() -> str:
    """A fresh key, shared by the gateways of a stack."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
