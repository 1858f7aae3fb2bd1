"""Publishing what may be lost: bounded, in pipelines, never in the way of what must not be lost."""

import asyncio
import contextlib
from collections import deque
from typing import Final

import structlog

from backplane.errors import Permanent, Transient
from backplane.redis import Redis

WAITING: Final = 1000
"""Messages that wait for Redis; more are refused, and those that wait when it does not answer are dropped."""
_BATCH: Final = 100

_log = structlog.get_logger(__name__)


class Publisher:
    """One pipeline of SPUBLISH at a time; what comes meanwhile goes out together in the next one."""

    def __init__(self, redis: Redis, *, waiting: int = WAITING) -> None:
        self._redis, self._limit = redis, waiting
        self._waiting: deque[tuple[str, str, bytes]] = deque()
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start publishing."""
        self._task = asyncio.create_task(self._publish_forever(), name="publisher")

    async def close(self) -> None:
        """Stop; what waits is dropped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def put(self, channel: str, payload: bytes) -> bool:
        """Publish soon; False if too much waits already."""
        if len(self._waiting) >= self._limit:
            return False
        self._waiting.append(("SPUBLISH", channel, payload))
        self._work.set()
        return True

    async def _publish_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                try:
                    await self._redis.all(batch, append=True)
                except (Transient, Permanent) as failure:
                    _log.warning("ephemera are dropped", messages=len(batch) + len(self._waiting), error=str(failure))
                    self._waiting.clear()  # by the time Redis is back nobody types that any more
