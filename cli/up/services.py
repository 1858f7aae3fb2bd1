"""Redis and MongoDB: given by a URL in the settings, found on PATH, or embedded; in this order."""

import asyncio
import contextlib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from backplane.errors import Transient
from backplane.redis import Redis
from backplane.settings import PREFIX, Settings, load_settings
from backplane.store import replica_set
from backplane.store.mongo import Store
from cli import embedded
from cli.failures import Failure, Unreachable
from cli.up.child import Probe, Spec
from cli.up.folder import DataFolder
from cli.up.ports import LOCALHOST, choose

REDIS_URL: Final = PREFIX + "REDIS_URL"
MONGODB_URL: Final = PREFIX + "MONGODB_URL"
INSTALL: Final = "install the embedded services: pip install 'headrace[embedded]'"


class Service(NamedTuple):
    """An outside system: where it is, where it came from, and how to run it if that is ours to do."""

    name: str
    url: str
    origin: str
    spec: Spec | None = None

    @property
    def shown_url(self) -> str:
        """The URL without credentials."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def given(environ: Mapping[str, str], variable: str) -> str | None:
    """A setting's value, from the variable or from the file that it names."""
    if path := environ.get(f"{variable}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as failure:
            raise Failure(f"{variable}_FILE: {path} can not be read ({failure.strerror})") from failure
    return environ.get(variable)


def redis(environ: Mapping[str, str], folder: DataFolder) -> Service:
    """The Redis to use.

    Raises:
        Failure: there is none.
    """
    if url := given(environ, REDIS_URL):
        return Service("redis", url, f"given by {REDIS_URL}")
    program = _chosen(folder, "redis") or embedded.redis_program()
    if program is None:
        raise Failure(f"no Redis or Valkey of version {embedded.MIN_MAJOR} or later; {INSTALL}")
    folder.choose("redis", str(program))
    port = _port(folder, "redis")
    command = embedded.redis_command(program, folder.sub("redis"), port)
    spec = Spec("redis", tuple(command), folder.sub("redis"), redis_answers(port))
    return Service("redis", f"redis://{LOCALHOST}:{port}/0", _origin(program), spec)


def mongodb(environ: Mapping[str, str], folder: DataFolder) -> Service:
    """The MongoDB to use.

    Raises:
        Failure: there is none.
    """
    if url := given(environ, MONGODB_URL):
        return Service("mongodb", url, f"given by {MONGODB_URL}")
    program = _chosen(folder, "mongodb") or embedded.mongod_program() or embedded.mongodb_stand_in()
    if program is None:
        raise Failure(f"no MongoDB of version {embedded.MIN_MAJOR} or later, and no stand-in; {INSTALL}")
    folder.choose("mongodb", str(program))
    port = _port(folder, "mongodb")
    real = program.name == "mongod"
    # A folder for each kind: neither can read what the other wrote.
    data = folder.sub("mongodb" if real else "mongodb-stand-in")
    make = embedded.mongod_command if real else embedded.mongodb_stand_in_command
    url = f"mongodb://{LOCALHOST}:{port}/?directConnection=true"
    probe = mongodb_answers(url, port, initiate=real)
    spec = Spec("mongodb", tuple(make(program, data, port)), data, probe, ready_seconds=60.0)
    return Service("mongodb", url, _origin(program) + ("" if real else ", a stand-in for development"), spec)


def redis_answers(port: int) -> Probe:
    """Whether Redis answers PING; while it loads its data it does not."""

    async def ready() -> bool:
        reader, writer = await asyncio.open_connection(LOCALHOST, port)
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        finally:
            writer.close()

    return ready


def mongodb_answers(url: str, port: int, *, initiate: bool) -> Probe:
    """Whether MongoDB takes commands; a fresh `mongod` is made a replica set of one on the way."""

    async def ready() -> bool:
        _, writer = await asyncio.open_connection(LOCALHOST, port)
        writer.close()
        if initiate and not await replica_set.initiate(url, f"{LOCALHOST}:{port}"):
            return False
        store = await Store.open(load_settings({}, environment="development", mongodb_url=url))
        try:
            await store.ping()
        except Transient:
            return False
        finally:
            await store.close()
        return True

    return ready


async def check_given(environ: Mapping[str, str], settings: Settings) -> None:
    """Say which of the services that the user's environment names does not answer.

    Raises:
        Unreachable: one does not.
    """
    if given(environ, REDIS_URL):
        redis = await Redis.open(settings)
        with _unreachable("Redis", REDIS_URL):
            await redis.ping()
        await redis.close()
    if given(environ, MONGODB_URL):
        store = await Store.open(settings)
        with _unreachable("MongoDB", MONGODB_URL):
            await store.ping()
        await store.close()


@contextlib.contextmanager
def _unreachable(name: str, variable: str) -> Generator[None]:
    try:
        yield
    except Transient as failure:
        raise Unreachable(f"{name}, as {variable} names it, does not answer: {failure}") from failure


def _chosen(folder: DataFolder, name: str) -> Path | None:
    """The program that made this folder's data, while it is there: another one may not be able to read them."""
    path = folder.choice(name)
    return Path(path) if path and Path(path).exists() else None


def _port(folder: DataFolder, name: str) -> int:
    """The same port as last time, if it is free: what an operator wrote down stays true."""
    other = {"redis": "mongodb", "mongodb": "redis"}[name]
    before = folder.choice(f"{name}-port")
    port = choose(int(before) if before else None, taken={int(folder.choice(f"{other}-port") or 0)})
    folder.choose(f"{name}-port", str(port))
    return port


def _origin(program: Path) -> str:
    return f"{'secantusdb' if program.name == 'secantusd-py' else program.name} {embedded.version_of(program)}".strip()
