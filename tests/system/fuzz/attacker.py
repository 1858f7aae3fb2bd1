"""Sends shots at a gateway and holds it to its word: every request has one answer, every end a documented close code."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.socket.session import MAX_BAD_FRAMES
from schemas.client_frames import MAX_FRAME_BYTES, BadFrame, Connect, Pong, Receipt, Typing, decode_frame
from schemas.errors import CLOSES, ERRORS
from tests.system.fuzz.frames import Shot

SECONDS = 10.0
"""Within which everything is answered."""
NOISE_SECONDS = 0.05
"""How long bytes that are no frame may stay unanswered: half a frame waits for its other half for ever."""
REFUSED, TOO_BIG, NOT_UTF8 = CLOSES["bad_request"].code, 1009, 1007
LOST = 1006
"""What a client's library says of a connection that ended without a word."""
BUGS = {LOST, 1011, CLOSES["internal_error"].code}
KNOCKED = {REFUSED, *(CLOSES[name].code for name in ("authentication_failed", "token_expired"))}
"""How a connection may end whose first message is not a good `connect`."""
SERVER_FRAMES = {"connected", "reply", "event", "ephemeral", "ping", "token_expiring", "resync_required", "disconnect"}


@dataclass
class Ledger:
    """What one connection owes: replies by the request's number, and, after some shots, an end with one of these codes."""

    owed: Counter[int | None] = field(default_factory=Counter)
    perhaps: Counter[int | None] = field(default_factory=Counter)
    ends: set[int] = field(default_factory=set)
    bad: int = 0

    def note(self, shot: Shot) -> None:
        """A shot goes out to a connection that has said `connect`."""
        self.ends |= shot.ends
        message = shot.message
        if message is None or shot.ends:
            return
        if end := ends_by_itself(message):
            self.ends.add(end)
            return
        try:
            frame = decode_frame(message.decode())
        except BadFrame as failure:
            self.bad += 1
            self.owed[failure.request_id] += 1
            if self.bad >= MAX_BAD_FRAMES:
                self.ends.add(REFUSED)
            return
        match frame:
            case Connect():
                self.ends.add(REFUSED)
            case Pong():
                pass
            case Typing() | Receipt():
                self.perhaps[frame.id] += 1
            case _:
                self.owed[frame.id] += 1

    def paid(self, request_id: int | None) -> bool:
        """A reply came; False if nothing had asked for it."""
        for account in (self.owed, self.perhaps):
            if account[request_id] > 0:
                account[request_id] -= 1
                return True
        return False

    @property
    def unpaid(self) -> Counter[int | None]:
        """The numbers of the requests that wait for a reply."""
        return +self.owed


def ends_by_itself(message: bytes) -> int | None:
    """The close code that a message has earned before anybody reads it."""
    if len(message) > MAX_FRAME_BYTES:
        return TOO_BIG
    try:
        message.decode()
    except UnicodeDecodeError:
        return NOT_UTF8
    return None


@dataclass
class Attacker:
    """One user's connections, one after another; `codes`, `closes`, `types` and `kinds` count what came to pass."""

    url: str
    token: str
    shots: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    _socket: ClientConnection | None = None
    _ledger: Ledger = field(default_factory=Ledger)

    async def attack(self, volley: Sequence[Shot]) -> None:
        """Send shots without a pause between them, and wait for all that they are owed."""
        socket = self._socket or await self._connected()
        ledger = self._ledger
        for at, shot in enumerate(volley):
            self._count(shot)
            ledger.note(shot)
            socket.transport.write(shot.wire)
            if ledger.ends or shot.kind == "noise":
                await self._to_the_end(socket, shot)
                if rest := volley[at + 1 :]:
                    await self.attack(rest)
                return
        try:
            async with asyncio.timeout(SECONDS):
                while ledger.unpaid:
                    self._hear(await socket.recv())
        except (ConnectionClosed, TimeoutError) as failure:
            raise AssertionError(f"{ledger.unpaid} were not answered, of {volley}") from failure

    async def knock(self, shot: Shot) -> None:
        """Send a shot as the first thing that a new connection says: it is let in, or shown the door."""
        await self.close()
        socket = await self._dialled()
        self._count(shot)
        socket.transport.write(shot.wire)
        if shot.kind in {"noise", "control"}:
            await self._to_the_end(socket, shot)
            return
        allowed = set(shot.ends) or KNOCKED
        if shot.message is not None and (end := ends_by_itself(shot.message)):
            allowed = {end}
        try:
            async with asyncio.timeout(SECONDS):
                said = [self._hear(await socket.recv())]
                if said != ["connected"]:
                    while True:
                        said.append(self._hear(await socket.recv()))
        except ConnectionClosed as closed:
            self._note_end(closed, allowed, shot)
        else:
            assert shot.message is not None
            assert isinstance(decode_frame(shot.message.decode()), Connect), shot
            await socket.close()

    async def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            await self._socket.close()
        self._socket, self._ledger = None, Ledger()

    async def _to_the_end(self, socket: ClientConnection, shot: Shot) -> None:
        """Read until the server closes; what is no frame, and what is none yet, may leave it waiting."""
        ends, self._socket = self._ledger.ends, None
        try:
            async with asyncio.timeout(SECONDS if ends else NOISE_SECONDS):
                while True:
                    self._hear(await socket.recv())
        except ConnectionClosed as closed:
            self._note_end(closed, ends, shot)
        except TimeoutError:
            assert not ends, f"the connection goes on after {shot}"
            socket.transport.abort()

    def _note_end(self, closed: ConnectionClosed, allowed: set[int], shot: Shot) -> None:
        code = closed.rcvd.code if closed.rcvd else LOST
        self.closes[code] += 1
        assert code not in BUGS, f"{code} after {shot}"
        assert not allowed or code in allowed, f"{code} after {shot}"

    def _count(self, shot: Shot) -> None:
        self.shots += 1
        self.kinds[shot.kind] += 1
        if shot.message is not None and not ends_by_itself(shot.message):
            with contextlib.suppress(BadFrame):
                self.types[str(type(decode_frame(shot.message.decode())).__struct_config__.tag)] += 1

    async def _dialled(self) -> ClientConnection:
        return await connect(
            self.url, subprotocols=["headrace.v1"], compression=None, max_size=None, close_timeout=1, ping_interval=None
        )

    async def _connected(self) -> ClientConnection:
        socket = self._socket = await self._dialled()
        self._ledger = Ledger()
        await socket.send(msgspec.json.encode({"type": "connect", "token": self.token}).decode())
        assert self._hear(await asyncio.wait_for(socket.recv(), SECONDS)) == "connected"
        return socket

    def _hear(self, raw: str | bytes) -> str:
        """Judge one frame of the server; returns its type."""
        assert isinstance(raw, str)
        frame = msgspec.json.decode(raw)
        assert frame["type"] in SERVER_FRAMES, frame
        if frame["type"] == "reply":
            self.codes["ok" if frame["ok"] else frame["error"]["code"]] += 1
            if not frame["ok"]:
                assert frame["error"]["code"] in ERRORS, frame
                assert frame["error"]["code"] != "internal_error", frame
            assert self._ledger.paid(frame.get("id")), f"nothing has asked for {frame}"
        return frame["type"]
