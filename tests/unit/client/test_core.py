"""The SDK's core against a model of the server, in virtual time: whatever is lost, everything arrives once and in order."""

import itertools
import random
import uuid
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_client import effects, wire
from headrace_client.core import Core, Link
from headrace_client.entities import Message, State
from headrace_client.errors import Rejected
from headrace_client.events import Event, Resynced
from headrace_client.outbox import STORE_S, Outgoing
from headrace_client.store import Saved
from tests.client_conformance.scripted import CHAT, EPOCH, OTHER, USER, logged, message

CHATS = [CHAT, CHAT.replace("c1", "c2")]


class World:
    """A server, a network and a program around one core. `now` moves only by `pass_time`."""

    def __init__(self, seed: int, saved: Saved | None = None, **limits: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.core = self._make(saved, limits)
        self.limits = limits
        self.open = False
        self.live = False
        self.inbound: list[str] = []  # frames to the client, on the wire
        self.outbound: list[dict[str, Any]] = []  # frames to the server, on the wire
        self.epoch = EPOCH
        self.log: list[dict[str, Any]] = []
        self.trimmed = 0
        self.messages: dict[str, dict[str, Any]] = {}
        self.seqs = dict.fromkeys(CHATS, 0)
        self.loads: list[int] = []
        self.sent: dict[str, list[str]] = {chat: [] for chat in CHATS}
        self.settled: dict[str, Message | Rejected] = {}
        self.shown: dict[str, Message] = {}
        self.numbers = itertools.count(1)
        self.stopped = False

    def _make(self, saved: Saved | None, limits: dict[str, int]) -> Core:
        return Core(saved or Saved(None, {}, []), client={}, random=self.random.random, **limits)

    # The program

    def send(self, chat: int) -> None:
        key = str(uuid.UUID(int=next(self.numbers)))
        body = wire.encode(
            {"type": "message.send", "conversation_id": CHATS[chat], "client_msg_id": key, "content": {"text": key}}
        )
        self.core.check_room(key)
        self.sent[CHATS[chat]].append(key)
        self.apply(self.core.send(Outgoing(key, CHATS[chat], body), self.now))

    def read(self) -> None:
        delivery, todo = self.core.take(self.now)
        self.apply(todo)
        match delivery.item if delivery else None:
            case Resynced(state):
                self.shown = {m.message_id: m for c in state.conversations for m in c.messages}
            case Event(data=Message() as data):
                assert data.message_id not in self.shown, "the same message twice"
                self.shown[data.message_id] = data
            case _:
                pass

    # The network

    def apply(self, todo: list[effects.Effect]) -> None:
        for effect in todo:
            match effect:
                case effects.Write(frame):
                    assert self.open
                    self.outbound.append(msgspec.json.decode(frame))
                case effects.Hang():
                    self.cut()
                case effects.Load(number):
                    self.loads.append(number)
                case effects.Settled(key, result):
                    assert key not in self.settled
                    self.settled[key] = result
                case effects.Stop():
                    self.stopped = True
                case _:
                    pass

    def cut(self) -> None:
        if self.open:
            self.open = self.live = False
            self.inbound.clear()
            self.outbound.clear()
            self.apply(self.core.lost(None, "", self.now))

    def dial(self) -> None:
        if not self.open and self.core.dial_at <= self.now:
            self.core.dialling()
            self.open = True
            self.apply(self.core.opened("t", self.now))

    def deliver(self) -> None:
        if self.open and self.inbound:
            self.apply(self.core.received(self.inbound.pop(0), self.now))

    def answer_load(self, *, fail: bool = False) -> None:
        if self.loads:
            number = self.loads.pop(0)
            if fail:
                self.apply(self.core.load_failed(number, self.now))
            else:
                self.apply(self.core.loaded(number, self.state(), self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.core.wake_at() <= self.now:
            self.apply(self.core.tick(self.now))

    # The server

    def say(self, frame: dict[str, Any]) -> None:
        self.inbound.append(msgspec.json.encode(frame).decode())

    def serve(self, *, mood: str = "well") -> None:
        """Handle one frame of the client. `mood`: well, mute (no reply), deaf (frame lost), busy (temporary error)."""
        if not self.open or not self.outbound:
            return
        frame = self.outbound.pop(0)
        match frame["type"]:
            case "connect":
                self.connect(frame.get("resume"))
            case "message.send" if mood == "busy":
                error = {"code": "overloaded", "message": "", "temporary": True, "retry_after_ms": 100}
                self.say({"type": "reply", "id": frame["id"], "ok": False, "error": error})
            case "message.send" if mood != "deaf":
                self.store(frame, ring=mood != "mute")
                if mood == "well":
                    self.say({"type": "reply", "id": frame["id"], "ok": True, "result": {"status": "accepted"}})
            case "sync" if mood == "well":
                after = int(frame["after"].split("-")[1])
                page = [entry for entry in self.log[self.trimmed :] if offset_of(entry) > after][:3]
                if not frame["after"].startswith(f"{self.epoch}-"):
                    page = []
                self.say({"type": "reply", "id": frame["id"], "ok": True, "result": {"events": page}})
            case _:
                pass

    def connect(self, resume: str | None) -> None:
        head = len(self.log)
        reason = "fresh"
        if resume is not None:
            epoch, offset = map(int, resume.split("-"))
            reason = "epoch_changed" if epoch != self.epoch else "position_trimmed" if offset < self.trimmed else ""
        self.say(
            {
                "type": "connected",
                "user_id": USER,
                "position": f"{self.epoch}-{head}",
                "recovered": not reason,
                "resync": reason or None,
            }
        )
        if not reason and resume is not None:
            for entry in self.log[int(resume.split("-")[1]) :]:
                self.say({"type": "event", **entry})
        self.live = True

    def store(self, frame: dict[str, Any], *, ring: bool) -> None:
        key, chat = frame["client_msg_id"], frame["conversation_id"]
        if key not in self.messages:
            self.seqs[chat] += 1
            self.messages[key] = message(
                self.seqs[chat], frame["content"]["text"], client_msg_id=key, sender=USER, conversation_id=chat
            ) | {"message_id": f"m{key}"}
        self.append(self.messages[key], ring=ring)

    def hear_other(self, *, ring: bool) -> None:
        key = f"other-{next(self.numbers)}"
        self.seqs[CHAT] += 1
        self.messages[key] = message(self.seqs[CHAT], client_msg_id=key, sender=OTHER) | {"message_id": f"m{key}"}
        self.append(self.messages[key], ring=ring)

    def append(self, data: dict[str, Any], *, ring: bool) -> None:
        entry = logged(len(self.log) + 1, "message.created", data, epoch=self.epoch, event_id=data["message_id"])
        self.log.append(entry)
        if self.live and ring:
            self.say({"type": "event", **entry})

    def ping(self) -> None:
        if self.live:
            self.say({"type": "ping", "position": f"{self.epoch}-{len(self.log)}"})

    def forget(self) -> None:
        """Redis lost the log: a new epoch, and live connections are told."""
        self.epoch += 1
        self.log, self.trimmed = [], 0
        if self.live:
            self.say({"type": "resync_required", "reason": "epoch_changed", "position": f"{self.epoch}-0"})

    def trim(self) -> None:
        self.trimmed = len(self.log)

    def state(self) -> State:
        chats = [
            {
                "conversation_id": chat,
                "kind": "group",
                "messages": [m for m in self.messages.values() if m["conversation_id"] == chat],
            }
            for chat in CHATS
        ]
        raw = {
            "position": f"{self.epoch}-{len(self.log)}",
            "user": {"user_id": USER, "username": "a"},
            "conversations": chats,
        }
        return msgspec.json.decode(msgspec.json.encode(raw), type=State)

    def heal(self) -> None:
        """Everything works from now on; time passes until nothing is left to do."""
        for _ in range(3000):
            self.dial()
            while self.open and (self.outbound or self.inbound):
                self.serve()
                self.deliver()
            self.answer_load()
            for _ in range(8):
                self.read()
            if self.done():
                return
            self.ping()
            self.pass_time(1.0)
        raise AssertionError(
            f"it never came to rest: {self.core.link}, {list(self.core.outbox)}, {self.core.inbox.last}"
        )

    def done(self) -> bool:
        last = self.core.inbox.last
        return (
            self.live
            and not self.core.inbox.loading
            and last is not None
            and str(last) == f"{self.epoch}-{len(self.log)}"
            and not self.core.outbox
            and not self.inbound
            and not self.outbound
            and not len(self.core.inbox)
        )


def offset_of(entry: dict[str, Any]) -> int:
    return int(entry["position"].split("-")[1])


STEPS = {
    "send to one": lambda world: world.send(0),
    "send to another": lambda world: world.send(1),
    "read": World.read,
    "dial": World.dial,
    "serve": World.serve,
    "serve, the reply is lost": lambda world: world.serve(mood="mute"),
    "the frame is lost": lambda world: world.serve(mood="deaf"),
    "busy": lambda world: world.serve(mood="busy"),
    "deliver": World.deliver,
    "cut": World.cut,
    "somebody writes": lambda world: world.hear_other(ring=True),
    "somebody writes, the doorbell is lost": lambda world: world.hear_other(ring=False),
    "ping": World.ping,
    "the log is lost": World.forget,
    "the log is trimmed": World.trim,
    "the state comes": World.answer_load,
    "the state can not be had": lambda world: world.answer_load(fail=True),
    "a moment": lambda world: world.pass_time(0.3),
    "a while": lambda world: world.pass_time(40.0),
}


@settings(max_examples=500, deadline=None)
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=80),
    seed=st.integers(0, 1000),
    limit=st.sampled_from([2, 5, 100]),
    calm_start=st.booleans(),
)
def test_everything_sent_is_stored_once_in_order_and_everything_stored_is_shown_once(
    steps: list[str], seed: int, limit: int, calm_start: bool
) -> None:
    """A1, A5, B13, C8, C9"""
    world = World(seed, inbox_limit=limit)
    if calm_start:
        world.heal()
    for step in steps:
        STEPS[step](world)
    world.heal()
    for chat, keys in world.sent.items():
        stored = [m["client_msg_id"] for m in world.messages.values() if m["conversation_id"] == chat]
        assert [key for key in stored if not key.startswith("other")] == keys
    assert set(world.settled) == {key for keys in world.sent.values() for key in keys}
    assert all(isinstance(result, Message) for result in world.settled.values())
    assert {m.client_msg_id for m in world.shown.values()} == set(world.messages)
    assert not world.stopped


def connected_world(**limits: int) -> World:
    world = World(1, **limits)
    world.heal()
    assert world.core.link is Link.CONNECTED
    return world


def test_silent_server_is_left_after_the_interval_and_ten_seconds() -> None:
    world = connected_world()
    world.pass_time(34.0)
    assert world.open
    world.pass_time(2.0)
    assert not world.open


def test_server_that_does_not_answer_connect_is_left_after_ten_seconds() -> None:
    world = World(1)
    world.dial()
    world.pass_time(9.9)
    assert world.open
    world.pass_time(0.2)
    assert not world.open


def test_resends_come_after_30_60_120_seconds_with_jitter() -> None:
    """B13"""
    world = connected_world()
    world.send(0)
    waits: list[float] = []
    for _ in range(4):
        frame = world.outbound.pop(0)
        assert frame["type"] == "message.send"
        world.say({"type": "reply", "id": frame["id"], "ok": True, "result": {}})
        world.deliver()
        began = world.now
        while not any(frame["type"] == "message.send" for frame in world.outbound):
            world.outbound.clear()  # pongs
            world.ping()
            world.deliver()
            world.pass_time(1.0)
        world.outbound = [frame for frame in world.outbound if frame["type"] == "message.send"]
        waits.append(world.now - began)
    for count, wait in enumerate(waits):
        assert STORE_S * 2**count <= wait <= STORE_S * 2**count * 1.25 + 2


def test_no_reply_in_ten_seconds_means_sent_again() -> None:
    world = connected_world()
    world.send(0)
    world.serve(mood="deaf")
    world.pass_time(9.9)
    assert not world.outbound
    world.pass_time(2.7)
    assert world.outbound[0]["type"] == "message.send"


def test_reconnects_spread_over_growing_windows_and_a_stable_connection_resets_them() -> None:
    world = connected_world()
    delays: list[float] = []
    for _ in range(8):
        world.cut()
        delays.append(world.core.dial_at - world.now)
        world.pass_time(delays[-1])
        world.dial()
    assert all(delay <= min(20.0, 0.5 * 2**count) for count, delay in enumerate(delays))
    assert max(delays) > 2
    world.heal()
    for _ in range(40):
        world.ping()
        world.deliver()
        world.pass_time(1.0)
    world.cut()
    assert world.core.dial_at - world.now <= 0.5


def test_hint_of_the_server_is_waited_for() -> None:
    world = connected_world()
    world.say({"type": "disconnect", "code": 4005, "reason": "draining", "reconnect": True, "retry_after_ms": 3000})
    world.deliver()
    world.cut()
    assert world.core.dial_at - world.now >= 3.0


def test_state_of_an_older_connection_is_not_used() -> None:
    """C8: it may be from before what this connection announced as its position."""
    world = World(1)
    world.dial()
    world.serve()
    world.deliver()
    world.pass_time(0)
    [stale] = world.loads
    world.loads.clear()
    old = world.state()
    world.cut()
    world.hear_other(ring=False)
    world.pass_time(5)
    world.dial()
    world.serve()
    world.deliver()
    world.apply(world.core.loaded(stale, old, world.now))
    assert world.core.inbox.loading
    world.heal()
    assert len(world.shown) == 1


def test_connection_as_another_user_than_before_stops() -> None:
    world = connected_world()
    world.cut()
    world.pass_time(20)
    world.dial()
    world.say({"type": "connected", "user_id": OTHER, "position": f"{EPOCH}-0", "recovered": True})
    world.deliver()
    assert world.stopped
