"""The composition root of a gateway: everything is made here, once, and the life of the process reads from top to bottom."""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from backplane import grants
from backplane.collector import quiet_collector
from backplane.doorbells import Doorbells
from backplane.errors import Transient
from backplane.layout import check_layout
from backplane.limits import Buckets
from backplane.logs import Logs
from backplane.objects.s3 import Objects
from backplane.presence import Presences
from backplane.publisher import Publisher
from backplane.redis import Redis
from backplane.revocations import Revocations
from backplane.scans import Scans
from backplane.settings import Settings
from backplane.store.mongo import Store
from backplane.streams import Intents
from gateway.answers import Answers
from gateway.files_health import FilesHealth
from gateway.grants import Grants
from gateway.health import Health, internal_routes, public_routes
from gateway.http import IDLE_SECONDS, PunctualProtocol
from gateway.intake import Intake
from gateway.limiter import Limiter
from gateway.listeners import Listeners
from gateway.load import Load
from gateway.passwords import Passwords
from gateway.rest.api import Api
from gateway.rest.application import make_application, rest_routes
from gateway.socket.ephemera import Ephemera
from gateway.socket.hub import Hub
from gateway.socket.transport import uvicorn_options
from gateway.streams_health import StreamsHealth
from gateway.tokens import Tokens
from gateway.uploads import Uploads
from gateway.web_client import web_routes

BACKLOG = 2048
REQUESTS_SECONDS = 2
"""How long requests under way may take after the sockets have left; they are cancelled then."""
_RETRY_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What runs in the process, and the two applications that it serves."""

    hub: Hub
    health: Health
    api: Api
    public: Starlette
    internal: Starlette


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then leave in order, within `drain_seconds` + 5.

    Raises:
        LayoutMismatch: the database belongs to another layout; one that is not migrated yet is waited for.
        SettingsError: the signing key is none.
        OSError: a port can not be had.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        # Start: the ports first, so that a taken one is said at once. Redis and MongoDB may be away: then we are up and not ready.
        listener = stack.enter_context(_listen(settings.host, settings.port))
        internal = (
            [stack.enter_context(_listen(settings.internal_host, settings.internal_port))]
            if settings.internal_port
            else []
        )
        gateway = await stack.enter_async_context(open_gateway(settings))
        proxies = settings.trusted_proxies
        servers = [(make_server(gateway.public, proxies), listener)]
        servers += [(make_server(gateway.internal, proxies), one) for one in internal]

        # Loop: until a signal, or until one of these fails: none of them ends by itself.
        serving = [asyncio.create_task(server.serve([one]), name="http") for server, one in servers]
        watching = asyncio.create_task(gateway.health.run(), name="health")
        quiet_collector()
        _log.info("gateway is up", address=f"http://{settings.host}:{settings.port}")
        stopped = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait([stopped, watching, *serving], return_when=asyncio.FIRST_COMPLETED)

        # Stop: sockets, then requests, then the connections to the outside (the stack's part).
        await _drain(gateway, settings.drain_seconds)
        for server, _ in servers:
            server.should_exit = True
        for task in (stopped, watching):
            task.cancel()
        await asyncio.wait(serving, timeout=REQUESTS_SECONDS + 1)
    _log.info("gateway has stopped")
    for task in ended:
        task.result()  # what ended us, if it was no signal


async def _drain(gateway: Gateway, drain_seconds: float) -> None:
    """Send everybody elsewhere: no new traffic, long polls answer at once, sockets hear goodbye one by one."""
    _log.info("draining", sockets=len(gateway.hub))
    gateway.health.draining = True
    gateway.api.stopping.set()
    gateway.api.listeners.on_lost()  # wakes the long polls, which see `stopping`
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drain_seconds + 1):
            await gateway.hub.drain()


@contextlib.asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncGenerator[Gateway]:
    """Make all parts; they work from here on, and are closed at the end. Succeeds while Redis and MongoDB are away.

    Raises:
        SettingsError: the signing key is none.
    """
    tokens = Tokens(settings)
    async with contextlib.AsyncExitStack() as stack:
        redis = await Redis.open(settings)
        stack.push_async_callback(redis.close)
        store = await Store.open(settings)
        stack.push_async_callback(store.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        load = Load(settings, redis)
        await load.start()
        stack.push_async_callback(load.close)

        logs = Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)
        intents = Intents(redis, limit=settings.intents_in_flight)
        marks = Intents(redis, limit=settings.intents_in_flight, stream="receipts")
        revocations = Revocations(redis, token_seconds=settings.access_token_seconds)
        limiter = Limiter(settings.policies, settings.names, Buckets(redis), revocations)
        intake = Intake(settings.names, intents, marks, load, limiter, limit=settings.intents_in_flight)

        # Three doorbells: ephemera must not delay events, and a long poll that ends must not silence a socket of the same user.
        ephemera = make_ephemera(settings, redis, store, load)
        ephemera.attach(
            await stack.enter_async_context(_doorbells(Doorbells(redis, ephemera.on_ring, ephemera.on_lost)))
        )
        await ephemera.start()
        stack.push_async_callback(ephemera.close)
        hub = Hub(settings, logs, intake, tokens, revocations=revocations, limiter=limiter, ephemera=ephemera)
        hub.attach(await stack.enter_async_context(_doorbells(Doorbells(redis, hub.on_ring, hub.on_lost))))
        await hub.start()
        listeners = Listeners()
        listeners.attach(
            await stack.enter_async_context(_doorbells(Doorbells(redis, listeners.on_ring, listeners.on_lost)))
        )

        answers = Answers(settings.names.gateway(secrets.token_hex(8)))
        await stack.enter_async_context(_hearing(listeners, answers))
        objects = await Objects.open(settings) if settings.s3_url else None
        if objects is not None:
            stack.push_async_callback(objects.close)
        scans = Scans(redis)
        uploads = Uploads(settings, objects, store.attachments, scans)
        api = Api(settings, store, logs, intake, answers, listeners, tokens, passwords, revocations, limiter, uploads)
        health = Health(
            {"redis": redis.ping, "mongodb": store.ping},
            lambda: check_layout(redis, store, settings.names),
            FilesHealth(objects, scans, scanner=bool(settings.scanner_url)) if objects else None,
            StreamsHealth(redis),
        )
        ops_token = settings.ops_token.get_secret_value() if settings.ops_token else None
        table = [
            WebSocketRoute("/ws", hub.endpoint),
            *public_routes(health, ops_token),
            *rest_routes(api),
            *web_routes(settings),
        ]
        yield Gateway(
            hub,
            health,
            api,
            public=make_application(table, settings),
            internal=make_application(internal_routes(health)),
        )


def make_ephemera(settings: Settings, redis: Redis, store: Store, load: Load) -> Ephemera:
    """The ephemeral side of the sockets; whoever calls gives it doorbells."""
    # Three sweeps: one that was late, and one that got lost, end nobody's presence.
    life_ms, grace_ms = int(3000 * settings.sweep_seconds), int(1000 * settings.presence_grace_seconds)
    return Ephemera(
        settings,
        Grants(grants.Grants(redis), store.conversations),
        Publisher(redis),
        Presences(redis, life_ms=life_ms, grace_ms=grace_ms),
        overloaded=lambda: load.refusal() is not None,
    )


@contextlib.asynccontextmanager
async def _doorbells(doorbells: Doorbells) -> AsyncGenerator[Doorbells]:
    await doorbells.start()
    try:
        yield doorbells
    finally:
        await doorbells.close()


@contextlib.asynccontextmanager
async def _hearing(listeners: Listeners, answers: Answers) -> AsyncGenerator[None]:
    """Listen to the answers for this gateway, from when Redis is there on. Until then REST calls look their result up."""

    async def hear() -> None:
        while True:
            with contextlib.suppress(Transient):
                async with listeners.hearing(answers.channel, answers.on_ring):
                    await asyncio.Event().wait()  # the subscription outlives lost connections by itself
            await asyncio.sleep(_RETRY_SECONDS)

    task = asyncio.create_task(hear(), name="answers")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=_RETRY_SECONDS)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would close all sockets at once, before anybody has said goodbye."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to `serve`."""
        yield


def make_server(application: Starlette, trusted_proxies: Sequence[str]) -> uvicorn.Server:
    """Uvicorn as this gateway needs it."""
    return _Server(
        uvicorn.Config(
            application,
            http=PunctualProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=list(trusted_proxies),
            timeout_graceful_shutdown=REQUESTS_SECONDS,
            timeout_keep_alive=IDLE_SECONDS,
            backlog=BACKLOG,
            **uvicorn_options(),
        )
    )


@contextlib.contextmanager
def _listen(host: str, port: int) -> Generator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    try:
        yield listener
    finally:
        listener.close()
