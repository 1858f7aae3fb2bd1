"""Every enabled webhook, in memory, once a process: most events are for none, and that must cost nothing."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from backplane.store.webhooks import StoredWebhook, owned
from consumers.webhooks.matching import ByOwner

REFRESH_SECONDS = 30.0
"""Read anew this often even if nothing seems to have changed: whoever changed something may have died before saying so."""


class Source(Protocol):
    """What the directory needs of `backplane.store.webhooks.Webhooks`."""

    async def changed(self) -> str:
        """A token that is another one once what is enabled has changed."""
        ...

    async def enabled(self) -> list[StoredWebhook]:
        """All that get events."""
        ...


class Directory:
    """The webhooks by owner. One small read a call says whether they are still the same."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._token: str | None = None
        self._read_at = float("-inf")
        self._webhooks: ByOwner = {}
        self._reading = asyncio.Lock()

    async def current(self) -> ByOwner:
        """The webhooks that were enabled when this was called, and no older picture.

        Raises:
            Transient: MongoDB is away.
        """
        token = await self._source.changed()
        async with self._reading:
            if token != self._token or monotonic() - self._read_at >= REFRESH_SECONDS:
                found: Sequence[StoredWebhook] = await self._source.enabled()
                self._webhooks, self._token, self._read_at = owned(found), token, monotonic()
        return self._webhooks
