"""The protocol without I/O: frames, failures and the clock go in, effects come out.

The shell (`client.py`) calls one method for each thing that happens, carries out the effects in order, and calls `tick` at
`wake_at`. Times are seconds on any clock that only goes forward.
"""

import random as random_module
from collections import OrderedDict
from dataclasses import dataclass
from typing import assert_never

from headrace_client import wire
from headrace_client.backoff import Random, reconnect_delay
from headrace_client.effects import (
    Accepted,
    Adopt,
    Effect,
    Hang,
    Link,
    Load,
    Refresh,
    Restored,
    Settled,
    Stop,
    Write,
)  # fmt: skip
from headrace_client.entities import Conversation, MemberChanged, Message, Receipt, Rejection, State, newest_messages
from headrace_client.errors import OutboxFull, Rejected, Stopped
from headrace_client.events import Data, Ephemeral
from headrace_client.inbox import REMEMBERED, Delivery, Heard, Inbox
from headrace_client.interest import Interest
from headrace_client.marks import Key, Levels, Marks, frames_of
from headrace_client.outbox import Outbox, Outgoing
from headrace_client.store import Saved
from headrace_client.wire import Position

NEVER = float("inf")
CONNECT_S = 10.0
"""From the open socket to `connected`."""
GRACE_S = 10.0
"""Beyond the server's ping interval, before a silent connection counts as dead."""
STABLE_S = 30.0
"""A connection that lived this long resets the backoff."""
MEND_S = 10.0
"""For the answer to `sync`."""
MAX_FAILED_RESUMES = 3
RESYNC_SPREAD_MS = 2000
"""Where a resync begins here and not with a hint of the server: what broke one log may have broken everybody's."""


@dataclass(slots=True)
class Counts:
    """What happened since the client was made."""

    connects: int = 0
    recoveries: int = 0
    resyncs: int = 0
    gaps: int = 0
    frames: int = 0
    events: int = 0
    sent: int = 0
    resent: int = 0
    accepted: int = 0
    stored: int = 0
    rejected: int = 0


class Core:
    """One user's connection, outbox and inbox."""

    def __init__(
        self,
        saved: Saved,
        *,
        client: dict[str, str],
        outbox_cap: int = 1000,
        inbox_limit: int = 1000,
        random: Random = random_module.random,
    ) -> None:
        self._client, self._random, self._cap = client, random, outbox_cap
        self._out: list[Effect] = []
        self.counts = Counts()
        self.inbox = Inbox(inbox_limit)
        self.outbox = Outbox(random)
        self.marks = Marks()
        self.interest = Interest()
        self.link = Link.DISCONNECTED
        self.user_id: str | None = None
        self.token_stale = False
        """The server called the token expired, and there is no other yet: get one before dialling."""
        self._stored: OrderedDict[str, None] = OrderedDict()
        self._positions = saved.positions
        self._likely_user = saved.user_id
        self._unclaimed = saved.outbox
        # Connecting
        self.dial_at = 0.0
        self._failures = 0
        self._failed_resumes = 0
        self._resumed: Position | None = None
        self._hint_s = 0.0
        self._farewell: wire.Disconnect | None = None
        self._stable_at = NEVER
        self._dead_at = NEVER
        self._interval_s = 25.0
        self._request = 0
        # Mending
        self._mend_request: int | None = None
        self._mend_dead_at = NEVER
        # Loading the state
        self._resync = ""
        self._load_number = 0
        self._load_at = NEVER
        self._load_failures = 0

    @property
    def outbox_size(self) -> int:
        """Messages that wait to be stored, those of an earlier run included."""
        return len(self.outbox) + len(self._unclaimed)

    # What the shell tells

    def dialling(self) -> None:
        """A connection is being made."""
        self.link = Link.CONNECTING

    def undialled(self, now: float, retry_after_s: float = 0.0) -> list[Effect]:
        """No connection could be made, or no token could be got."""
        self._hint_s = max(self._hint_s, retry_after_s)
        return self.lost(None, "", now)

    def opened(self, token: str, now: float) -> list[Effect]:
        """The socket is open: say who we are, and from where to resume."""
        self._request = 0
        self._resumed = self._resume_from()
        self._dead_at = now + CONNECT_S
        resume = str(self._resumed) if self._resumed else None
        self._write({"type": "connect", "id": self._next(), "token": token, "client": self._client, "resume": resume})
        return self._effects()

    def received(self, raw: bytes | str, now: float) -> list[Effect]:
        """A frame came."""
        self.counts.frames += 1
        if self.link is Link.CONNECTED:
            self._dead_at = now + self._interval_s + GRACE_S
        try:
            self._dispatch(wire.decode_frame(raw), now)
        except ValueError as failure:
            self._out.append(Hang(f"not a frame of the protocol: {failure}"))
        self._pump(now)
        return self._effects()

    def lost(self, code: int | None, reason: str, now: float) -> list[Effect]:
        """The connection ended, with this close code if there was one."""
        if code in {None, 1006} and self._farewell is not None:
            code, reason = self._farewell.code, self._farewell.reason
        if self._farewell is not None:
            self._hint_s = max(self._hint_s, (self._farewell.retry_after_ms or 0) / 1000)
        was, self.link = self.link, Link.DISCONNECTED
        self.token_stale = self.token_stale or code == 4004
        if was is Link.CONNECTING and self._resumed is not None:
            self._failed_resumes += 1
        if self._must_stop(code, was):
            self._out.append(Stop(Stopped(reason or "the server closed the connection for good", code)))
        if now >= self._stable_at:
            self._failures = 0
        self.dial_at = now + reconnect_delay(self._failures, self._random, self._hint_s)
        self._failures += 1
        self._hint_s, self._farewell, self._resumed = 0.0, None, None
        self._stable_at = self._dead_at = self._mend_dead_at = NEVER
        self._mend_request = None
        self.outbox.disconnected()
        self.marks.disconnected()
        self.interest.disconnected()
        return self._effects()

    def check_room(self, client_msg_id: str) -> None:
        """Whether `send` would take a message, asked before it is written to disk.

        Raises:
            OutboxFull: too many wait already.
            ValueError: its `client_msg_id` waits already.
        """
        if self.outbox_size >= self._cap:
            raise OutboxFull(f"{self._cap} messages wait for the server already")
        if client_msg_id in self.outbox or any(client_msg_id == row.client_msg_id for row in self._unclaimed):
            raise ValueError(f"client_msg_id {client_msg_id} waits already")

    def send(self, outgoing: Outgoing, now: float) -> list[Effect]:
        """A new message for the outbox; `check_room` was asked."""
        self.outbox.add(outgoing)
        self._pump(now)
        return self._effects()

    def mark(self, key: Key, levels: Levels, now: float) -> list[Effect]:
        """We have received and read this far."""
        self.marks.raise_to(key, levels, now)
        self._pump(now)
        return self._effects()

    def interested(self, now: float) -> list[Effect]:
        """What `interest` wants has changed."""
        self._pump(now)
        return self._effects()

    def type(self, conversation_id: str, thread_root_id: str | None, *, stop: bool, now: float) -> list[Effect]:
        """We type, or stop; said only while connected."""
        if self.link is Link.CONNECTED:
            frame = self.interest.type(conversation_id, thread_root_id, stop=stop, now=now)
            if frame is not None:
                self._write({**frame})
        return self._effects()

    def refreshed(self, token: str, now: float) -> list[Effect]:
        """A new token for the live socket."""
        if self.link is Link.CONNECTED:
            self._write({"type": "refresh", "id": self._next(), "token": token})
        self._pump(now)
        return self._effects()

    def loaded(self, number: int, state: State, now: float) -> list[Effect]:
        """The state that `Load` asked for. A stale one, begun before the newest connection or resync, is not used."""
        if not self.inbox.loading or number != self._load_number:
            return []
        self._load_failures = 0
        self.counts.resyncs += 1
        for message in newest_messages(state):
            self._settle(self._mine(message), message, forget=True)
        for conversation in state.conversations:
            self.marks.loaded(conversation, self.user_id)
            self.interest.came(conversation.conversation_id)
        for entry in self.inbox.replace(state, self._resync):
            self._hear(entry, now)
        self._pump(now)
        return self._effects()

    def load_failed(self, number: int, now: float) -> list[Effect]:
        """The state could not be had: again, later."""
        if self.inbox.loading and number == self._load_number:
            self._load_at = now + reconnect_delay(self._load_failures, self._random)
            self._load_failures += 1
        return []

    def take(self, now: float) -> tuple[Delivery | None, list[Effect]]:
        """The program has room for the next event."""
        delivery = self.inbox.take()
        self._pump(now)
        return delivery, self._effects()

    def tick(self, now: float) -> list[Effect]:
        """Time passed: carry out what `wake_at` promised."""
        if self.link is not Link.DISCONNECTED and now >= min(self._dead_at, self._mend_dead_at):
            why = "the server is silent" if now >= self._dead_at else "no answer to sync"
            self._dead_at = self._mend_dead_at = NEVER
            return [Hang(why)]
        if now >= self._load_at and self.link is Link.CONNECTED:
            self._load_at = NEVER
            self._out.append(Load(self._load_number))
        self._pump(now)
        return self._effects()

    def wake_at(self) -> float:
        """When `tick` has something to do; infinite if only a frame can change anything."""
        if self.link is Link.DISCONNECTED:
            return NEVER
        due = min(self._dead_at, self._mend_dead_at)
        return (
            min(due, self._load_at, self.outbox.next_due(), self.marks.next_due(), self.interest.next_due())
            if self.link is Link.CONNECTED
            else due
        )

    # Frames

    def _dispatch(self, frame: wire.ServerFrame | None, now: float) -> None:
        match frame:
            case None:
                pass
            case wire.Connected():
                self._connected(frame, now)
            case wire.Reply():
                self._reply(frame, now)
            case wire.Logged():
                self._hear(frame, now)
            case wire.Fleeting():
                self.inbox.add_ephemeral(Ephemeral(frame.event, wire.decode_ephemeral(frame.event, frame.data)))
            case wire.Ping():
                self._ping(frame, now)
            case wire.TokenExpiring():
                self._out.append(Refresh())
            case wire.ResyncRequired():
                self._begin_load(frame.reason, frame.retry_after_ms, now)
            case wire.Disconnect():
                self._farewell = frame
            case _:
                assert_never(frame)

    # Connecting

    def _resume_from(self) -> Position | None:
        if self._failed_resumes >= MAX_FAILED_RESUMES:
            return None
        if self.inbox.last is not None:
            return self.inbox.last
        saved = self._positions.get(self.user_id or self._likely_user or "")
        try:
            return Position.parse(saved) if saved else None
        except ValueError:
            return None

    def _must_stop(self, code: int | None, was: Link) -> bool:
        if code == 4504 and was is Link.CONNECTING and self._resumed is not None:
            self._failed_resumes = MAX_FAILED_RESUMES  # perhaps it is our position that the server can not read
            return False
        return (code is not None and 4500 <= code < 5000) or (
            self._farewell is not None and not self._farewell.reconnect
        )

    def _connected(self, frame: wire.Connected, now: float) -> None:
        if self.user_id not in {None, frame.user_id}:
            self._out.append(Stop(Stopped("the token belongs to another user than before; make a new Client")))
            return
        stranger = frame.user_id != (self.user_id or self._likely_user)
        self.link = Link.CONNECTED
        self.counts.connects += 1
        self._interval_s = frame.heartbeat_interval_ms / 1000
        self._dead_at = now + self._interval_s + GRACE_S
        self._stable_at = now + STABLE_S
        self._failed_resumes = 0
        if self.user_id is None:
            self._become(frame.user_id)
        if frame.resync is None and frame.recovered and self._resumed is not None and not stranger:
            self.counts.recoveries += 1
            self._load_number, self._load_at = self._load_number + 1, NEVER
            self.inbox.follow(self._resumed)
        else:  # also if somebody else's position was taken for ours: never go on from it (hole C10)
            self._begin_load(frame.resync or "fresh", frame.retry_after_ms, now)

    def _become(self, user_id: str) -> None:
        """The first connection tells who we are: what an earlier run of this user left goes before what this run sent."""
        written_since, self.outbox = list(self.outbox), Outbox(self._random)
        self.user_id = user_id
        self._out.append(Adopt(user_id))
        for row in self._unclaimed:
            if row.user_id in {None, user_id}:
                self.outbox.add(Outgoing(row.client_msg_id, row.conversation_id, row.body))
                self._out.append(Restored(row.client_msg_id, row.conversation_id))
        self._unclaimed = []
        for outgoing in written_since:
            self.outbox.add(outgoing)

    # Events

    def _hear(self, entry: wire.Logged, now: float) -> None:
        data = wire.decode_data(entry.event, entry.data)
        if isinstance(data, Receipt) and data.user_id == self.user_id:
            self.marks.heard(data)
        self._follow_memberships(entry.event, data)
        settles, result = self._outcome(entry, data)
        hide = isinstance(result, Rejected) and settles in self._stored
        heard = self.inbox.hear(entry, data, settles=settles, hide=hide)
        match heard:
            case Heard.FOREIGN:
                self._begin_load("epoch_changed", RESYNC_SPREAD_MS, now)
            case Heard.TAKEN:
                self.counts.events += 1
            case Heard.REPEATED | Heard.LATER:
                pass
        if result is not None and not hide:
            self._settle(settles, result, forget=heard is not Heard.TAKEN)

    def _follow_memberships(self, event: str, data: Data) -> None:
        """Whether we are in a conversation decides whether it can be watched."""
        if isinstance(data, Conversation):
            self.interest.came(data.conversation_id)
        elif isinstance(data, MemberChanged) and any(one.user_id == self.user_id for one in data.members):
            change = self.interest.left if event == "member.left" else self.interest.came
            change(data.conversation_id)

    def _outcome(self, entry: wire.Logged, data: Data) -> tuple[str | None, Message | Rejected | None]:
        """Which of our messages or changes an event settles, and how."""
        match data:
            case Message() if entry.event == "message.created" and self._mine(data):
                return data.client_msg_id, data
            case Message() if entry.client_op_id and entry.actor_id == self.user_id:
                return entry.client_op_id, data
            case Rejection() if key := data.client_msg_id or data.client_op_id:
                return key, Rejected(data.error.code, data.error.message)
            case _:
                return None, None

    def _mine(self, message: Message) -> str | None:
        return message.client_msg_id if message.sender_id == self.user_id else None

    def _settle(self, client_msg_id: str | None, result: Message | Rejected, *, forget: bool) -> None:
        if self.outbox.settle(client_msg_id) is None or client_msg_id is None:
            return
        if isinstance(result, Message):
            self.counts.stored += 1
            self._stored[client_msg_id] = None
            if len(self._stored) > REMEMBERED:
                self._stored.popitem(last=False)
        else:
            self.counts.rejected += 1
        self._out.append(Settled(client_msg_id, result, forget))

    def _ping(self, frame: wire.Ping, now: float) -> None:
        self._write({"type": "pong"})
        if frame.position is not None and not self.inbox.hear_head(Position.parse(frame.position)):
            self._begin_load("epoch_changed", RESYNC_SPREAD_MS, now)

    def _begin_load(self, reason: str, spread_ms: int, now: float) -> None:
        self._resync = reason
        self._load_number += 1
        self._load_at = now + self._random() * spread_ms / 1000
        self._mend_request, self._mend_dead_at = None, NEVER
        self.inbox.hold()

    # Requests

    def _reply(self, frame: wire.Reply, now: float) -> None:
        if frame.id is not None and frame.id == self._mend_request:
            self._mended(frame, now)
        elif frame.ok:
            if self.interest.answered(frame.id):
                for state in wire.decode_states(frame.result):
                    self.inbox.add_ephemeral(Ephemeral("presence", state))
            elif outgoing := self.outbox.accept(frame.id, now):
                self.counts.accepted += 1
                self._out.append(Accepted(outgoing.client_msg_id))
        elif frame.error is not None:
            if frame.error.code == "token_expired":
                self._out.append(Refresh())
            self.marks.refuse(frame.id, frame.error, now)
            self.interest.refused(frame.id, frame.error, now)
            if refused := self.outbox.refuse(frame.id, frame.error, now):
                self.counts.rejected += 1
                rejected = Rejected(frame.error.code, frame.error.message)
                self._out.append(Settled(refused.client_msg_id, rejected, forget=True))

    def _mended(self, frame: wire.Reply, now: float) -> None:
        self._mend_request, self._mend_dead_at = None, NEVER
        page = wire.decode_page(frame.result) if frame.ok else None
        if page is None or not self.inbox.mends(page):
            self._begin_load("gap", RESYNC_SPREAD_MS, now)
            return
        for entry in page.entries():
            self._hear(entry, now)

    def _pump(self, now: float) -> None:
        """Write what is due: messages, and the request for what is missing."""
        if self.link is not Link.CONNECTED:
            return
        for outgoing in self.outbox.take_due(now):
            request_id = self._next()
            self.outbox.written(outgoing, request_id, now)
            self._out.append(Write(wire.with_id(outgoing.body, request_id)))
            self.counts.sent += 1
            self.counts.resent += outgoing.writes > 1
        for key, levels in self.marks.take_due(now):
            requests: list[int] = []
            for frame in frames_of(key, levels):
                requests.append(self._next())
                self._write(frame | {"id": requests[-1]})
            self.marks.written(key, tuple(requests))
        for frame in self.interest.take_due(now):
            self.interest.written(self._next(), frame)
            self._write({**frame, "id": self._request})
        if self._mend_request is None and (after := self.inbox.gap_after):
            self._mend_request, self._mend_dead_at = self._next(), now + MEND_S
            self.counts.gaps += 1
            self._write({"type": "sync", "id": self._mend_request, "after": str(after)})

    def _next(self) -> int:
        self._request += 1
        return self._request

    def _write(self, frame: dict[str, object]) -> None:
        self._out.append(Write(wire.encode(frame)))

    def _effects(self) -> list[Effect]:
        effects, self._out = self._out, []
        return effects
