"""MongoDB: given by a URL, a `mongod` on PATH as a replica set of one, or the embedded stand-in."""

import asyncio
from collections.abc import Mapping
from typing import Final

from backplane.errors import Transient
from backplane.settings import PREFIX, load_settings
from backplane.store import replica_set
from backplane.store.mongo import Store
from cli import embedded
from cli.failures import Failure
from cli.up.child import Probe, Spec
from cli.up.folder import DataFolder
from cli.up.ports import LOCALHOST
from cli.up.services.outside import INSTALL, Service, chosen, given, origin, port

MONGODB_URL: Final = PREFIX + "MONGODB_URL"


def mongodb(environ: Mapping[str, str], folder: DataFolder) -> Service:
    """The MongoDB to use.

    Raises:
        Failure: there is none.
    """
    if url := given(environ, MONGODB_URL):
        return Service("mongodb", url, f"given by {MONGODB_URL}", {MONGODB_URL: url})
    program = chosen(folder, "mongodb") or embedded.mongod_program() or embedded.mongodb_stand_in()
    if program is None:
        raise Failure(f"no MongoDB of version {embedded.MIN_MAJOR} or later, and no stand-in; {INSTALL}")
    folder.choose("mongodb", str(program))
    at = port(folder, "mongodb")
    real = program.name == "mongod"
    # A folder for each kind: neither can read what the other wrote.
    data = folder.sub("mongodb" if real else "mongodb-stand-in")
    make = embedded.mongod_command if real else embedded.mongodb_stand_in_command
    url = f"mongodb://{LOCALHOST}:{at}/?directConnection=true" if real else embedded.mongodb_stand_in_url(at)
    spec = Spec(
        "mongodb", tuple(make(program, data, at)), data, mongodb_answers(url, at, initiate=real), ready_seconds=60.0
    )
    said = origin(program) + ("" if real else ", a stand-in for development")
    return Service("mongodb", url, said, {MONGODB_URL: url}, spec)


def mongodb_answers(url: str, at: int, *, initiate: bool) -> Probe:
    """Whether MongoDB takes commands; a fresh `mongod` is made a replica set of one on the way."""

    async def ready() -> bool:
        _, writer = await asyncio.open_connection(LOCALHOST, at)
        writer.close()
        if initiate and not await replica_set.initiate(url, f"{LOCALHOST}:{at}"):
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
