"""A server that plays a script: what every client of the protocol is tested against, frame by frame.

It speaks `GET /ws` and `GET /api/sync` on one port. It does nothing by itself: the test takes each connection, expects frames, and
answers what it likes.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

PATIENCE_S = 15.0
USER = "00000000-0000-4000-8000-00000000000a"
OTHER = "00000000-0000-4000-8000-00000000000b"
CHAT = "00000000-0000-4000-8000-0000000000c1"
EPOCH = 1_795_000_000_000_123

Frame = dict[str, Any]


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until it holds.

    Raises:
        TimeoutError: it does not, for `PATIENCE_S`.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is awaited is another program's state
            await asyncio.sleep(0.005)


class Session:
    """One connection, seen from the server."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.done = asyncio.Event()

    async def any(self) -> Frame:
        """The next frame."""
        return json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE_S))

    async def expect(self, kind: str) -> Frame:
        """The next frame, which must be of this type."""
        frame = await self.any()
        assert frame["type"] == kind, frame
        return frame

    @property
    def path(self) -> str:
        """What was asked for in the upgrade."""
        request = self.connection.request
        return request.path if request else ""

    async def silent(self, seconds: float) -> bool:
        """Whether the client says nothing for this long."""
        try:
            await asyncio.wait_for(self.connection.recv(), seconds)
        except TimeoutError:
            return True
        return False

    async def say(self, frame: Frame) -> None:
        """Send a frame."""
        await self.connection.send(json.dumps(frame))

    async def connected(self, offset: int = 0, *, epoch: int = EPOCH, user: str = USER, **fields: Any) -> None:
        """Answer `connect`."""
        frame = {
            "type": "connected",
            "connection_id": "c",
            "session_id": "s",
            "user_id": user,
            "position": f"{epoch}-{offset}",
            "recovered": fields.get("resync") is None,
            "resync": None,
            "heartbeat_interval_ms": 25_000,
            "token_expires_at": "2030-01-01T00:00:00Z",
            "server_time": "2026-11-22T13:00:00.000Z",
            "limits": {},
        }
        await self.say(frame | fields)

    async def accept(self, frame: Frame) -> None:
        """Say `accepted` to a send or a change."""
        key = "client_msg_id" if "client_msg_id" in frame else "client_op_id"
        await self.answer(frame, {"status": "accepted", key: frame[key]})

    async def page(self, frame: Frame, events: list[Frame], *, more: bool = False) -> None:
        """Answer `sync` with a stretch of the log."""
        position = events[-1]["position"] if events else frame["after"]
        await self.answer(frame, {"events": events, "position": position, "more": more})

    async def answer(self, frame: Frame, result: Frame) -> None:
        """Say yes to a request."""
        await self.say({"type": "reply", "id": frame["id"], "ok": True, "result": result})

    async def store(self, offset: int, frame: Frame, seq: int, **fields: Any) -> None:
        """Ring the event that says that a message of this user's is stored."""
        data = message(seq, frame["content"]["text"], client_msg_id=frame["client_msg_id"], sender=USER, **fields)
        await self.event(offset, "message.created", data)

    async def ping(self, offset: int, *, epoch: int = EPOCH) -> None:
        """Have everything that was said before answered for: what the client does next, it does knowing it."""
        await self.say({"type": "ping", "position": f"{epoch}-{offset}"})
        await self.expect("pong")

    async def refuse(
        self, frame: Frame, code: str, *, temporary: bool = False, retry_after_ms: int | None = None
    ) -> None:
        """Say no to a request."""
        error: Frame = {"code": code, "message": code, "temporary": temporary}
        if retry_after_ms is not None:
            error["retry_after_ms"] = retry_after_ms
        await self.say({"type": "reply", "id": frame["id"], "ok": False, "error": error})

    async def event(
        self,
        offset: int,
        name: str,
        data: Frame,
        *,
        epoch: int = EPOCH,
        event_id: str | None = None,
        **beside: Any,
    ) -> None:
        """Ring a durable event; `beside`: what it says beside its data (`actor_id`, `client_op_id`)."""
        await self.say({"type": "event", **logged(offset, name, data, epoch=epoch, event_id=event_id), **beside})

    async def close(self, code: int = 4005, reason: str = "") -> None:
        """Close with this code."""
        await self.connection.close(code, reason)
        self.done.set()

    def cut(self) -> None:
        """Lose the connection without a word."""
        self.connection.transport.abort()
        self.done.set()


class ScriptedServer:
    """The server. `states` are the answers of `GET /api/sync`, in order; the last one stays.

    `tokens`: those that it takes there; None: any. `queries`: what was asked beside the path.
    """

    def __init__(self) -> None:
        self.states: deque[Frame | HTTPStatus] = deque()
        self.syncs = 0
        self.tokens: set[str] | None = None
        self.queries: list[str] = []
        self.sync_gate = asyncio.Event()
        self.sync_gate.set()
        self._sessions: asyncio.Queue[Session] = asyncio.Queue()
        self._server: Server

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("headrace.v1")],
            process_request=self._http,
            compression=None,
            ping_interval=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def session(self) -> Session:
        """The next connection."""
        return await asyncio.wait_for(self._sessions.get(), PATIENCE_S)

    async def ready(self, offset: int = 0, *, epoch: int = EPOCH) -> Session:
        """The next connection, resumed whole at this offset."""
        session = await self.session()
        await session.expect("connect")
        await session.connected(offset, epoch=epoch)
        return session

    async def fresh(self, offset: int = 0, *, epoch: int = EPOCH) -> Session:
        """The next connection, with a resync from an empty state."""
        self.states.appendleft(state(offset, epoch=epoch))
        session = await self.session()
        await session.expect("connect")
        await session.connected(offset, epoch=epoch, resync="fresh")
        return session

    async def _serve(self, connection: ServerConnection) -> None:
        session = Session(connection)
        self._sessions.put_nowait(session)
        with contextlib.suppress(ConnectionClosed):
            await connection.wait_closed()

    async def _http(self, connection: ServerConnection, request: Request) -> Response | None:
        if not request.path.startswith("/api/sync"):
            return None
        self.queries.append(urlsplit(request.path).query)
        await asyncio.wait_for(self.sync_gate.wait(), PATIENCE_S)
        self.syncs += 1
        if (
            self.tokens is not None
            and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens
        ):
            body = '{"code":"token_expired","detail":"too old","status":401,"temporary":false}'
            return connection.respond(HTTPStatus.UNAUTHORIZED, body)
        answer = self.states.popleft() if len(self.states) > 1 else self.states[0]
        if isinstance(answer, HTTPStatus):
            return connection.respond(answer, '{"code":"unavailable","detail":"not now","status":503}')
        return connection.respond(HTTPStatus.OK, json.dumps(answer))


def logged(offset: int, name: str, data: Frame, *, epoch: int = EPOCH, event_id: str | None = None) -> Frame:
    """One entry of the log, as in frames and in pages."""
    return {
        "position": f"{epoch}-{offset}",
        "event": name,
        "event_id": event_id or f"{data.get('conversation_id', '')}.{data.get('rev', offset)}.{name}",
        "ts": "2026-11-22T13:00:00.123Z",
        "data": data,
    }


def message(
    seq: int, text: str = "hi", *, client_msg_id: str | None = None, sender: str = OTHER, **fields: Any
) -> Frame:
    """A message as the wire has it."""
    return {
        "message_id": f"m{seq}",
        "conversation_id": CHAT,
        "seq": seq,
        "rev": seq,
        "sender_id": sender,
        "client_msg_id": client_msg_id or f"k{seq}",
        "content": {"text": text},
        "attachments": [],
        "reply_to": None,
        "thread_root_id": None,
        "mentions": [],
        "reactions": {},
        "created_at": "2026-11-22T13:00:00.123Z",
        "edited_at": None,
        "deleted_at": None,
    } | fields


def state(offset: int, messages: list[Frame] | None = None, *, epoch: int = EPOCH, user: str = USER) -> Frame:
    """The answer of `GET /api/sync`: one conversation."""
    messages = messages or []
    conversation = {
        "conversation_id": CHAT,
        "kind": "group",
        "title": "Mill",
        "rev": len(messages) + 1,
        "last_seq": len(messages),
        "created_by": OTHER,
        "created_at": "2026-11-22T13:00:00.123Z",
        "members": [],
        "messages": messages,
    }
    return {
        "position": f"{epoch}-{offset}",
        "user": {"user_id": user, "username": "alice", "display_name": "Alice"},
        "conversations": [conversation],
        "next_cursor": None,
    }
