"""What one connection has had of its user's log, and what it still lacks. Pure: no await, no clock.

The log is the send buffer (design §3). A connection is *live* while it has everything that it heard of: doorbell bodies
then go straight out. Otherwise it is *catching up*: only the highest offset heard is kept, and the log is paged from its
position. So a slow client holds at most one buffer and one page, whatever rings meanwhile.

Whatever goes out is dense within an epoch, or `resync_required` goes out instead (hole C9).
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from backplane.logs import Head, Logged
from gateway.socket.resume import Refusal
from schemas.ids import Position
from schemas.server_frames import ResyncRequired, encode_frame, event_frame

PAGE_BYTES = 256 * 1024
"""About what one page may hold in memory."""
MAX_PAGE = 256
_FIRST_PAGE = 32
_NOWHERE = Position(-1, -1)
"""Before `begin`: every ring is of another epoch, and so is held."""


class ReadPage(NamedTuple):
    """Read up to `limit` entries after a position, and tell `page`."""

    after: Position
    limit: int


class Look(NamedTuple):
    """Open the log again, decide whether `position` can be continued, and tell `looked`."""

    position: Position


class Delivery:
    """The events of one connection.

    Args:
        buffer_bytes: what may wait for the socket before the connection stops being live.
        spread_ms: over how long clients should spread a resync that hits everybody.
    """

    def __init__(self, *, buffer_bytes: int, spread_ms: int = 0) -> None:
        self.position = _NOWHERE
        """The newest entry that was put out."""
        self.waiting_bytes = 0
        self._buffer_bytes, self._spread_ms = buffer_bytes, spread_ms
        self._out: deque[bytes] = deque()
        self._heard = -1  # the highest offset of this epoch that we know of
        self._doubt = False  # the log may not be what it was
        self._foreign: Position | None = None  # the newest ring of an epoch that is not ours
        self._looking = False
        self._broken = False  # a page did not continue at position + 1
        self._page_entries = _FIRST_PAGE

    @property
    def live(self) -> bool:
        """Whether everything that was heard of went out, and nothing is in doubt."""
        return self._heard == self.position.offset and not (self._looking or self._doubt or self._foreign)

    # What comes in

    def begin(self, position: Position, head: Head) -> None:
        """Go on after `position` in the log of `head`; what rang while it was held decides whether that is up to date."""
        self.position, self._heard = position, head.position.offset
        self._release(head)

    def ring(self, position: Position, frame: bytes) -> None:
        """A doorbell of the user: an entry's position, and its frame."""
        if position.epoch != self.position.epoch:
            self._hold(position)
        elif position.offset == self.position.offset + 1 and self.live and self.waiting_bytes < self._buffer_bytes:
            self._advance(position, frame)
        elif position.offset > self._heard:
            self._heard = position.offset

    def doubt(self) -> None:
        """The log may not be what it was (its epoch changed, its head can not be told): look at it again."""
        self._doubt = True

    def swept(self, head: Head | None) -> None:
        """What the sweep saw. A head that is behind was read before the newest ring, and says nothing."""
        if head is None or head.position.epoch != self.position.epoch:
            self._doubt = True
        elif head.position.offset > self._heard:
            self._heard = head.position.offset

    def page(self, entries: Sequence[Logged]) -> None:
        """What `ReadPage` found. An empty page while there is more, or a step that is not + 1, is a gap (hole C9)."""
        before = self.waiting_bytes
        for entry in entries:
            if entry.position != (self.position.epoch, self.position.offset + 1):
                self._broken = self._doubt = True
                return
            self._advance(entry.position, event_frame(entry.position, entry.body))
        if not entries and self._heard > self.position.offset:
            self._broken = self._doubt = True
        elif entries:
            mean_bytes = max(1, (self.waiting_bytes - before) // len(entries))
            self._page_entries = max(1, min(MAX_PAGE, PAGE_BYTES // mean_bytes))

    def looked(self, head: Head, reason: Refusal | None) -> None:
        """What `Look` found. After a broken page only a resync helps, whatever the log's ends say."""
        if self._broken and reason is None:
            reason = "position_trimmed"
        self._looking = self._broken = False
        if reason is not None:
            self.position, self._heard = head.position, head.position.offset
            wait_ms = self._spread_ms if reason == "epoch_changed" else 0
            self.put(encode_frame(ResyncRequired(reason, str(head.position), wait_ms)))
        self._heard = max(self._heard, head.position.offset)
        self._release(head)

    def look_failed(self) -> None:
        """The log could not be opened; try again."""
        self._looking, self._doubt = False, True

    # What goes out

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send and nothing to ask."""
        return not (self._out or self._doubt or self._foreign) and self._heard == self.position.offset

    def put(self, frame: bytes) -> None:
        """Queue a frame that has no position."""
        self._out.append(frame)
        self.waiting_bytes += len(frame)

    def take(self) -> bytes | None:
        """The next frame for the socket."""
        if not self._out:
            return None
        frame = self._out.popleft()
        self.waiting_bytes -= len(frame)
        return frame

    def need(self) -> ReadPage | Look | None:
        """What to ask of the log, once the socket has taken everything."""
        if self._doubt or self._foreign:
            # Forgotten now, not when the answer comes: what is heard meanwhile may be newer than the answer.
            self._doubt, self._foreign, self._looking = False, None, True
            return Look(self.position)
        if self._heard > self.position.offset:
            return ReadPage(self.position, self._page_entries)
        return None

    # Both

    def _advance(self, position: Position, frame: bytes) -> None:
        self.put(frame)
        self.position = position
        self._heard = max(self._heard, position.offset)

    def _hold(self, position: Position) -> None:
        if self._foreign is None or self._foreign.epoch != position.epoch or self._foreign < position:
            self._foreign = position

    def _release(self, head: Head) -> None:
        """A ring that was held and is of this very epoch raises what was heard; another one keeps the doubt."""
        if self._foreign is not None and self._foreign.epoch == head.position.epoch:
            self._heard = max(self._heard, self._foreign.offset)
            self._foreign = None
