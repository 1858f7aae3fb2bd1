"""The MongoDB client of a process: made once, with limits on everything.

`timeoutMS` is the driver's limit and, through `maxTimeMS`, the server's too, so that a write given up here does not land much later (C6).
Whatever the URL says, writes are majority and journalled, and reads see only what a majority has (hole C5).
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

import msgspec
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from backplane.errors import Transient
from backplane.settings import Settings, SettingsError
from backplane.store import indexes
from backplane.store.attachments import Attachments
from backplane.store.audit import Audit
from backplane.store.blocks import Blocks
from backplane.store.bots import BotTokens
from backplane.store.conversations import Conversations
from backplane.store.deliveries import Deliveries
from backplane.store.documents import Database, Document, from_document, to_document
from backplane.store.expiry import Expiry
from backplane.store.failures import reading, writing
from backplane.store.lists import Lists
from backplane.store.marks import Marks
from backplane.store.messages import Messages
from backplane.store.operations import Operations
from backplane.store.sessions import Sessions
from backplane.store.users import Users
from backplane.store.webhooks import Webhooks
from schemas.names import LAYOUT, Names

SCHEMA_VERSION: Final = 1

SELECTION_MS: Final = 3000
QUEUE_MS: Final = 1000


class LayoutMismatch(Exception):
    """The settings name another layout than the one the deployment was born with; the message says both."""


class NotMigrated(LayoutMismatch, Transient):
    """The database is not, or not yet wholly, migrated: whoever serves waits, because a migration may be on its way."""


class StoredLayout(msgspec.Struct, frozen=True, kw_only=True, rename={"key": "_id"}):
    """The one document of `layout`: what never changes after a deployment's birth, and the version of its indexes."""

    key: str
    namespace: str
    partitions: int
    shards: int
    schema_version: int

    @property
    def names(self) -> Names:
        """The names that follow from it."""
        return Names(self.namespace, self.partitions, self.shards)


class Store:
    """The database of a deployment. Attributes `users`, `sessions`, … are the modules of this package bound to it."""

    def __init__(self, client: AsyncMongoClient[Document], database: Database) -> None:
        self._client, self._database = client, database
        self.users = Users(database)
        self.sessions = Sessions(database)
        self.conversations = Conversations(database)
        self.lists = Lists(database)
        self.messages = Messages(database)
        self.operations = Operations(database)
        self.blocks = Blocks(database)
        self.bot_tokens = BotTokens(database)
        self.webhooks = Webhooks(database)
        self.deliveries = Deliveries(database)
        self.marks = Marks(database)
        self.expiry = Expiry(database)
        self.audit = Audit(database)
        self.attachments = Attachments(database)

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Make the client; connects lazily, so this succeeds while MongoDB is away.

        Raises:
            SettingsError: the URL can not be used, or a file that it names can not be read.
        """
        url = settings.mongodb_url.get_secret_value()
        limits: dict[str, Any] = {
            "timeoutMS": round(settings.mongodb_timeout_seconds * 1000),
            "serverSelectionTimeoutMS": min(SELECTION_MS, round(settings.mongodb_timeout_seconds * 1000)),
            "waitQueueTimeoutMS": QUEUE_MS,
        }
        try:
            client: AsyncMongoClient[Document] = AsyncMongoClient(
                url,
                w="majority",
                journal=True,
                readConcernLevel="majority",
                readPreference="primary",
                appname="headrace",
                **limits,
            )
        except OSError as failure:
            raise SettingsError(
                f"HEADRACE_MONGODB_URL names a file of certificates that can not be used: {failure}"
            ) from None
        except (PyMongoError, ValueError) as failure:
            raise SettingsError(_unreadable(url, failure)) from None
        return cls(client, client[settings.mongodb_database])

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def ping(self) -> float:
        """Round-trip time to the primary in seconds; raises `Transient`."""
        started = time.perf_counter()
        with reading():
            await self._database.command("ping")
        return time.perf_counter() - started

    @asynccontextmanager
    async def fresh(self) -> AsyncGenerator[None]:
        """Within it, reads see at least all that a majority had when it was entered, whichever server answers (hole C5).

        A deposed primary that does not know it yet still answers majority reads, from before its successor's first write. It can not
        answer one linearizable read; and the causal session makes every later read wait for the time of that one, after an election
        and on every shard. Reads within must come one after the other: they share the session.

        Raises:
            Transient: no primary that has a majority behind it answered in time.
        """
        layout = self._database.get_collection(LAYOUT, read_concern=ReadConcern("linearizable"))
        # Not in the causal session: were it tried again, the driver would add a time to wait for, which servers refuse with `linearizable`.
        async with self._client.start_session(causal_consistency=False) as first:
            with reading():
                await layout.find_one({"_id": LAYOUT}, session=first)
            now, cluster_time = first.operation_time, first.cluster_time
        async with self._client.start_session(causal_consistency=True) as session, session.bind(end_session=False):
            if now is not None and cluster_time is not None:
                session.advance_operation_time(now)
                session.advance_cluster_time(cluster_time)
            yield

    async def migrate(self, names: Names) -> list[str]:
        """Create what is missing: indexes, and the layout at a deployment's birth. Idempotent; returns what it did, in words.

        Raises:
            LayoutMismatch: the deployment has another layout; nothing was created.
            Permanent: an index can not be made; the message says which.
            Transient: MongoDB is away; run it again.
        """
        done = await self._be_born(names)
        absent = await indexes.missing(self._database)
        if any(index.fields == ("retention_days", "oldest_ms") for index in absent):
            await self.expiry.begin()
        return done + await indexes.create(self._database, absent)

    async def check(self, names: Names) -> None:
        """Refuse to serve on a database that is not migrated or has another layout. Changes nothing.

        Raises:
            LayoutMismatch: with a sentence that says which, and the command that mends it.
            NotMigrated: the same, but it may pass by itself.
            Transient: MongoDB is away.
        """
        stored = await self._stored_layout()
        if stored is None:
            raise NotMigrated("the database holds no deployment yet; run `headrace migrate`")
        _compare(stored, names)
        if absent := await indexes.missing(self._database):
            listed = ", ".join(f"{index.collection}.{index.name}" for index in absent)
            raise NotMigrated(f"the database lacks indexes ({listed}); run `headrace migrate`")

    async def layout(self) -> Names | None:
        """The layout that the deployment was born with; None before its birth."""
        stored = await self._stored_layout()
        return stored.names if stored else None

    @property
    def database(self) -> Database:
        """The driver's database handle; for the modules of this package alone."""
        return self._database

    async def _stored_layout(self) -> StoredLayout | None:
        with reading():
            document = await self._database[LAYOUT].find_one({"_id": LAYOUT})
        return from_document(document, StoredLayout) if document else None

    async def _be_born(self, names: Names) -> list[str]:
        ours = StoredLayout(
            key=LAYOUT,
            namespace=names.namespace,
            partitions=names.partitions,
            shards=names.shards,
            schema_version=SCHEMA_VERSION,
        )
        if await self._stored_layout() is None:
            with writing(), suppress(DuplicateKeyError):  # somebody else's migration was quicker: theirs counts
                await self._database[LAYOUT].insert_one(to_document(ours))
                return [f"recorded the layout: {_said(names)}, schema version {SCHEMA_VERSION}"]
        if stored := await self._stored_layout():
            _compare(stored, names)
        return []


def _compare(stored: StoredLayout, names: Names) -> None:
    if stored.names != names:
        raise LayoutMismatch(
            f"the deployment was born with {_said(stored.names)}; the settings say {_said(names)}. A layout never changes: set "
            "HEADRACE_NAMESPACE, HEADRACE_PARTITIONS and HEADRACE_SHARDS as they were, or HEADRACE_MONGODB_DATABASE to another database"
        )
    if stored.schema_version != SCHEMA_VERSION:
        raise LayoutMismatch(
            f"the database has schema version {stored.schema_version}, this program speaks {SCHEMA_VERSION}; "
            "run `headrace migrate` of the newest version, and that version of the program"
        )


def _unreadable(url: str, failure: Exception) -> str:
    if "@" not in url:
        return f"HEADRACE_MONGODB_URL can not be read: {failure}"
    # The driver's words may hold a piece of the password.
    return (
        "HEADRACE_MONGODB_URL can not be read; in a password, / is written %2F, @ %40, : %3A "
        "(e.g. mongodb://user:p%40ss@mongo-1,mongo-2/?replicaSet=rs0)"
    )


def _said(names: Names) -> str:
    return f"namespace {names.namespace!r}, {names.partitions} partitions, {names.shards} shards"
