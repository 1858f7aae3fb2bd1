"""The shell around `core.Core`: a socket, a timer, tasks and futures. It carries out what the core decides, and tells it what happens."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from headrace_client import effects, wire
from headrace_client.core import NEVER, Core
from headrace_client.errors import ApiError, HeadraceError, Stopped, Unreachable
from headrace_client.http import Address
from headrace_client.inbox import Delivery
from headrace_client.progress import Progress
from headrace_client.rest import load_state
from headrace_client.sending import Sending
from headrace_client.store import Store
from headrace_client.tokens import Tokens, TokenSource

log = logging.getLogger("headrace_client")

DIAL_S = 10.0
VERSION = "0.1.0"


class Shell:
    """The life of one client: connects, talks, waits, again, from `__aenter__` to `close`; `Client` is what a program sees of it."""

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource,
        store: Path | str | None = None,
        client_name: str = "headrace-python",
        device_id: str | None = None,
        outbox_cap: int = 1000,
        inbox_limit: int = 1000,
        deliver: bool = True,
    ) -> None:
        self.address = Address.parse(url)
        self._tokens = Tokens(token)
        self._store_path, self._deliver = store, deliver
        self._outbox_cap, self._inbox_limit = outbox_cap, inbox_limit
        self._client = {"name": client_name, "version": VERSION, "instance_id": uuid.uuid4().hex}
        if device_id is not None:
            self._client["device_id"] = device_id
        self._sendings: dict[str, Sending] = {}
        self._frames: asyncio.Queue[bytes] | None = None
        self._socket: ClientConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: HeadraceError | None = None
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()
        self._current: Delivery | None = None

    async def __aenter__(self) -> Self:
        self._store = Store(self._store_path)
        self._core = Core(
            self._store.load(), client=self._client, outbox_cap=self._outbox_cap, inbox_limit=self._inbox_limit
        )
        self._progress = Progress(self._store)
        self._loop = asyncio.get_running_loop()
        self._spawn(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Commit what was handled and disconnect. What is not stored yet stays in the store's outbox."""
        if self._stopped.is_set() and not self._tasks:
            return
        self._stopped.set()
        self._notify()
        if self._socket is not None:
            await self._socket.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._progress.commit(self._core.user_id)
        self._store.close()
        for sending in self._sendings.values():
            sending.settle(self._failure or Stopped("the client was closed; the message may or may not be sent later"))

    # The connection

    async def _run(self) -> None:
        """Connect, talk, wait, again; until the core or the program says stop."""
        try:
            while not self._stopped.is_set():
                await asyncio.sleep(max(0.0, self._core.dial_at - self._loop.time()))
                self._core.dialling()
                self._notify()
                await self._once()
        except HeadraceError as failure:
            self._fail(failure)

    async def _once(self) -> None:
        try:
            token = await self._tokens.get(renew=self._core.token_stale)
            self._core.token_stale = False
            socket = await self._dial()
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, EOFError, Unreachable) as failure:
            log.info("no connection to %s: %s", self.address.socket_url, failure)
            self._apply(self._core.undialled(self._loop.time()))
        except ApiError as failure:
            if not failure.temporary:
                raise Stopped(f"no token: {failure}") from failure
            self._apply(self._core.undialled(self._loop.time(), failure.retry_after_s or 0.0))
        except InvalidURI as failure:
            raise Stopped(str(failure)) from failure
        else:
            await self._converse(socket, token)

    async def _dial(self) -> ClientConnection:
        return await connect(
            self.address.socket_url,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            compression=None,
            open_timeout=DIAL_S,
            ping_interval=None,  # the protocol has its own, which also proves that the server's program is alive
            close_timeout=2,
            max_size=16 * 2**20,
            max_queue=64,
        )

    async def _converse(self, socket: ClientConnection, token: str) -> None:
        self._socket, self._frames = socket, asyncio.Queue()
        writer = self._spawn(self._write(socket, self._frames))
        code, reason = None, ""
        try:
            self._apply(self._core.opened(token, self._loop.time()))
            async for raw in socket:
                self._apply(self._core.received(raw, self._loop.time()))
        except ConnectionClosed:
            pass
        finally:
            self._frames = self._socket = None
            writer.cancel()
            await socket.close()
            if socket.protocol.close_rcvd is not None:
                code, reason = socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason
            self._apply(self._core.lost(code, reason, self._loop.time()))

    async def _write(self, socket: ClientConnection, frames: asyncio.Queue[bytes]) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(await frames.get(), text=True)

    # Effects

    def _apply(self, todo: list[effects.Effect]) -> None:
        for effect in todo:
            self._carry_out(effect)
        self._arm()
        self._notify()

    def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Write(frame):
                if self._frames is not None:
                    self._frames.put_nowait(frame)
            case effects.Hang(why):
                log.info("hanging up: %s", why)
                self._abort()
            case effects.Load(number):
                self._spawn(self._load(number))
            case effects.Refresh():
                self._spawn(self._refresh())
            case effects.Adopt(user_id):
                self._store.adopt(user_id)
            case effects.Stop(failure):
                self._fail(failure)
            case _:
                self._report(effect)

    def _report(self, effect: effects.Restored | effects.Accepted | effects.Settled) -> None:
        """Tell the program what became of its messages."""
        match effect:
            case effects.Restored(client_msg_id, conversation_id):
                self._sendings[client_msg_id] = Sending(client_msg_id, conversation_id)
            case effects.Accepted(client_msg_id):
                self._sendings[client_msg_id].accept()
            case effects.Settled(client_msg_id, result, forget):
                self._sendings.pop(client_msg_id).settle(result)
                if forget:
                    self._store.remove(client_msg_id)
            case _:
                assert_never(effect)

    def _abort(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    async def _load(self, number: int) -> None:
        try:
            state = await load_state(self.address, await self._tokens.get())
        except (ApiError, Unreachable, OSError) as failure:
            log.info("the state could not be loaded: %s", failure)
            self._core.load_failed(number, self._loop.time())
            if isinstance(failure, ApiError) and failure.status == 401:
                await self._refresh()
            self._arm()
        else:
            self._apply(self._core.loaded(number, state, self._loop.time()))

    async def _refresh(self) -> None:
        try:
            token = await self._tokens.get(renew=True)
        except (HeadraceError, OSError) as failure:
            log.info("no new token: %s", failure)  # the server will say 4004 when the old one has ended
        else:
            self._apply(self._core.refreshed(token, self._loop.time()))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = self._core.wake_at()
        self._timer = None if at == NEVER or self._stopped.is_set() else self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._apply(self._core.tick(self._loop.time()))

    def _fail(self, failure: HeadraceError) -> None:
        self._failure = self._failure or failure
        self._stopped.set()
        self._abort()
        for sending in self._sendings.values():
            sending.settle(self._failure)
        self._notify()

    def _raise_if_stopped(self, *, closing: bool = True) -> None:
        if self._failure is not None:
            raise self._failure
        if closing and self._stopped.is_set():
            raise Stopped("the client was closed")

    def _notify(self) -> None:
        if not self._deliver:
            self._swallow()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _next_change(self) -> None:
        await self._changed.wait()

    def _swallow(self) -> None:
        while step := self._core.inbox.take():
            self._progress.handled(step, self._core.user_id)
        self._progress.commit(self._core.user_id)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("the client failed", exc_info=failure)
            stopped = Stopped(f"the client failed: {failure!r}")
            stopped.__cause__ = failure
            self._fail(stopped)
