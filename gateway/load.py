"""Whether this deployment keeps up: what makes a gateway answer `overloaded` instead of piling work up (holes B10, B13).

Lag that can not be told counts as too much: a server that does not know whether it keeps up must not promise to.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from typing import Final, Literal, get_args

import structlog

from backplane import telemetry
from backplane.errors import Permanent, Transient
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.streams import StageLag, lags, memory_ratio
from schemas.errors import ErrorBody, error
from schemas.stages import work_of

POLL_SECONDS = 1.0
STALE_SECONDS = 5.0
"""How long what was last seen counts; older is unknown."""
RETRY_MS = (1000, 4000)

Adds = Literal["intents", "receipts"]
"""The streams that gateways add to."""
_ADDS: Final[tuple[Adds, ...]] = get_args(Adds)

_log = structlog.get_logger(__name__)


def judge(
    stage_lags: Sequence[StageLag],
    ratio: float,
    *,
    overload_seconds: float,
    memory_limit_ratio: float,
    stream: Adds = "intents",
) -> str | None:
    """Why nothing should be added to these streams now; None if the stages that this is work for keep up and there is room in Redis.

    Marks that pile up refuse marks and no message: what a person reads must not keep others from writing.
    """
    concerned = {stage.name for stage in work_of(stream)}
    if ratio >= memory_limit_ratio:
        return f"Redis is at {ratio:.0%} of its memory"
    for lag in stage_lags:
        if lag.stage not in concerned:
            continue
        if lag.oldest_ms is None:
            return f"how far {lag.stage} of partition {lag.partition} is behind can not be told"
        if lag.oldest_ms >= overload_seconds * 1000:
            return f"{lag.stage} of partition {lag.partition} is {lag.oldest_ms / 1000:.0f} s behind"
    return None


class Load:
    """Looks every second; asked at every request."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        *,
        poll_seconds: float = POLL_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._settings, self._redis = settings, redis
        self._poll_seconds, self._stale_seconds = poll_seconds, stale_seconds
        self._reasons: dict[Adds, str | None] = dict.fromkeys(_ADDS, "nothing was seen yet")
        self._seen_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, then go on looking; succeeds while Redis is away."""
        await self._look()
        self._task = asyncio.create_task(self._look_forever(), name="load")

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def refusal(self, stream: Adds = "intents") -> ErrorBody | None:
        """What a client that wants to add work is told; None: welcome."""
        if self._reasons[stream] is None and time.monotonic() - self._seen_at <= self._stale_seconds:
            return None
        return error("overloaded", retry_after_ms=random.randint(*RETRY_MS))

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self._look()

    async def _look(self) -> None:
        try:
            stage_lags, ratio = await lags(self._redis), await memory_ratio(self._redis)
        except (Transient, Permanent) as failure:
            # What was seen before counts until it is stale: one lost answer refuses nobody.
            _log.warning("the lag can not be told", error=str(failure))
            return
        for lag in stage_lags:
            labels = (lag.stage, str(lag.partition))
            telemetry.stream_lag.labels(*labels).set(-1 if lag.lag is None else lag.lag)
            telemetry.stream_age.labels(*labels).set(-1 if lag.oldest_ms is None else lag.oldest_ms / 1000)
        for stream in _ADDS:
            reason = judge(
                stage_lags,
                ratio,
                overload_seconds=self._settings.overload_seconds,
                memory_limit_ratio=self._settings.memory_limit_ratio,
                stream=stream,
            )
            if (reason is None) is not (self._reasons[stream] is None):
                _log.log(
                    logging.INFO if reason is None else logging.WARNING, "load changed", stream=stream, reason=reason
                )
            self._reasons[stream] = reason
        self._seen_at = time.monotonic()
