"""The client: a thin shell of sockets, timers and futures around `core.Core`, which decides everything."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from headrace_client import effects, wire
from headrace_client.core import NEVER, Core, Counts, Link
from headrace_client.entities import Message
from headrace_client.errors import ApiError, HeadraceError, Stopped, Unreachable
from headrace_client.events import AnyEvent
from headrace_client.http import Address
from headrace_client.inbox import Delivery
from headrace_client.interest import Status
from headrace_client.marks import Key, Levels
from headrace_client.outbox import Outgoing
from headrace_client.progress import Progress
from headrace_client.rest import load_state
from headrace_client.sending import Sending
from headrace_client.store import Row, Store
from headrace_client.tokens import Tokens, TokenSource

log = logging.getLogger("headrace_client")

DIAL_S = 10.0
VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Stats:
    """A moment's figures: counts since the client was made, and what waits now."""

    link: Link
    user_id: str | None
    position: str | None
    outbox: int
    inbox: int
    repeats: int
    counts: Counts


class Client:
    """A user's connection to Headrace, kept up for as long as the `async with` block runs.

    `token`: an access token, or an async function that returns a good one (`rest.Api.token`); it is called before the first
    connection, when the server says that the token ends, and when it has ended. `store`: a file for the outbox and the
    position; without it both are lost with the process. `deliver=False` is for programs that only send.

    Raises (on entering):
        StoreInUse: another program has this store.
    """

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

    # What a program uses

    @property
    def link(self) -> Link:
        """Disconnected, connecting or connected."""
        return Link.DISCONNECTED if self._stopped.is_set() else self._core.link

    @property
    def user_id(self) -> str | None:
        """Who we are; None until the first connection."""
        return self._core.user_id

    async def wait_for(self, link: Link) -> None:
        """Wait until the connection is in this state.

        Raises:
            Stopped: it will never be.
        """
        while self.link is not link:
            self._raise_if_stopped()
            await self._next_change()

    async def links(self) -> AsyncIterator[Link]:
        """The connection's state now, and at every change that lasts long enough to be seen."""
        shown = self.link
        yield shown
        while not self._stopped.is_set():
            if self.link is shown:
                await self._next_change()
            else:
                shown = self.link
                yield shown

    def send(
        self,
        conversation_id: str,
        text: str,
        *,
        reply_to: str | None = None,
        thread_root_id: str | None = None,
        mentions: Sequence[str] = (),
        client_msg_id: str | None = None,
    ) -> Sending:
        """Put a message into the outbox; it is on disk when this returns, connected or not.

        Raises:
            OutboxFull: too many wait already.
            ValueError: the text is longer than a frame can be, or this `client_msg_id` waits already.
            Stopped: the client has ended.
        """
        key = client_msg_id or str(uuid.uuid4())
        fields: dict[str, object] = {
            "client_msg_id": key,
            "content": {"text": text},
            "reply_to": reply_to,
            "thread_root_id": thread_root_id,
            "mentions": list(mentions) or None,
        }
        return self._put_out("message.send", conversation_id, key, fields)

    def edit(self, message: Message, text: str, *, only_if_unchanged: bool = False) -> Sending:
        """Give a message of ours another text; as durable as `send`, and in order with it. `stored` is the message as it is then.

        With `only_if_unchanged` it is refused (`conflict`) if anybody has changed the message since this copy of it. Raises as `send`.
        """
        expected = message.rev if only_if_unchanged else None
        return self._change("message.edit", message, {"content": {"text": text}, "expected_rev": expected})

    def delete(self, message: Message) -> Sending:
        """Delete a message. As `edit`."""
        return self._change("message.delete", message, {})

    def react(self, message: Message, emoji: str, *, remove: bool = False) -> Sending:
        """React to a message, or take the reaction back. As `edit`."""
        return self._change("reaction.remove" if remove else "reaction.add", message, {"emoji": emoji})

    def _change(self, kind: str, message: Message, fields: dict[str, object]) -> Sending:
        key = str(uuid.uuid4())
        fields = {"client_op_id": key, "message_id": message.message_id, **fields}
        return self._put_out(kind, message.conversation_id, key, fields)

    def _put_out(self, kind: str, conversation_id: str, client_msg_id: str, fields: dict[str, object]) -> Sending:
        self._raise_if_stopped()
        body = wire.encode({"type": kind, "conversation_id": conversation_id, **fields})
        if len(body) > wire.MAX_FRAME_BYTES - 32:
            raise ValueError(
                f"the message is {len(body)} bytes as a frame; at most {wire.MAX_FRAME_BYTES - 32} can be sent"
            )
        outgoing = Outgoing(client_msg_id, conversation_id, body)
        self._core.check_room(client_msg_id)
        self._store.add(Row(client_msg_id, self._core.user_id, conversation_id, body))
        sending = self._sendings[client_msg_id] = Sending(client_msg_id, conversation_id)
        self._apply(self._core.send(outgoing, self._loop.time()))
        return sending

    def mark(
        self,
        conversation_id: str,
        *,
        read_seq: int = 0,
        delivered_seq: int = 0,
        thread_root_id: str | None = None,
        private: bool = False,
    ) -> None:
        """Say how far we have received and read, connected or not; cheap to call for every message that comes on screen.

        Marks are merged, and sent again after a reconnect until the server confirms them; they live as long as this client.
        `private`: only our own devices learn of the reading.

        Raises:
            Stopped: the client has ended.
        """
        self._raise_if_stopped()
        levels = Levels(delivered_seq, 0, read_seq) if private else Levels(delivered_seq, read_seq)
        self._apply(self._core.mark(Key(conversation_id, thread_root_id), levels, self._loop.time()))

    # Ephemeral: said on this connection and on every later one, and lost with the client

    def watch(self, conversation_id: str) -> None:
        """Hear who types in a conversation, for as long as it is on screen; at most 20 at once.

        Raises:
            ValueError: 20 are watched already.
            Stopped: the client has ended.
        """
        self._raise_if_stopped()
        self._core.interest.watch(conversation_id)
        self._apply(self._core.interested(self._loop.time()))

    def unwatch(self, conversation_id: str) -> None:
        """Look away from a conversation."""
        self._core.interest.unwatch(conversation_id)
        self._apply(self._core.interested(self._loop.time()))

    def typing(self, conversation_id: str, *, thread_root_id: str | None = None, stop: bool = False) -> None:
        """Say that we type in a conversation that we watch, or have stopped. Call it for every key: it says so every 3 s at most."""
        self._raise_if_stopped()
        self._apply(self._core.type(conversation_id, thread_root_id, stop=stop, now=self._loop.time()))

    def subscribe_presence(self, user_ids: Iterable[str]) -> None:
        """Hear of these people's presence: how it is now, and every change; at most 500 people in all.

        Raises:
            ValueError: there would be more.
            Stopped: the client has ended.
        """
        self._raise_if_stopped()
        self._core.interest.subscribe(user_ids)
        self._apply(self._core.interested(self._loop.time()))

    def unsubscribe_presence(self, user_ids: Iterable[str]) -> None:
        """Hear of these people's presence no more."""
        self._core.interest.unsubscribe(user_ids)
        self._apply(self._core.interested(self._loop.time()))

    def set_presence(self, status: Status) -> None:
        """Show this device as `online`, `away`, `busy` or `invisible`."""
        self._raise_if_stopped()
        self._core.interest.status = status
        self._apply(self._core.interested(self._loop.time()))

    def pending(self) -> list[Sending]:
        """Messages that are not stored yet, those of an earlier run included once we are connected; oldest first."""
        return list(self._sendings.values())

    async def events(self) -> AsyncIterator[AnyEvent]:
        """What happens, in order. Asking for the next one says that the last one is handled: only then the position moves.

        One reader at a time. What was not handled when the loop was left comes again, in this run or the next.

        Raises:
            Stopped: the connection ended for good; everything before it was yielded.
        """
        while True:
            if self._current is None:
                self._current, todo = self._core.take(self._loop.time())
                self._apply(todo)
            if self._current is None:
                self._progress.commit(self._core.user_id)
                if self._stopped.is_set():
                    self._raise_if_stopped(closing=False)
                    return
                await self._next_change()
                continue
            if self._current.item is not None:
                yield self._current.item
            step, self._current = self._current, None
            self._progress.handled(step, self._core.user_id)

    async def handle(self, handler: Callable[[AnyEvent], Awaitable[None]]) -> None:
        """Call `handler` for every event until the client is closed. What it raises is logged, and the next event follows."""
        async for event in self.events():
            try:
                await handler(event)
            except Exception:
                log.exception("the handler failed on %r", event)

    def stats(self) -> Stats:
        """Figures of this moment."""
        core = self._core
        position = str(core.inbox.last) if core.inbox.last else None
        return Stats(
            core.link, core.user_id, position, core.outbox_size, len(core.inbox), core.inbox.repeats, core.counts
        )

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
