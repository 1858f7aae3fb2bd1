"""What survives a restart of the program: unsent messages and, per user, the position up to which events were handled.

One SQLite file a program; a second program on the same file is refused. Without a path everything lives in memory.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_client.errors import HeadraceError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client_msg_id TEXT NOT NULL UNIQUE,
    user_id TEXT,
    conversation_id TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS positions (user_id TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class StoreInUse(HeadraceError):
    """Another program holds this file: two would send each other's messages and skip each other's events."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message that is not stored yet, as it was first sent."""

    client_msg_id: str
    user_id: str | None
    conversation_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Saved:
    """What an earlier run left behind; `user_id` is who was connected last."""

    user_id: str | None
    positions: dict[str, str]
    outbox: list[Row]


class Store:
    """The file. Every method is one transaction, on disk when it returns.

    Raises:
        StoreInUse: another program has it open.
        sqlite3.Error: the disk is full, the file is no database, and the like.
    """

    def __init__(self, path: Path | str | None) -> None:
        self._db = sqlite3.connect(":memory:" if path is None else path, timeout=0, isolation_level=None)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # an answered `send` survives a power cut
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except sqlite3.OperationalError as failure:
            self._db.close()
            if "locked" in str(failure):
                raise StoreInUse(f"{path} is in use by another program") from None
            raise

    def load(self) -> Saved:
        """Everything that an earlier run left."""
        fact = self._db.execute("SELECT value FROM facts WHERE name = 'user_id'").fetchone()
        rows = self._db.execute("SELECT client_msg_id, user_id, conversation_id, body FROM outbox ORDER BY number")
        return Saved(
            user_id=fact[0] if fact else None,
            positions=dict(self._db.execute("SELECT user_id, position FROM positions").fetchall()),
            outbox=[Row(*row) for row in rows],
        )

    def add(self, row: Row) -> None:
        """Keep a message before its first try."""
        with self._db:
            self._db.execute(
                "INSERT INTO outbox (client_msg_id, user_id, conversation_id, body) VALUES (?, ?, ?, ?)",
                (row.client_msg_id, row.user_id, row.conversation_id, row.body),
            )

    def remove(self, client_msg_id: str) -> None:
        """A message was refused before it was accepted, so no event will come for it."""
        self._db.execute("DELETE FROM outbox WHERE client_msg_id = ?", (client_msg_id,))

    def adopt(self, user_id: str) -> None:
        """We are connected as this user: messages written before anybody knew are theirs."""
        self._db.execute("BEGIN")
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('user_id', ?)", (user_id,))
            self._db.execute("UPDATE outbox SET user_id = ? WHERE user_id IS NULL", (user_id,))

    def commit(self, user_id: str, position: str | None, settled: Sequence[str]) -> None:
        """Events up to `position` were handled, among them those that settled these messages: one transaction (hole D3)."""
        self._db.execute("BEGIN")
        with self._db:
            if position is not None:
                self._db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (user_id, position))
            self._db.executemany("DELETE FROM outbox WHERE client_msg_id = ?", [(each,) for each in settled])

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
