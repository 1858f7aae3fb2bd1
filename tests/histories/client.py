"""A device over the real wire, which writes down what happens to it: docs/protocol.md §1, as short as it can be read.

It shares no code with the product's SDK on purpose: what both get wrong in the same way would not be seen. It never mends
what the server must not do: a hole in the positions is written down as it came.
"""

import asyncio
import contextlib
import random
import socket as sockets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from schemas.ids import Position
from tests.histories import frames, records
from tests.histories.changing import Changes
from tests.histories.fetching import Fetching, Unreadable
from tests.histories.hearing import event_of
from tests.histories.recorder import Recorder

BACKOFF_SECONDS = (0.05, 1.0)
DIAL_SECONDS = 5.0
RECEIVE_BUFFER_BYTES = 64 * 1024
LOST = (OSError, TimeoutError, WebSocketException, EOFError)


@dataclass
class Waiting:
    """A send in the outbox."""

    conversation_id: str
    text: str
    attempts: int = 0
    accepted: bool = False
    due: float = 0.0
    """When it is sent again unless something is heard of it."""


class Client:
    """One device of one person. Keeps its outbox, position and what it has seen over lost connections.

    Args:
        addresses: `host:port` of gateways; each connection goes to one of them at random.
        accept_seconds: without an answer this long, a send is repeated.
        create_seconds: accepted but not seen stored this long, it is repeated too.
    """

    def __init__(
        self,
        recorder: Recorder,
        http: httpx2.AsyncClient,
        addresses: Sequence[str],
        *,
        user: str,
        device: str,
        token: str,
        accept_seconds: float = 4.0,
        create_seconds: float = 8.0,
    ) -> None:
        self.user, self.device, self.token = user, device, token
        self.outbox: dict[str, Waiting] = {}
        self.position: Position | None = None
        self.address = ""
        """The gateway of the newest connection."""
        self.accepted = 0
        self.dead = False
        self.synced = asyncio.Event()
        self.reading = asyncio.Event()
        """Cleared, it stops reading its socket, as a browser in a closed laptop does."""
        self.reading.set()
        self._recorder, self._addresses = recorder, addresses
        self._fetching = Fetching(http, addresses, token)
        self.changes = Changes(recorder, self._fetching, user=user, device=device, write=self._write_numbered)
        self._accept_seconds, self._create_seconds = accept_seconds, create_seconds
        self.highest: dict[str, int] = {}
        """By conversation: the number of the newest message."""
        self.messages: dict[str, records.Text] = {}
        """As they are now."""
        self._loaded_rev: dict[str, int] = {}
        """By conversation: every change up to this number was there when the state was loaded last."""
        self._entered: set[str] = set()
        """Conversations that this person was brought into, not loaded yet."""
        self._socket: ClientConnection | None = None
        self._requests: dict[int, str | None] = {}
        self._request_id = 0
        self._held: list[frames.DurableEvent] | None = None
        self._resyncing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()

    # Life

    def start(self) -> None:
        """Connect, and stay connected until `stop` or `die`."""
        self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._post())]

    async def stop(self) -> None:
        """Close the socket and end."""
        for task in self._tasks:
            task.cancel()
        await self.changes.stop()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def die(self) -> None:
        """Go away for good, with what is in the outbox."""
        self.dead = True
        await self.stop()
        self._recorder.add(records.Died(t=self._recorder.t, device=self.device))

    def cut(self) -> None:
        """Lose the socket, as in a tunnel: no goodbye, and what is on its way is lost."""
        if self._socket is not None:
            self._socket.transport.abort()

    def send(self, conversation_id: str, text: str) -> str:
        """Put a message in the outbox; its `client_msg_id`."""
        key = str(uuid.uuid4())
        self.outbox[key] = Waiting(conversation_id, text)
        self._wake.set()
        return key

    async def mark(self, conversation_id: str, read_seq: int) -> None:
        """Say how far this person has read; at most once, the next one makes up for it."""
        if self._socket is not None:
            with contextlib.suppress(*LOST):
                frame = {"type": "receipt", "conversation_id": conversation_id, "read_seq": read_seq}
                await self._write(self._socket, frame)

    @property
    def seen(self) -> set[str]:
        """The messages that it has."""
        return set(self.messages)

    @property
    def at_rest(self) -> bool:
        """Whether it is connected, whole, and waits for nothing."""
        waiting = self.outbox or self.changes.waiting or self._entered
        return self._socket is not None and self.synced.is_set() and not waiting

    # The socket

    async def _stay_connected(self) -> None:
        low, cap = BACKOFF_SECONDS
        wait = low
        while True:
            began = self._recorder.t
            code = 1006
            try:
                code = await self._live()
            except LOST as failure:
                code = getattr(getattr(failure, "rcvd", None), "code", 1006)
            finally:
                await self._over(code)
            wait = low if self._recorder.t - began > cap else min(cap, wait * 2)
            await asyncio.sleep(random.uniform(low, wait))

    async def _live(self) -> int:
        self.address = random.choice(self._addresses)
        async with connect(
            f"ws://{self.address}/ws", sock=await _dial(self.address), subprotocols=[Subprotocol("headrace.v1")],
            compression=None, ping_interval=None, open_timeout=DIAL_SECONDS, close_timeout=0.2, max_queue=16,
        ) as socket:  # fmt: skip
            resume = str(self.position) if self.position else None
            fields = {"token": self.token, "client": {"name": "recorder", "device_id": self.device}}
            await self._write(socket, {"type": "connect", **fields, **({"resume": resume} if resume else {})})
            first = frames.frame_decoder.decode(await asyncio.wait_for(socket.recv(), 10))
            if isinstance(first, frames.Disconnect):
                return first.code
            assert isinstance(first, frames.Connected), first
            self._connected(socket, first, resume)
            async for raw in socket:
                await self.reading.wait()
                await self._hear(socket, frames.frame_decoder.decode(raw))
        return socket.close_code or 1006

    def _connected(self, socket: ClientConnection, frame: frames.Connected, resume: str | None) -> None:
        self._recorder.add(
            records.Connected(
                t=self._recorder.t, device=self.device, user=self.user, resumed_from=resume,
                position=frame.position, recovered=frame.recovered, resync=frame.resync,
            )
        )  # fmt: skip
        self._socket = socket
        self._requests.clear()
        self.changes.connected()
        for waiting in self.outbox.values():
            if not waiting.accepted:
                waiting.due = 0.0
        if frame.resync is not None:
            self._begin_resync(frame.retry_after_ms)
        else:
            self.synced.set()
        self._wake.set()

    async def _over(self, code: int) -> None:
        if self._resyncing is not None:
            self._resyncing.cancel()
            await asyncio.gather(self._resyncing, return_exceptions=True)
        self._resyncing, self._held = None, None
        if self._socket is not None:
            self._socket = None
            self._recorder.add(records.Disconnected(t=self._recorder.t, device=self.device, code=code))
        self.synced.clear()

    async def _write(self, socket: ClientConnection, frame: dict[str, object]) -> None:
        await socket.send(msgspec.json.encode(frame).decode())

    async def _write_numbered(self, frame: dict[str, object]) -> int | None:
        if self._socket is None:
            return None
        self._request_id += 1
        number = self._request_id
        with contextlib.suppress(*LOST):
            await self._write(self._socket, {**frame, "id": number})
        return number

    async def _hear(self, socket: ClientConnection, frame: frames.Frame) -> None:
        match frame:
            case frames.DurableEvent():
                if self._held is not None:
                    self._held.append(frame)
                else:
                    self._apply(frame, via="live")
            case frames.Reply():
                self._answered(frame)
            case frames.Ping():
                await self._write(socket, {"type": "pong"})
                if self._held is None and self.position and self._behind(Position.parse(frame.position)):
                    await self._ask_page(socket)
            case frames.ResyncRequired():
                self._recorder.add(
                    records.ResyncTold(
                        t=self._recorder.t, device=self.device, reason=frame.reason, position=frame.position
                    )
                )
                self._begin_resync(frame.retry_after_ms)
            case frames.Connected() | frames.TokenExpiring() | frames.Disconnect():
                pass

    def _behind(self, head: Position) -> bool:
        return self.position is not None and head.epoch == self.position.epoch and head.offset > self.position.offset

    async def _ask_page(self, socket: ClientConnection) -> None:
        self._request_id += 1
        self._requests[self._request_id] = None
        await self._write(socket, {"type": "sync", "id": self._request_id, "after": str(self.position)})

    # Sending

    async def _post(self) -> None:
        """The outbox: one unanswered send in a conversation, the oldest first; repeats when nothing is heard."""
        while True:
            socket, now = self._socket, self._recorder.t
            if socket is not None:
                unanswered: set[str] = set()
                for key, waiting in list(self.outbox.items()):
                    if waiting.conversation_id in unanswered:
                        continue
                    if not waiting.accepted:
                        unanswered.add(waiting.conversation_id)
                    if waiting.due <= now:
                        with contextlib.suppress(*LOST):
                            await self._transmit(socket, key, waiting)
            await self.changes.post()
            await self._enter()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):  # `wait_for` of 3.11 may swallow a cancellation
                    await self._wake.wait()

    async def _transmit(self, socket: ClientConnection, key: str, waiting: Waiting) -> None:
        waiting.attempts += 1
        waiting.due = self._recorder.t + self._accept_seconds
        self._request_id += 1
        self._requests[self._request_id] = key
        self._recorder.add(
            records.Sent(
                t=self._recorder.t, device=self.device, user=self.user, conversation_id=waiting.conversation_id,
                client_msg_id=key, text=waiting.text, attempt=waiting.attempts,
            )
        )  # fmt: skip
        await self._write(
            socket,
            {
                "type": "message.send", "id": self._request_id, "conversation_id": waiting.conversation_id,
                "client_msg_id": key, "content": {"text": waiting.text},
            },
        )  # fmt: skip

    def _answered(self, reply: frames.Reply) -> None:
        if reply.id is None or self.changes.answered(reply.id, reply):
            return
        key = self._requests.pop(reply.id)
        if key is None:
            if reply.ok:
                for event in msgspec.json.decode(reply.result, type=frames.SyncPage).events:
                    self._apply(event, via="sync")
            return
        waiting = self.outbox.get(key)
        if waiting is None:
            return  # its event came before its answer
        fields = {
            "device": self.device,
            "user": self.user,
            "conversation_id": waiting.conversation_id,
            "client_msg_id": key,
        }
        if reply.ok:
            self._recorder.add(records.Accepted(t=self._recorder.t, **fields))
            self.accepted += 1
            waiting.accepted = True
            waiting.due = self._recorder.t + self._create_seconds
        else:
            error = reply.error or frames.Error("none")
            self._recorder.add(
                records.Refused(t=self._recorder.t, code=error.code, temporary=error.temporary, **fields)
            )
            waiting.due = self._recorder.t + max(error.retry_after_ms / 1000, 0.2)
            if not error.temporary:
                del self.outbox[key]
        self._wake.set()

    # Receiving

    def _apply(self, event: frames.DurableEvent, *, via: str) -> None:
        heard = event_of(event, t=self._recorder.t, device=self.device, user=self.user, via=via)
        self._recorder.add(heard)
        here = Position.parse(event.position)
        if self.position is None or here.epoch != self.position.epoch or here.offset > self.position.offset:
            self.position = here
        if message := heard.message or heard.now:
            self._saw(message)
        if heard.client_msg_id:
            self._settled(heard.client_msg_id)
        if heard.event == "conversation.created" and heard.rev > 1:  # else nothing was there before
            self._entered.add(heard.conversation_id)
        self.changes.heard(heard)

    def _saw(self, message: records.Text) -> None:
        known = self.messages.get(message.message_id)
        if known is None or known.rev < message.rev:
            self.messages[message.message_id] = message
        self.highest[message.conversation_id] = max(message.seq, self.highest.get(message.conversation_id, 0))
        if message.sender_id == self.user:
            self._settled(message.client_msg_id)

    def _settled(self, key: str) -> None:
        if self.outbox.pop(key, None) is not None:
            self._wake.set()

    # Resync

    def _begin_resync(self, spread_ms: int) -> None:
        """Load the state; until it is there, events are held. A second call while one runs begins again."""
        if self._resyncing is not None:
            self._resyncing.cancel()
        self.synced.clear()
        self.position, self._held = None, []
        self._resyncing = asyncio.create_task(self._resync(spread_ms))

    async def _resync(self, spread_ms: int) -> None:
        await asyncio.sleep(random.uniform(0, spread_ms / 1000))
        while True:
            try:
                position = await self._load()
                break
            except (Unreadable, httpx2.HTTPError):
                await asyncio.sleep(random.uniform(*BACKOFF_SECONDS))
        self._recorder.add(records.Synced(t=self._recorder.t, device=self.device, position=str(position)))
        self.position = position
        held, self._held = self._held or [], None
        for event in held:
            if self._behind(Position.parse(event.position)):
                self._apply(event, via="live")
        self.synced.set()

    async def _load(self) -> Position:
        """The state: of each conversation who is in it, and what is new or has changed since it was loaded last."""
        position: Position | None = None
        async for page in self._fetching.states():
            position = position or Position.parse(page.position)
            for room in page.conversations:
                known = self._loaded_rev.get(room.conversation_id, 0)
                await self._load_room(room, known if room.rev > known else None)
                self._loaded_rev[room.conversation_id] = room.rev
        assert position is not None
        return position

    async def _load_room(self, room: frames.Room, since_rev: int | None) -> None:
        messages = [] if since_rev is None else await self._fetching.changed_since(room.conversation_id, since_rev)
        common = {"t": self._recorder.t, "device": self.device, "user": self.user}
        members = [member.as_record() for member in room.members]
        self._recorder.add(
            records.LoadedRoom(conversation_id=room.conversation_id, rev=room.rev, members=members, **common)
        )
        for message in (message.as_text() for message in messages):
            if (known := self.messages.get(message.message_id)) is None or known.rev < message.rev:
                self._recorder.add(records.Loaded(message=message, **common))
                self._saw(message)

    async def _enter(self) -> None:
        """Load the conversations that this person was brought into."""
        for conversation_id in list(self._entered):
            self._entered.discard(conversation_id)
            try:
                await self._load_room(await self._fetching.room(conversation_id), 0)
            except Unreadable as failure:
                if failure.status not in {403, 404}:  # else: put out meanwhile
                    self._entered.add(conversation_id)
            except httpx2.HTTPError:
                self._entered.add(conversation_id)
            except BaseException:
                self._entered.add(conversation_id)
                raise


async def _dial(address: str) -> sockets.socket:
    """A connection whose kernel keeps little: who stops reading is soon felt at the other end."""
    host, port = address.rsplit(":", 1)
    dialled = sockets.socket()
    dialled.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    dialled.setblocking(False)
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            await asyncio.get_running_loop().sock_connect(dialled, (host, int(port)))
    except BaseException:
        dialled.close()
        raise
    return dialled
