"""What a MongoDB says of itself, for `backplane.inspection.mongodb`. Changes nothing."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from backplane.errors import Permanent, Transient
from backplane.store.documents import Document
from backplane.store.failures import reading, writing
from backplane.store.mongo import LayoutMismatch, NotMigrated, Store
from schemas.names import WEBHOOKS, Names

_NOBODY = "doctor"


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoFacts:
    """A server, and our database in it. A `…_refused` is why it would not, None if it did."""

    version: str
    stand_in: str | None = None
    """Name and version of a program that only speaks MongoDB's protocol."""
    set_name: str | None = None
    members: int = 1
    """Of the replica set, those that may become primary."""
    sharded: bool = False
    writes_refused: str | None = None
    layout_refused: str | None = None
    unmigrated: bool = False
    """Whether `headrace migrate` is what mends the layout."""
    clock_ahead_seconds: float = 0.0
    round_trip_ms: float = 0.0


async def gather(store: Store, names: Names) -> MongoFacts:
    """Ask everything.

    Raises:
        Transient: MongoDB is away, or refuses the credentials.
        Permanent: it refuses a question that everybody may ask.
    """
    await store.ping()  # the connection is made here, not while the clock is measured
    with reading():
        before = time.time()
        hello: Document = await store.database.command("hello")
        after = time.time()
        build: Document = await store.database.command("buildInfo")
    layout_refused, unmigrated = await _layout(store, names)
    stand_in = build.get("secantusVersion")
    return MongoFacts(
        version=str(build["version"]),
        stand_in=f"secantusdb {stand_in}" if stand_in else None,
        set_name=hello.get("setName"),
        members=len(hello.get("hosts", ())) or 1,
        sharded=hello.get("msg") == "isdbgrid",
        writes_refused=await _writes(store),
        layout_refused=layout_refused,
        unmigrated=unmigrated,
        clock_ahead_seconds=_seconds(hello.get("localTime")) - (before + after) / 2,
        round_trip_ms=(after - before) * 1000,
    )


async def _writes(store: Store) -> str | None:
    """An update of nothing, where every kind of process may update: the server waits until a majority has all that came before."""
    try:
        with writing():
            await store.database[WEBHOOKS].update_one({"_id": _NOBODY}, {"$set": {"seen": True}})
    except (Transient, Permanent) as failure:
        return str(failure)
    return None


async def _layout(store: Store, names: Names) -> tuple[str | None, bool]:
    try:
        await store.check(names)
    except (LayoutMismatch, Permanent) as failure:
        return str(failure), isinstance(failure, NotMigrated)
    return None, False


def _seconds(local_time: datetime | None) -> float:
    return local_time.replace(tzinfo=UTC).timestamp() if local_time else time.time()
