"""Whether this gateway lives, should get traffic, and what it sees of its dependencies.

`/health` asks nothing of anybody: a blinking Redis must not restart the whole fleet. `/health/ready` follows the dependencies
with hysteresis, so that one lost packet does not take a gateway out, nor one good answer put it back.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backplane import telemetry
from backplane.errors import Transient
from backplane.store.mongo import NotMigrated
from gateway.files_health import FilesHealth, FilesReport, alerts
from gateway.problems import Problem
from gateway.rest.operations import answer, bearer
from gateway.streams_health import StreamsHealth, StreamsReport

PROBE_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 3.0
DOWN_AFTER = 3
UP_AFTER = 2

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Steadied:
    """A signal with hysteresis: down after `DOWN_AFTER` bad answers in a row, up after `UP_AFTER` good ones, at first after one."""

    up: bool = False
    _seen: bool = False
    _against: int = 0

    def see(self, ok: bool) -> bool:
        """Take one answer into account; whether this turned the signal."""
        self._against = 0 if ok is self.up else self._against + 1
        turned = self._against >= (DOWN_AFTER if self.up else UP_AFTER if self._seen else 1)
        if turned:
            self.up, self._against, self._seen = ok, 0, True
        return turned


@dataclass(slots=True)
class Dependency:
    """One system this gateway needs. `round_trip_ms` is its last good answer's."""

    name: str
    ping: Callable[[], Awaitable[float]]
    signal: Steadied = field(default_factory=Steadied)
    round_trip_ms: float | None = None


class DependencyReport(msgspec.Struct, frozen=True):
    """A dependency as `/health/detailed` shows it."""

    up: bool
    round_trip_ms: float | None


class Report(msgspec.Struct, frozen=True):
    """What `/health/ready` and `/health/detailed` answer; `reasons` says why it is not ready."""

    status: str
    reasons: list[str] = []
    uptime_seconds: float | msgspec.UnsetType = msgspec.UNSET
    dependencies: dict[str, DependencyReport] | msgspec.UnsetType = msgspec.UNSET
    streams: StreamsReport | None | msgspec.UnsetType = msgspec.UNSET
    """None where Redis does not say."""
    attachments: FilesReport | msgspec.UnsetType = msgspec.UNSET
    alerts: list[str] | msgspec.UnsetType = msgspec.UNSET
    """What an operator should be called for, though this gateway serves."""


class Health:
    """Probes the dependencies once a second.

    Args:
        pings: how to ask each dependency; returns seconds, raises `Transient`.
        check: whether the database is ours, asked until it passes; what it raises but `Transient` ends `run`.
        files: how attachments are, for the report; a gateway serves whatever that says.
        streams: who works on the streams, for the report.
    """

    def __init__(
        self,
        pings: Mapping[str, Callable[[], Awaitable[float]]],
        check: Callable[[], Awaitable[None]],
        files: FilesHealth | None = None,
        streams: StreamsHealth | None = None,
    ) -> None:
        self._files, self._streams = files, streams
        self._dependencies = [Dependency(name, ping) for name, ping in pings.items()]
        self._check, self._checked = check, False
        self._unchecked = "the layout is not checked yet"
        self._began = time.monotonic()
        for name in pings:
            telemetry.dependency_up.labels(name).set(0)
        self.draining = False

    async def run(self) -> None:
        """Probe until cancelled.

        Raises:
            LayoutMismatch: the database is there and not ours to serve.
        """
        while True:
            async with asyncio.TaskGroup() as probes:
                for dependency in self._dependencies:
                    probes.create_task(self._probe(dependency))
            if not self._checked:
                await self._check_once()
            await asyncio.sleep(PROBE_SECONDS)

    def reasons(self) -> list[str]:
        """Why this gateway should get no traffic; empty: it is ready."""
        down = [f"{one.name} is away" for one in self._dependencies if not one.signal.up]
        unchecked = [] if self._checked else [self._unchecked]
        return [*(["draining"] if self.draining else []), *down, *unchecked]

    async def report(self) -> Report:
        """Everything there is to know."""
        reasons = self.reasons()
        files = await self._files.look() if self._files else None
        return Report(
            "unready" if reasons else "ready",
            reasons,
            round(time.monotonic() - self._began, 1),
            {one.name: DependencyReport(one.signal.up, one.round_trip_ms) for one in self._dependencies},
            await self._streams.look() if self._streams else msgspec.UNSET,
            msgspec.UNSET if files is None else files,
            [] if files is None else alerts(files),
        )

    async def _probe(self, dependency: Dependency) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                dependency.round_trip_ms = round(await dependency.ping() * 1000, 2)
            ok = True
        except (Transient, TimeoutError):
            ok = False
        if dependency.signal.see(ok):
            telemetry.dependency_up.labels(dependency.name).set(ok)
            (_log.info if ok else _log.warning)("dependency", name=dependency.name, up=ok)

    async def _check_once(self) -> None:
        try:
            await self._check()
        except NotMigrated as failure:
            self._unchecked = str(failure)
            _log.warning("waiting for a migration", error=str(failure))
            return
        except Transient as failure:
            _log.warning("the layout can not be checked yet", error=str(failure))
            return
        self._checked = True


def public_routes(health: Health, ops_token: str | None) -> list[BaseRoute]:
    """What load balancers ask; details only for who has the ops token."""

    def let_in(request: Request) -> None:
        if ops_token is None:
            raise Problem("not_found")
        if not hmac.compare_digest(bearer(request).encode(), ops_token.encode()):
            raise Problem("authentication_failed")

    return _routes(health, let_in)


def internal_routes(health: Health) -> list[BaseRoute]:
    """The same on the internal port, where whoever can reach it may look."""
    return _routes(health, lambda _: None)


def _routes(health: Health, let_in: Callable[[Request], None]) -> list[BaseRoute]:
    async def live(_: Request) -> Response:
        return answer(Report("ok"))

    async def ready(_: Request) -> Response:
        reasons = health.reasons()
        return answer(Report("unready" if reasons else "ready", reasons), 503 if reasons else 200)

    async def detailed(request: Request) -> Response:
        let_in(request)
        return answer(await health.report())

    async def metrics(request: Request) -> Response:
        let_in(request)
        return Response(telemetry.render_metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/health", live),
        Route("/health/ready", ready),
        Route("/health/detailed", detailed),
        Route("/metrics", metrics),
    ]
