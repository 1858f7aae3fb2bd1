"""Some at a time, or one alone: a file that seems to break the scanner must not spoil the chances of those beside it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator


class Turns:
    """Up to `at_once` holders of a share, or one holder of the whole."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._shares = asyncio.Semaphore(at_once)
        self._gathering = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def share(self) -> AsyncGenerator[None]:
        """Together with others."""
        async with self._shares:
            yield

    @contextlib.asynccontextmanager
    async def whole(self) -> AsyncGenerator[None]:
        """Alone: waits until the others are done, and keeps new ones out meanwhile."""
        held = 0
        try:
            async with self._gathering:  # two that gather shares would wait for each other for ever
                while held < self._at_once:
                    await self._shares.acquire()
                    held += 1
            yield
        finally:
            for _ in range(held):
                self._shares.release()
