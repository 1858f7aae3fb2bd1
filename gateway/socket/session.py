"""Every decision of one connection that has said who it is. Pure: no await; the time is told.

In: frames from the client, answers to its requests, the clock, and (through `delivery`) what its user's log says.
Out: `next`, one step at a time, for the writer; requests, for the reader.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from backplane.settings import Settings
from gateway.buckets import Bucket
from gateway.socket.delivery import Delivery, Look, ReadPage
from gateway.socket.replacement import Claim, instance_of
from gateway.socket.wants import Wants
from gateway.tokens import Identity
from schemas.client_frames import (
    BadFrame,
    ChangeFrame,
    ClientInfo,
    Connect,
    LiveFrame,
    Pong,
    Receipt,
    Refresh,
    SendMessage,
    SubscribePresence,
    Sync,
    Typing,
    UnsubscribePresence,
    Unwatch,
    Watch,
    decode_frame,
)
from schemas.entities import rfc3339
from schemas.errors import CLOSES, UNSUPPORTED_DATA, CloseRow, ErrorBody, error
from schemas.ids import ConversationId
from schemas.server_frames import Ping, Reply, TokenExpiring, encode_frame

MAX_UNANSWERED = 64
"""Requests of one connection that may be under way; nothing is read beyond."""
MAX_BAD_FRAMES = 20
BAD_WINDOW_SECONDS = 60.0
EXPIRY_NOTICE_SECONDS = 60.0
GRACE_SECONDS = 2.0
"""How long a goodbye may take before the socket is aborted."""

FLOOD_MS = 5000
"""How long who sent more frames than anybody may is to stay away."""

MAX_LIVE = 32
"""Requests about ephemera that may be under way beside those: they never keep a message from being read."""

Request = SendMessage | ChangeFrame | Sync | Refresh | LiveFrame
"""What wants exactly one answer."""


class Goodbye(NamedTuple):
    """Say `disconnect`, then close with the row's code."""

    row: CloseRow
    reason: str | None = None
    retry_after_ms: int | None = None


_FOR_ONESELF = Sync | Refresh | Watch | Unwatch | SubscribePresence | UnsubscribePresence
"""What only asks; everything else tells others something, which a bot's token must allow."""

Step = bytes | ReadPage | Look | Goodbye | None


class Session:
    """One connection's state. Times are seconds of a monotonic clock, except `…_ms`: milliseconds since 1970.

    Args:
        jitter: draws from [0, 1).
    """

    def __init__(
        self,
        identity: Identity,
        client: ClientInfo,
        settings: Settings,
        *,
        connection_id: str,
        now: float,
        now_ms: int,
        jitter: Callable[[], float],
    ) -> None:
        self.connection_id, self.identity, self.client = connection_id, identity, client
        self.instance = instance_of(client)
        self.claim = Claim(self.instance, connection_id)
        # Half by us and the rest by the clients: also those spread that do not draw a wait themselves.
        spread_ms = int(settings.resync_spread_ms * (1 + jitter()) / 2)
        self.delivery = Delivery(buffer_bytes=settings.send_buffer_bytes, spread_ms=spread_ms)
        self.resync_wait_ms = spread_ms
        self.goodbye: Goodbye | None = None
        self.unanswered = 0
        self.wants = Wants()
        self._live = 0
        self._abort_at = float("inf")
        self._heartbeat_seconds, self._slow_seconds = settings.heartbeat_seconds, settings.slow_consumer_seconds
        self._buffer_bytes = settings.send_buffer_bytes
        self._heard_at = self.active_at = now
        self._ping_at = now + jitter() * settings.heartbeat_seconds
        self._writing_since: float | None = None
        self._bad_frames, self._bad_since = 0, now
        policies = settings.policies
        self._frames, self._typing = Bucket.of(policies.get("frames")), Bucket.of(policies.get("typing"))
        self._expires_at, self._notify_at = 0.0, 0.0
        self._extend(identity, now, now_ms)

    # Frames and answers

    @property
    def full(self) -> bool:
        """Whether the next frame must wait: too much is under way, or the client does not read its answers."""
        return self.unanswered >= MAX_UNANSWERED or self.delivery.waiting_bytes > self._buffer_bytes

    def receive(self, raw: str | bytes, now: float) -> Request | Receipt | None:
        """A frame came: the request in it, which wants exactly one `answer`; a receipt, which wants none; None if it is dealt with."""
        self._heard_at = now
        if self.goodbye is not None or self._floods(now):
            return None
        if isinstance(raw, bytes):
            self.dismiss(Goodbye(UNSUPPORTED_DATA), now)
            return None
        try:
            frame = decode_frame(raw)
        except BadFrame as failure:
            self._bad(failure, now)
            return None
        if not isinstance(frame, Pong):
            self.active_at = now
        match frame:
            case Connect():
                self.dismiss(Goodbye(CLOSES["bad_request"], "`connect` comes once"), now)
            case Pong():
                pass
            case _:
                refusal = None if isinstance(frame, _FOR_ONESELF) else self.identity.lacks("messages:write")
                if refusal is not None:
                    self.delivery.put(encode_frame(Reply(False, frame.id, error=error("forbidden", refusal))))
                    return None
                if not isinstance(frame, LiveFrame | Receipt):
                    self.unanswered += 1
                return frame
        return None

    def admits(self, request: LiveFrame, now: float) -> bool:
        """Whether to serve a request about ephemera, which then wants its `answer`; else it is dealt with."""
        typing = isinstance(request, Typing)
        if self._live >= MAX_LIVE:
            if not typing:
                self.delivery.put(encode_frame(Reply(False, request.id, error=error("rate_limited"))))
            return False
        if typing and self._typing and self._typing.take(now):
            return False
        if typing and not self.wants.typing.allows(ConversationId(request.conversation_id), request.state, now):
            return False
        self._live += 1
        return True

    def answer(self, request: Request, result: Any = None, *, error: ErrorBody | None = None) -> None:
        """Answer a request that `receive` returned; typing that is taken has no answer."""
        if not isinstance(request, LiveFrame):
            self.unanswered -= 1
        else:
            self._live -= 1
            if isinstance(request, Typing) and error is None:
                return
        self.delivery.put(encode_frame(Reply(error is None, request.id, result, error)))

    def refuse(self, request_id: int | None, error: ErrorBody) -> None:
        """Say that something was not taken for which no answer is owed."""
        self.delivery.put(encode_frame(Reply(False, request_id, error=error)))

    def refreshed(self, identity: Identity, now: float, now_ms: int) -> ErrorBody | None:
        """A new token came: live on until its end; an error if it speaks for somebody else."""
        if (identity.user_id, identity.session_id) != (self.identity.user_id, self.identity.session_id):
            return error("forbidden", "The token is of another session; open a new connection with it.")
        self._extend(identity, now, now_ms)
        return None

    def _floods(self, now: float) -> bool:
        wait = self._frames.take(now) if self._frames else 0.0
        if wait:
            self.dismiss(Goodbye(CLOSES["rate_limited"], retry_after_ms=math.ceil(wait * 1000) + FLOOD_MS), now)
        return wait > 0

    def _bad(self, failure: BadFrame, now: float) -> None:
        if now - self._bad_since > BAD_WINDOW_SECONDS:
            self._bad_frames, self._bad_since = 0, now
        self._bad_frames += 1
        self.delivery.put(encode_frame(Reply(False, failure.request_id, error=error("bad_request", str(failure)))))
        if self._bad_frames >= MAX_BAD_FRAMES:
            self.dismiss(Goodbye(CLOSES["bad_request"], f"{MAX_BAD_FRAMES} bad frames within a minute"), now)

    def _extend(self, identity: Identity, now: float, now_ms: int) -> None:
        self.identity = identity
        self._expires_at = now + (identity.expires_ms - now_ms) / 1000
        self._notify_at = self._expires_at - EXPIRY_NOTICE_SECONDS

    # Ephemera

    def offer(self, frame: bytes, sending_bytes: int) -> bool:
        """Queue a frame that may be lost, or drop it: there is no room for it if an event may need that. Tells which.

        `sending_bytes`: what the socket has taken and not sent yet.
        """
        room = self.delivery.waiting_bytes + sending_bytes <= self._buffer_bytes // 2
        if self.goodbye is not None or not self.delivery.live or not room:
            return False
        self.delivery.put(frame)
        return True

    # The clock

    def tick(self, now: float) -> bool:
        """Time passed. Returns True when the socket must be aborted: a goodbye did not get through."""
        if self.goodbye is not None:
            return now >= self._abort_at
        if now >= self._expires_at:
            self.dismiss(Goodbye(CLOSES["token_expired"]), now)
        elif self._writing_since is not None and now - self._writing_since >= self._slow_seconds:
            self.dismiss(Goodbye(CLOSES["slow_consumer"]), now)
        elif now - self._heard_at >= 2 * self._heartbeat_seconds:
            self.dismiss(Goodbye(CLOSES["heartbeat_timeout"]), now)
        else:
            self._remind(now)
        return False

    def _remind(self, now: float) -> None:
        if now >= self._ping_at:
            self._ping_at = now + self._heartbeat_seconds
            # Not the log's head but what is put out before this frame: a client that lacks any of it has a gap to mend,
            # one that is only catching up has none. A lost tail is for the sweep to find.
            self.delivery.put(encode_frame(Ping(str(self.delivery.position))))
        if now >= self._notify_at:
            self._notify_at = float("inf")
            self.delivery.put(encode_frame(TokenExpiring(rfc3339(self.identity.expires_ms))))

    def dismiss(self, goodbye: Goodbye, now: float) -> None:
        """End the connection: what is queued goes out, then the goodbye; the first one counts."""
        if self.goodbye is None:
            self.goodbye, self._abort_at = goodbye, now + GRACE_SECONDS

    # The writer

    @property
    def idle(self) -> bool:
        """Whether `next` has nothing to do."""
        return self.goodbye is None and self.delivery.idle

    def next(self) -> Step:
        """What to do now; None: wait until something happened."""
        frame = self.delivery.take()
        if frame is not None:
            return frame
        return self.goodbye or self.delivery.need()

    def writing(self, now: float) -> None:
        """A frame was handed to the socket."""
        self._writing_since = now

    def written(self, now: float) -> None:
        """The socket took it: progress."""
        self._writing_since = None
        if not self.delivery.live:
            # A socket that takes a backlog is read by somebody, whose pong is behind all of it.
            self._heard_at = now
