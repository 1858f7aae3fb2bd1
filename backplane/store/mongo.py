"""The MongoDB client of a process: made once, with limits on everything; its errors translated once.

`timeoutMS` is the driver's limit and, through `maxTimeMS`, the server's too, so that a write given up here does not land much later (C6).
"""

from typing import Any, Self

from backplane.settings import Settings
from schemas.names import Names

SCHEMA_VERSION = 1


class LayoutMismatch(Exception):
    """The settings name another layout than the one the deployment was born with; the message says both."""


class Store:
    """The database of a deployment. Attributes `users`, `sessions`, … are the modules of this package bound to it."""

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Make the client; connects lazily, so this succeeds while MongoDB is away."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError

    async def ping(self) -> float:
        """Round-trip time to the primary in seconds; raises `Transient`."""
        raise NotImplementedError

    async def migrate(self, names: Names) -> list[str]:
        """Create what is missing: indexes, and the layout at a deployment's birth. Idempotent; returns what it did, in words.

        Raises:
            LayoutMismatch: the deployment has another layout.
        """
        raise NotImplementedError

    async def check(self, names: Names) -> None:
        """Refuse to serve on a database that is not migrated or has another layout. Changes nothing.

        Raises:
            LayoutMismatch: with a sentence that says which, and the command that mends it.
            Transient: MongoDB is away.
        """
        raise NotImplementedError

    @property
    def database(self) -> Any:
        """The driver's database handle; for the modules of this package alone."""
        raise NotImplementedError
