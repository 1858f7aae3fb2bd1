"""Gapless and in order, or `resync_required`: for every order in which rings, pages, sweeps and pauses can come."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backplane.logs import Head, Logged
from gateway.socket.delivery import Delivery, Look, ReadPage
from gateway.socket.resume import refusal
from schemas.ids import Position
from schemas.server_frames import event_frame

EPOCH = 100


def body(offset: int) -> bytes:
    return b'"event":"message.created","data":{"offset":%d}}' % offset


def entry(offset: int, epoch: int = EPOCH) -> Logged:
    return Logged(Position(epoch, offset), body(offset))


def head(offset: int, epoch: int = EPOCH, first: int | None = 0) -> Head:
    return Head(Position(epoch, offset), first)


def begun(position: int = 0, at: int = 0, buffer_bytes: int = 1 << 16) -> Delivery:
    delivery = Delivery(buffer_bytes=buffer_bytes)
    delivery.begin(Position(EPOCH, position), head(at))
    return delivery


def ring(delivery: Delivery, offset: int, epoch: int = EPOCH) -> None:
    delivery.ring(Position(epoch, offset), event_frame(Position(epoch, offset), body(offset)))


def sent(delivery: Delivery) -> list[str]:
    """What goes out now: positions of events, and types of other frames."""
    out: list[str] = []
    while (frame := delivery.take()) is not None:
        said = msgspec.json.decode(frame)
        out.append(said["position"] if said["type"] == "event" else said["type"])
    return out


def test_a_live_connection_gets_what_rings_at_once():
    delivery = begun()
    ring(delivery, 1)
    ring(delivery, 2)
    assert sent(delivery) == ["100-1", "100-2"]
    assert delivery.live
    assert delivery.idle


def test_a_ring_that_was_heard_twice_goes_out_once():
    delivery = begun()
    ring(delivery, 1)
    ring(delivery, 1)
    assert sent(delivery) == ["100-1"]


def test_a_hole_is_filled_from_the_log_before_anything_after_it_goes_out():
    delivery = begun()
    ring(delivery, 2)
    ring(delivery, 3)
    assert sent(delivery) == []
    need = delivery.need()
    assert isinstance(need, ReadPage)
    assert need.after == Position(EPOCH, 0)
    delivery.page([entry(1), entry(2), entry(3)])
    assert sent(delivery) == ["100-1", "100-2", "100-3"]
    assert delivery.live


def test_a_late_ring_that_meets_its_own_page_neither_doubles_nor_resyncs():
    delivery = begun()
    delivery.swept(head(2))
    assert isinstance(delivery.need(), ReadPage)
    ring(delivery, 1)
    delivery.page([entry(1), entry(2)])
    assert sent(delivery) == ["100-1", "100-2"]
    assert delivery.idle


def test_what_rings_while_the_log_is_opened_is_held_and_not_lost():
    delivery = Delivery(buffer_bytes=1 << 16)
    ring(delivery, 6)
    ring(delivery, 7)
    delivery.begin(Position(EPOCH, 5), head(5))
    assert delivery.need() == ReadPage(Position(EPOCH, 5), 32)


def test_what_rang_before_the_head_was_read_is_not_sent_twice():
    delivery = Delivery(buffer_bytes=1 << 16)
    ring(delivery, 5)
    delivery.begin(Position(EPOCH, 5), head(5))
    assert delivery.idle
    ring(delivery, 6)
    assert sent(delivery) == ["100-6"]


def test_a_slow_socket_holds_one_buffer_and_then_only_a_number():
    delivery = begun(buffer_bytes=1000)
    for offset in range(1, 10_001):
        ring(delivery, offset)
    assert delivery.waiting_bytes < 1200
    assert not delivery.live
    position = delivery.position.offset
    assert len(sent(delivery)) == position
    assert delivery.need() == ReadPage(Position(EPOCH, position), 32)


def test_a_page_that_does_not_begin_at_the_next_offset_asks_for_a_resync():
    """C9"""
    delivery = begun()
    ring(delivery, 9)
    assert isinstance(delivery.need(), ReadPage)
    delivery.page([entry(5), entry(6)])
    assert sent(delivery) == []
    assert delivery.need() == Look(Position(EPOCH, 0))
    delivery.looked(head(9, first=5), "position_trimmed")
    assert sent(delivery) == ["resync_required"]
    ring(delivery, 10)
    assert sent(delivery) == ["100-10"]


def test_a_page_with_a_hole_inside_asks_for_a_resync_even_if_both_ends_look_whole():
    """C9"""
    delivery = begun()
    ring(delivery, 3)
    delivery.need()
    delivery.page([entry(1), entry(3)])
    assert isinstance(delivery.need(), Look)
    delivery.looked(head(3), None)
    assert sent(delivery) == ["100-1", "resync_required"]


def test_an_empty_page_while_there_is_more_asks_for_a_resync():
    """C9"""
    delivery = begun()
    ring(delivery, 3)
    delivery.need()
    delivery.page([])
    assert isinstance(delivery.need(), Look)
    delivery.looked(head(0, epoch=200), "epoch_changed")
    assert sent(delivery) == ["resync_required"]


def test_a_page_of_another_epoch_is_never_sent():
    """C9"""
    delivery = begun()
    ring(delivery, 1)
    ring(delivery, 3)
    assert sent(delivery) == ["100-1"]
    delivery.need()
    delivery.page([entry(2, epoch=200)])
    assert sent(delivery) == []
    assert isinstance(delivery.need(), Look)


def test_a_ring_of_another_epoch_is_a_resync_and_what_rang_in_it_follows():
    delivery = begun(5, 5)
    ring(delivery, 1, epoch=200)
    assert delivery.need() == Look(Position(EPOCH, 5))
    ring(delivery, 2, epoch=200)  # while the log is looked at
    delivery.looked(head(1, epoch=200), "epoch_changed")
    assert sent(delivery) == ["resync_required"]
    assert delivery.need() == ReadPage(Position(200, 1), 32)


def test_a_lost_tail_is_found_by_the_sweep():
    delivery = begun()
    delivery.swept(head(2))
    assert delivery.need() == ReadPage(Position(EPOCH, 0), 32)


def test_a_sweep_that_was_overtaken_by_rings_says_nothing():
    delivery = begun()
    ring(delivery, 1)
    delivery.swept(head(0))
    assert sent(delivery) == ["100-1"]
    assert delivery.idle


def test_a_log_that_the_sweep_does_not_find_is_looked_at_and_stays_if_it_is_there():
    delivery = begun(4, 4)
    delivery.swept(None)
    assert isinstance(delivery.need(), Look)
    delivery.looked(head(4), None)
    assert delivery.idle
    assert sent(delivery) == []


def test_a_changed_epoch_spreads_the_resync_and_a_trimmed_page_does_not():
    delivery = Delivery(buffer_bytes=1 << 16, spread_ms=4000)
    delivery.begin(Position(EPOCH, 0), head(0))
    for reason, expected in (("epoch_changed", 4000), ("position_trimmed", 0)):
        delivery.doubt()
        delivery.need()
        delivery.looked(head(0), reason)
        frame = delivery.take()
        assert frame is not None
        assert msgspec.json.decode(frame)["retry_after_ms"] == expected


def test_pages_of_large_entries_get_smaller():
    delivery = begun()
    delivery.swept(head(1000))
    delivery.need()
    delivery.page([Logged(Position(EPOCH, 1), b'"data":"%s"}' % (b"x" * 64_000))])
    sent(delivery)
    need = delivery.need()
    assert isinstance(need, ReadPage)
    assert need.limit == 4


class AnyInterleaving(RuleBasedStateMachine):
    """A log that grows, is trimmed and is replaced; rings that come late or never; answers that are old when they come."""

    @initialize(behind=st.integers(0, 3))
    def begin(self, behind: int):
        self.epoch, self.entries, self.first = 1, 3, 1  # the log: its epoch, its newest and its oldest offset
        self.flying: list[tuple[int, int]] = []  # rings on their way
        self.asked: ReadPage | Look | None = None
        self.answer: object = None
        self.delivery = Delivery(buffer_bytes=150)
        self.delivery.begin(Position(1, 3 - behind), self.head())
        self.client = Position(1, 3 - behind)
        self.resyncs = 0

    def head(self) -> Head:
        return Head(Position(self.epoch, self.entries), self.first if self.first <= self.entries else None)

    @rule(heard=st.booleans())
    def an_event_is_appended(self, heard: bool):
        self.entries += 1
        if heard:
            self.flying.append((self.epoch, self.entries))

    @precondition(lambda self: self.flying)
    @rule()
    def a_ring_arrives(self):
        epoch, offset = self.flying.pop(0)
        ring(self.delivery, offset, epoch)

    @rule(heard=st.booleans())
    def the_log_is_replaced(self, heard: bool):
        self.epoch, self.entries, self.first = self.epoch + 1, 0, 1
        if heard:
            self.delivery.doubt()

    @rule(keep=st.integers(0, 2))
    def the_log_is_trimmed(self, keep: int):
        self.first = max(self.first, self.entries - keep + 1)

    @rule()
    def a_sweep_sees_the_head(self):
        self.delivery.swept(self.head())

    @rule()
    def the_socket_takes_a_frame(self):
        frame = self.delivery.take()
        if frame is None:
            return
        said = msgspec.json.decode(frame)
        position = Position.parse(said["position"])
        if said["type"] == "event":
            assert position == (self.client.epoch, self.client.offset + 1), "a silent gap, a repeat or a step back"
            assert said["data"]["offset"] == position.offset
        else:
            assert said["type"] == "resync_required"
            self.resyncs += 1
        self.client = position

    @precondition(lambda self: self.asked is None and not self.delivery.waiting_bytes)
    @rule()
    def the_log_is_asked(self):
        """As the session does: frames first, the log only once the socket has taken everything."""
        self.asked = self.delivery.need()
        match self.asked:
            case ReadPage(after, limit):
                start = max(after.offset + 1, self.first)
                offsets = range(start, self.entries + 1) if self.epoch == after.epoch else range(0)
                self.answer = [entry(offset, self.epoch) for offset in offsets[: min(limit, 2)]]
            case Look(position):
                self.answer = (self.head(), refusal(position, self.head()))
            case None:
                pass

    @precondition(lambda self: self.asked is not None)
    @rule(lost=st.booleans())
    def the_log_answers(self, lost: bool):
        match self.asked:
            case ReadPage() if not lost:
                self.delivery.page(self.answer)
            case Look() if lost:
                self.delivery.look_failed()
            case Look():
                self.delivery.looked(*self.answer)
            case _:
                pass
        self.asked = None

    @invariant()
    def little_waits(self):
        if hasattr(self, "delivery"):
            assert self.delivery.waiting_bytes < 150 + 500

    def teardown(self):
        if not hasattr(self, "delivery"):
            return
        self.flying.clear()
        if self.asked is not None:
            self.the_log_answers(False)
        self.a_sweep_sees_the_head()
        for _ in range(2000):
            while self.delivery.waiting_bytes:
                self.the_socket_takes_a_frame()
            self.the_log_is_asked()
            if self.asked is None:
                break
            self.the_log_answers(False)
        assert self.delivery.idle
        assert self.client == (self.epoch, self.entries), "after a sweep, a connection has everything or was told"


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
