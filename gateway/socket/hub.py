"""All connections of this process: welcome, rings, the sweep, the clock, the drain."""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from uuid import UUID

import structlog
from starlette.websockets import WebSocket
from uuid_utils import uuid7

from backplane import telemetry
from backplane.doorbells import Doorbells
from backplane.errors import Permanent, Transient, Unknown
from backplane.logs import Logs, parse_ring
from backplane.revocations import Ended, Revocations, ended_in, parse_ended
from backplane.settings import Settings
from gateway.addresses import address_of
from gateway.intake import Intake
from gateway.limiter import Limiter
from gateway.socket.admission import Admission
from gateway.socket.catchup import Outlook, look
from gateway.socket.connection import Connection
from gateway.socket.ephemera import Ephemera
from gateway.socket.handshake import Refused, check_upgrade, chosen_protocol, first_frame
from gateway.socket.line import Hangup, Line
from gateway.socket.replacement import announcement, parse_announcement
from gateway.socket.roster import Roster, Seat
from gateway.socket.session import GRACE_SECONDS, Goodbye, Session
from gateway.socket.wants import MAX_PEOPLE, MAX_WATCHED
from gateway.tokens import BadToken, Identity, Tokens
from schemas.client_frames import MAX_FRAME_BYTES, Connect
from schemas.entities import rfc3339
from schemas.errors import CLOSES
from schemas.ids import Position
from schemas.server_frames import Connected, Ephemeral, Limits, SessionRevoked, encode_frame, event_frame
from schemas.text import MAX_TEXT

SWEEP_CHUNK = 250
SWEEP_RETRY_SECONDS = 2.0
UNSWEPT_SECONDS = 30.0
"""A user for whom the sweep got no answer this long is sent to another gateway (hole C17)."""
RETRY_AFTER_MS = 2000

_log = structlog.get_logger(__name__)


class Hub:
    """The socket side of a gateway.

    Lifecycle: `attach` the doorbells whose callbacks are `on_ring` and `on_lost`, `start`, serve `endpoint`, `drain`.

    Args:
        unswept_seconds: how long the sweep may go unanswered.
    """

    def __init__(
        self,
        settings: Settings,
        logs: Logs,
        intake: Intake,
        tokens: Tokens,
        *,
        revocations: Revocations,
        limiter: Limiter,
        ephemera: Ephemera,
        unswept_seconds: float = UNSWEPT_SECONDS,
    ) -> None:
        self._settings, self._logs, self._intake, self._tokens = settings, logs, intake, tokens
        self._revocations, self._admission, self._ephemera = revocations, Admission(settings, limiter), ephemera
        self._unswept_seconds = unswept_seconds
        self._doorbells: Doorbells | None = None
        self._roster: Roster[Connection] = Roster(settings.names, self._subscribe, self._unsubscribe)
        self._sweep_now = asyncio.Event()
        self._left = asyncio.Event()
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._roster)

    @property
    def waiting_bytes(self) -> int:
        """What this process holds for all sockets."""
        return sum(connection.waiting_bytes for connection in self._roster)

    def attach(self, doorbells: Doorbells) -> None:
        """Give it the doorbells that ring `on_ring`."""
        self._doorbells = doorbells

    async def start(self) -> None:
        """Start the clock and the sweep."""
        self._tasks = [
            asyncio.create_task(self._tick_forever(), name="socket clock"),
            asyncio.create_task(self._sweep_forever(), name="socket sweep"),
        ]

    async def drain(self) -> None:
        """Refuse new connections, send the others to another gateway, one by one, and stop.

        The goodbyes are spread over `drain_seconds`, and each client is told a wait of its own, so that the next gateway
        meets a stream of clients and not a wave.
        """
        self._draining = True
        leaving = list(self._roster)
        random.shuffle(leaving)
        began, seconds = time.monotonic(), self._settings.drain_seconds
        try:
            for index, connection in enumerate(leaving):
                wait = began + seconds * index / len(leaving) - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                connection.dismiss(self._elsewhere())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * GRACE_SECONDS):
                    while len(self._roster):
                        self._left.clear()
                        await self._left.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # Doorbells

    def on_ring(self, channel: str, payload: bytes) -> None:
        """A doorbell rang: the frame is made once and goes to every connection of the user."""
        seat = self._roster.seat(channel)
        if seat is None:
            return
        try:
            ring = parse_ring(payload)
        except ValueError:
            ring = None
        if ring is None:
            self._no_entry(seat, payload)
            return
        position, body = ring
        self._ephemera.entered(seat.connections, body)
        frame = event_frame(position, body)
        for connection in seat.connections:
            connection.ring(position, frame)

    def _no_entry(self, seat: Seat[Connection], payload: bytes) -> None:
        """Sessions that ended, a newcomer, another epoch, or what nobody knows."""
        if ended := parse_ended(payload):
            self._ended(seat, ended)
            return
        announced = parse_announcement(payload)
        for connection in seat.connections:
            if announced is None:
                connection.doubt()
            else:
                connection.announced(*announced)

    def _ended(self, seat: Seat[Connection], ended: Ended) -> None:
        told = [
            encode_frame(Ephemeral("session.revoked", SessionRevoked(session_id)))
            for session_id in sorted(ended.sessions or ())
        ]
        for connection in seat.connections:
            if ended.includes(connection.session.identity.session_id):
                connection.dismiss(Goodbye(CLOSES[ended.reason]))
            else:
                for frame in told:
                    connection.offer("session", frame)

    def on_lost(self) -> None:
        """Rings may have been missed: whoever's log has gone on catches up, which a sweep finds out in few calls."""
        self._sweep_now.set()

    async def _subscribe(self, channel: str) -> None:
        assert self._doorbells is not None  # noqa: S101 - the composition root attaches before it serves
        await self._doorbells.subscribe(channel)

    async def _unsubscribe(self, channel: str) -> None:
        assert self._doorbells is not None  # noqa: S101 - as above
        await self._doorbells.unsubscribe(channel)

    # A connection

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one WebSocket, from its upgrade to its end."""
        line = Line(websocket, buffer_bytes=self._settings.send_buffer_bytes)
        address = address_of(websocket)
        with contextlib.suppress(Hangup), self._admission.counted(address):
            await line.accept(chosen_protocol(websocket.scope["subprotocols"]))
            try:
                self._admission.check_address(address)
                check_upgrade(
                    offered=websocket.scope["subprotocols"],
                    origins=websocket.headers.getlist("origin"),
                    host=websocket.headers.get("host"),
                    allowed_origins=self._settings.allowed_origins,
                    allowed_hosts=self._settings.allowed_hosts,
                )
                connect, asked, identity = await self._introduce(line)
                user = identity.user_id
                await self._admission.check_person(user, address, connections=self._roster.count(user))
                await self._serve(line, connect, asked, identity)
            except Refused as refused:
                await line.goodbye(Goodbye(refused.row, refused.reason, refused.retry_after_ms))
            except Hangup:
                raise
            except Exception:  # noqa: BLE001 - a bug, or a Redis that refuses us, ends this connection with a goodbye
                _log.exception("a connection failed")
                await line.goodbye(Goodbye(CLOSES["internal_error"]))

    async def _introduce(self, line: Line) -> tuple[Connect, Position | None, Identity]:
        if self._draining:
            raise self._refused_elsewhere()
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                raw = await line.receive()
        except TimeoutError:
            raise Refused(CLOSES["connect_timeout"]) from None
        connect, asked = first_frame(raw)
        try:
            identity = self._tokens.verify(connect.token)
        except BadToken as failure:
            raise Refused(CLOSES[failure.code]) from None
        if refusal := identity.lacks("messages:read"):
            raise Refused(CLOSES["authentication_failed"], refusal)
        return connect, asked, identity

    async def _serve(self, line: Line, connect: Connect, asked: Position | None, identity: Identity) -> None:
        session = Session(
            identity,
            connect.client,
            self._settings,
            connection_id=str(UUID(bytes=uuid7().bytes)),
            now=time.monotonic(),
            now_ms=time.time_ns() // 1_000_000,
            jitter=random.random,
        )
        connection = Connection(
            line,
            session,
            logs=self._logs,
            intake=self._intake,
            tokens=self._tokens,
            revocations=self._revocations,
            ephemera=self._ephemera,
        )
        user = identity.user_id
        try:
            await self._roster.join(user, connection)
        except Transient:
            raise self._refused_elsewhere() from None
        try:
            # Its doorbell is heard from here on: what ends later rings, what ended before is found now.
            if reason := await self._revocations.reason(user, identity.session_id):
                raise Refused(CLOSES[reason])
            await self._announce(session)
            # What rings is held, so nothing can fall between the log's head and that.
            outlook = await look(self._logs, user, asked, max_entries=self._settings.resume_max_entries)
            self._begin(session, connect, asked, outlook)
            self._ephemera.arrive(connection)
            if self._draining:
                connection.dismiss(self._elsewhere())
            await connection.run()
        except Transient:
            raise self._refused_elsewhere() from None
        finally:
            self._ephemera.depart(connection)
            await self._roster.leave(user, connection)
            self._left.set()
            if session.goodbye is not None and session.goodbye.row is CLOSES["rate_limited"]:
                await self._admission.punish(user)

    def _begin(self, session: Session, connect: Connect, asked: Position | None, outlook: Outlook) -> None:
        head, reason = outlook
        telemetry.resumes.labels(reason or "recovered").inc()
        session.delivery.put(
            encode_frame(
                Connected(
                    connection_id=session.connection_id,
                    session_id=session.identity.session_id,
                    user_id=session.identity.user_id,
                    position=str(head.position),
                    recovered=reason is None,
                    resync=reason,
                    heartbeat_interval_ms=int(self._settings.heartbeat_seconds * 1000),
                    token_expires_at=rfc3339(session.identity.expires_ms),
                    server_time=rfc3339(time.time_ns() // 1_000_000),
                    limits=Limits(
                        frame_bytes=MAX_FRAME_BYTES,
                        text_length=MAX_TEXT,
                        log_entries=self._settings.log_max_entries,
                        resume_entries=self._settings.resume_max_entries,
                        watched_conversations=MAX_WATCHED,
                        presence_subscriptions=MAX_PEOPLE,
                        rates=self._admission.rates,
                    ),
                    # Only a changed epoch hits everybody at once.
                    retry_after_ms=session.resync_wait_ms if reason == "epoch_changed" else 0,
                    id=connect.id,
                )
            )
        )
        session.delivery.begin(head.position if asked is None or reason is not None else asked, head)

    async def _announce(self, session: Session) -> None:
        """Say who came, to the older connections of the same running copy, on whichever gateway (hole D1)."""
        if session.instance is None:
            return
        try:
            await self._logs.ring(session.identity.user_id, announcement(session.instance, session.connection_id))
        except Unknown:
            pass  # said or not: only what is heard tells its place in the order
        except Transient:
            session.claim.unsaid()

    def _elsewhere(self) -> Goodbye:
        return Goodbye(CLOSES["draining"], retry_after_ms=random.randrange(RETRY_AFTER_MS))

    def _refused_elsewhere(self) -> Refused:
        return Refused(CLOSES["draining"], retry_after_ms=random.randrange(RETRY_AFTER_MS))

    # The clock

    async def _tick_forever(self) -> None:
        interval = min(1.0, self._settings.heartbeat_seconds / 4, self._settings.slow_consumer_seconds / 4)
        was_late = False
        while True:
            began = time.monotonic()
            await asyncio.sleep(interval)
            # Late, it was this process that stood still: what clients have said meanwhile is read before anybody counts as silent.
            was_late = not was_late and time.monotonic() - began > 2 * interval
            if was_late:
                continue
            try:
                self._tick(time.monotonic())
            except Exception:  # noqa: BLE001 - without this clock no connection would ever end
                _log.exception("the socket clock failed")

    def _tick(self, now: float) -> None:
        live = catching_up = 0
        for connection in self._roster:
            connection.tick(now)
            if connection.session.delivery.live:
                live += 1
            else:
                catching_up += 1
        telemetry.connections.labels("live").set(live)
        telemetry.connections.labels("catching_up").set(catching_up)

    # The sweep: a silent channel can not show a lost tail (hole C9)

    async def _sweep_forever(self) -> None:
        wait = self._settings.sweep_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait * random.uniform(0.9, 1.1)):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            whole = True
            for seats in self._roster.shards():
                for start in range(0, len(seats), SWEEP_CHUNK):
                    whole &= await self._sweep(seats[start : start + SWEEP_CHUNK])
            self._ephemera.sweep()
            wait = self._settings.sweep_seconds if whole else min(SWEEP_RETRY_SECONDS, self._settings.sweep_seconds)

    async def _sweep(self, seats: list[Seat[Connection]]) -> bool:
        began = time.monotonic()
        try:
            users = [seat.user for seat in seats]
            heads, ended = await self._logs.heads(users), await self._revocations.of(users)
        except (Transient, Permanent) as failure:
            _log.warning("the sweep got no answer", users=len(seats), error=str(failure))
            self._count_unswept(seats, began)
            return False
        for seat, head, ends in zip(seats, heads, ended, strict=True):
            seat.unswept_since = None
            for connection in seat.connections:
                if reason := ended_in(ends, connection.session.identity.session_id):
                    connection.dismiss(Goodbye(CLOSES[reason]))
                connection.swept(head)
        return True

    def _count_unswept(self, seats: Iterable[Seat[Connection]], began: float) -> None:
        now = time.monotonic()
        for seat in seats:
            if seat.unswept_since is None:
                seat.unswept_since = began
            if now - seat.unswept_since >= self._unswept_seconds:
                for connection in seat.connections:
                    connection.dismiss(self._elsewhere())
