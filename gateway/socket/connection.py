"""One connection's reader and writer: they do what the session decides, and decide nothing.

The writer alone writes to the socket and pages the log, one thing at a time; so frames never overtake each other, and a
socket that does not take more stops everything that would be read for it.
"""

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import structlog

from backplane import telemetry
from backplane.errors import Transient
from backplane.logs import Head, Logs
from backplane.revocations import Revocations
from gateway.intake import Intake, Refused, intent_of, receipt_mark
from gateway.socket.catchup import look, sync_page
from gateway.socket.delivery import Look, ReadPage
from gateway.socket.ephemera import Ephemera
from gateway.socket.line import Hangup, Line
from gateway.socket.listener import Kind
from gateway.socket.marking import PAUSE_SECONDS, Marking
from gateway.socket.session import GRACE_SECONDS, Goodbye, Request, Session
from gateway.socket.wants import Wants
from gateway.tokens import BadToken, Tokens
from schemas.client_frames import ChangeFrame, LiveFrame, Receipt, Refresh, SendMessage, Sync, Typing
from schemas.entities import rfc3339
from schemas.errors import CLOSES, ErrorBody, error
from schemas.ids import Position, UserId

RETRY_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class Connection:
    """A socket whose user is known. `run` lives as long as the socket does."""

    def __init__(
        self,
        line: Line,
        session: Session,
        *,
        logs: Logs,
        intake: Intake,
        tokens: Tokens,
        revocations: Revocations,
        ephemera: Ephemera,
    ) -> None:
        self.session = session
        self._line, self._logs, self._intake, self._tokens = line, logs, intake, tokens
        self._revocations, self._ephemera = revocations, ephemera
        self._turn = asyncio.Lock()  # requests about ephemera are served one by one, in the order of the frames
        self._wake = asyncio.Event()  # for the writer: something may be there to write
        self._room = asyncio.Event()  # for the reader: the session may not be full any more
        self._running = self._over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._marking = Marking()
        self._marker: asyncio.Task[None] | None = None

    @property
    def user(self) -> UserId:
        """Whose connection it is."""
        return self.session.identity.user_id

    @property
    def connection_id(self) -> str:
        """Its name, unlike that of any other connection."""
        return self.session.connection_id

    @property
    def instance(self) -> str | None:
        """The running copy of a client that it belongs to, if that says so."""
        return self.session.instance

    @property
    def active_at(self) -> float:
        """When its client last said anything but `pong`, on the monotonic clock."""
        return self.session.active_at

    @property
    def wants(self) -> Wants:
        """What it wants to hear besides its log."""
        return self.session.wants

    @property
    def waiting_bytes(self) -> int:
        """What this process holds for the socket: at most two buffers and a page, however slow the client is."""
        return self.session.delivery.waiting_bytes + self._line.waiting_bytes

    # What the hub tells

    def ring(self, position: Position, frame: bytes) -> None:
        """A doorbell of the user."""
        self.session.delivery.ring(position, frame)
        self._nudge()

    def doubt(self) -> None:
        """The user's log may not be what it was."""
        self.session.delivery.doubt()
        self._nudge()

    def announced(self, instance: str, connection_id: str) -> None:
        """A connection of the user came, here or elsewhere: the same running copy of a client has but one."""
        if self.session.claim.heard(instance, connection_id):
            self.dismiss(Goodbye(CLOSES["replaced"]))

    def swept(self, head: Head | None) -> None:
        """What the sweep saw of the user's log."""
        self.session.delivery.swept(head)
        self._nudge()

    def offer(self, kind: Kind, frame: bytes) -> bool:
        """An ephemeral frame: sent if there is room, else dropped. Returns which."""
        sent = self.session.offer(frame, self._line.waiting_bytes)
        telemetry.ephemera.labels(kind, "sent" if sent else "dropped").inc()
        self._nudge()
        return sent

    def tick(self, now: float) -> None:
        """Time passed."""
        if not self._running:
            return  # nothing may be said before `connected`
        if self.session.tick(now):
            self._line.abort(self.session.goodbye)
        self._nudge()

    def dismiss(self, goodbye: Goodbye) -> None:
        """End this connection."""
        self.session.dismiss(goodbye, time.monotonic())
        self._wake.set()
        self._room.set()

    def _nudge(self) -> None:
        if not self.session.idle:
            self._wake.set()

    async def run(self) -> None:
        """Read and write until the socket is closed, by whomever."""
        self._running = True
        writer = asyncio.create_task(self._write(), name="socket writer")
        try:
            await self._read()
        except Hangup:
            pass
        finally:
            self._over = True
            self._wake.set()
            # A writer that waits for a peer who is gone only ends with the transport.
            await asyncio.wait((writer,), timeout=GRACE_SECONDS)
            if not writer.done():
                self._line.abort()
                writer.cancel()

    # The reader

    async def _read(self) -> None:
        session = self.session
        while True:
            while session.full and not session.goodbye and not self._over:
                self._room.clear()
                await self._room.wait()
            request = session.receive(await self._line.receive(), time.monotonic())
            if isinstance(request, SendMessage | ChangeFrame):
                # A task each, begun in the order of the frames: appends keep that order, and share pipelines.
                self._begin(self._submit(request))
            elif isinstance(request, Receipt):
                self._mark(request)
            elif isinstance(request, Sync):
                await self._sync(request)
            elif isinstance(request, Refresh):
                await self._refresh(request)
            elif request is not None:
                self._admit(request)
            self._nudge()

    def _admit(self, request: LiveFrame) -> None:
        if self.session.admits(request, time.monotonic()):
            self._begin(self._serve(request))
        elif isinstance(request, Typing):
            telemetry.ephemera.labels("typing", "throttled").inc()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, request: SendMessage | ChangeFrame) -> None:
        refusal: ErrorBody | None = None
        try:
            await self._intake.append(intent_of(self.user, request))
        except Refused as refused:
            refusal = refused.error
        except Exception:  # noqa: BLE001 - a bug costs this request its answer, not the client its connection
            _log.exception("a request failed", type=request.__struct_config__.tag)
            refusal = error("internal_error")
        if refusal is None:
            own = "client_msg_id" if isinstance(request, SendMessage) else "client_op_id"
            self._finish(request, {"status": "accepted", own: getattr(request, own)})
        else:
            self._finish(request, error=refusal)

    async def _serve(self, request: LiveFrame) -> None:
        """Serve a request about ephemera: in a task, because the store may be asked, and no message may wait for that."""
        result: object = None
        refusal: ErrorBody | None = None
        try:
            async with self._turn:
                if not self._over:
                    result = await self._ephemera.serve(self, request)
        except Refused as refused:
            refusal = refused.error
        except Transient:
            refusal = error("unavailable")
        except Exception:  # noqa: BLE001 - as above
            _log.exception("a request failed", type=type(request).__name__)
            refusal = error("internal_error")
        self._finish(request, result, error=refusal)

    def _mark(self, receipt: Receipt) -> None:
        if not self._marking.add(receipt):
            self.session.refuse(receipt.id, error("rate_limited", retry_after_ms=int(PAUSE_SECONDS * 1000)))
        elif self._marker is None:
            self._marker = asyncio.create_task(self._append_marks(), name="marks")

    async def _append_marks(self) -> None:
        """Append what waits, then pause, until nothing waits: what was said before a hang-up is appended after it."""
        try:
            while waiting := self._marking.take():
                await asyncio.gather(*(self._append_mark(receipt) for receipt in waiting))
                self._nudge()
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._marker = None

    async def _append_mark(self, receipt: Receipt) -> None:
        try:
            await self._intake.append_mark(receipt_mark(self.user, receipt))
        except Refused as refused:
            self.session.refuse(receipt.id, refused.error)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("a request failed", type="receipt")
            self.session.refuse(receipt.id, error("internal_error"))

    async def _sync(self, request: Sync) -> None:
        try:
            after = Position.parse(request.after)
        except ValueError as failure:
            self._finish(request, error=error("bad_request", f"after: {failure}"))
            return
        try:
            page = await sync_page(self._logs, self.user, after, request.limit)
        except Transient:
            self._finish(request, error=error("unavailable"))
            return
        if isinstance(page, str):
            self._finish(
                request, error=error("conflict", f"{page}: the log can not be read from there; load the state")
            )
        else:
            self._finish(request, page)

    async def _refresh(self, request: Refresh) -> None:
        try:
            identity = self._tokens.verify(request.token)
            reason = await self._revocations.reason(identity.user_id, identity.session_id)
        except BadToken as failure:
            self._finish(request, error=error(failure.code))
            return
        except Transient:
            self._finish(request, error=error("unavailable"))
            return
        if reason:
            self._finish(request, error=error(reason))
            return
        refusal = self.session.refreshed(identity, time.monotonic(), time.time_ns() // 1_000_000)
        self._finish(request, {"token_expires_at": rfc3339(identity.expires_ms)}, error=refusal)

    def _finish(self, request: Request, result: object = None, *, error: ErrorBody | None = None) -> None:
        self.session.answer(request, None if error else result, error=error)
        self._nudge()
        self._room.set()

    # The writer

    async def _write(self) -> None:
        try:
            while not self._over:
                if not await self._step():
                    return
        except Hangup:
            pass
        except Exception:  # noqa: BLE001 - a bug ends this connection, with a goodbye, and no other
            _log.exception("a connection failed", user_id=self.user)
            await self._line.goodbye(Goodbye(CLOSES["internal_error"]))
        finally:
            self._over = True
            self._room.set()

    async def _step(self) -> bool:
        """Do one thing; False after the goodbye."""
        session = self.session
        match session.next():
            case bytes() as frame:
                session.writing(time.monotonic())
                await self._line.send(frame)
                session.written(time.monotonic())
                self._room.set()
            case ReadPage(after, limit):
                await self._page(after, limit)
            case Look(position):
                await self._look(position)
            case Goodbye() as goodbye:
                await self._line.goodbye(goodbye)
                return False
            case None:
                self._wake.clear()
                await self._wake.wait()
        return True

    async def _page(self, after: Position, limit: int) -> None:
        try:
            entries = await self._logs.read(self.user, after, limit)
        except Transient:
            await self._pause()
        else:
            for entry in entries:
                self._ephemera.entered((self,), entry.body)
            self.session.delivery.page(entries)

    async def _look(self, position: Position) -> None:
        try:
            outlook = await look(self._logs, self.user, position)
        except Transient:
            self.session.delivery.look_failed()
            await self._pause()
        else:
            self.session.delivery.looked(outlook.head, outlook.reason)

    async def _pause(self) -> None:
        """Redis is away: wait, not all at the same time. The sweep ends connections for which it stays away (hole C17)."""
        await asyncio.sleep(RETRY_SECONDS * (0.5 + random.random()))
