"""Clients of the model, and the schedule: who moves next, and what breaks, is drawn from a seed. The clock counts steps.

The clients do what the protocol asks of a client: an outbox with repeats, one send in flight per conversation, resume, resync.
"""

import random
from dataclasses import dataclass, field

from schemas.ids import Position
from tests.histories.model import Crash, Fact, Intent, Mistake, Server
from tests.histories.records import (
    Accepted,
    Connected,
    Died,
    Disconnected,
    Event,
    Fault,
    Healed,
    Loaded,
    Members,
    Quiesced,
    Record,
    ResyncTold,
    Sent,
    Stored,
    Synced,
)

MEMBERS = {"direct": ["ann", "bob"], "group": ["ann", "bob", "cem"]}
STEP_SECONDS = 0.01
QUIET_STEPS = 20_000


@dataclass
class Waiting:
    """A send in an outbox."""

    conversation_id: str
    text: str
    attempts: int = 0
    accepted: bool = False


@dataclass
class Device:
    """A client: what it keeps on disk."""

    name: str
    user: str
    forgetful: bool = False
    """Dies after its first `accepted` under faults: nothing will be repeated."""
    connected: bool = False
    position: Position | None = None
    outbox: dict[str, Waiting] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    sends: int = 0
    dead: bool = False


class Simulation:
    """One run."""

    def __init__(self, seed: int, mistake: Mistake | None = None, *, steps: int = 700) -> None:
        self.rng, self.steps, self.now = random.Random(seed), steps, 0
        self.server = Server(self.rng, MEMBERS, mistake)
        self.records: list[Record] = [Members(conversation_id=c, users=users) for c, users in MEMBERS.items()]
        self.devices = [Device(f"{user}-{n}", user) for user in ("ann", "bob", "cem") for n in (1, 2)]
        self.devices += [Device(f"late-{n}", "ann", forgetful=True) for n in range(6)] + [Device("eve-1", "eve")]
        self.intent_ids = 0

    @property
    def t(self) -> float:
        return self.now * STEP_SECONDS

    def run(self) -> list[Record]:
        """The whole history: load under faults, healing, rest, the stored state."""
        self.server.crash_rate = 0.04
        for _ in range(self.steps):
            self.step(composing=True)
            if self.rng.random() < 0.004:
                self.records.append(Fault(t=self.t, what="rewind"))
                self.server.rewind()
        self.server.crash_rate = 0.0
        self.records.append(Healed(t=self.t))
        for _ in range(QUIET_STEPS):
            if self._quiet():
                break
            self.step(composing=False)
        self._finish()
        return self.records

    def step(self, *, composing: bool) -> None:
        self.now += 1
        alive = [device for device in self.devices if not device.dead]
        device = self.rng.choice(alive)
        move = self.rng.random()
        try:
            if move < 0.25:
                self.server.persist()
            elif move < 0.45:
                self.server.fan_out()
            elif not device.connected:
                self.connect(device)
            elif composing and move < 0.55:
                self.compose(device)
            elif composing and move < 0.57:
                self.disconnect(device)
            elif move < 0.75:
                self.transmit(device)
            else:
                self.deliver(device)
        except Crash:
            self.records.append(Fault(t=self.t, what="crash"))

    def compose(self, device: Device) -> None:
        conversation_id = self.rng.choice(list(MEMBERS))
        if device.user == "cem":
            conversation_id = "group"
        device.sends += 1
        device.outbox[f"{device.name}:{device.sends}"] = Waiting(
            conversation_id, f"text {device.sends} of {device.name}"
        )

    def transmit(self, device: Device) -> None:
        """The oldest send that is not accepted, or, all being accepted, the oldest once more."""
        if not device.outbox:
            return
        fresh = [key for key, waiting in device.outbox.items() if not waiting.accepted]
        again = self.rng.random() < 0.1
        if not fresh and not again:
            return
        key = next(iter(device.outbox)) if again else fresh[0]
        waiting = device.outbox[key]
        waiting.attempts += 1
        common = {
            "device": device.name,
            "user": device.user,
            "conversation_id": waiting.conversation_id,
            "client_msg_id": key,
        }
        self.records.append(Sent(t=self.t, text=waiting.text, attempt=waiting.attempts, **common))
        self.intent_ids += 1
        try:
            self.server.append(Intent(self.intent_ids, device.user, waiting.conversation_id, key, waiting.text))
        except Crash:
            self.disconnect(device)
            raise
        waiting.accepted = True
        self.records.append(Accepted(t=self.t, **common))
        if device.forgetful and self.server.crash_rate:
            self.disconnect(device)
            device.dead = True
            self.records.append(Died(t=self.t, device=device.name))

    def connect(self, device: Device) -> None:
        resync = self.server.resume(device.user, device.position)
        head = self.server.head(device.user)
        resumed_from = str(device.position) if device.position else None
        self.records.append(
            Connected(
                t=self.t, device=device.name, user=device.user, resumed_from=resumed_from,
                position=str(head), recovered=resync is None, resync=resync,
            )
        )  # fmt: skip
        device.connected = True
        if resync is not None:
            self.resync(device)

    def disconnect(self, device: Device) -> None:
        if device.connected:
            device.connected = False
            self.records.append(Disconnected(t=self.t, device=device.name))

    def resync(self, device: Device) -> None:
        head = self.server.head(device.user)
        for conversation_id, messages in self.server.stored.items():
            if device.user in MEMBERS[conversation_id]:
                for message in messages:
                    if message.message_id not in device.seen:
                        self.records.append(Loaded(t=self.t, device=device.name, user=device.user, message=message))
                    self._saw(device, message.message_id, message.client_msg_id)
        device.position = head
        self.records.append(Synced(t=self.t, device=device.name, position=str(head)))

    def deliver(self, device: Device) -> None:
        assert device.position is not None
        try:
            found = self.server.after(device.user, device.position)
        except KeyError:
            head = self.server.head(device.user)
            self.records.append(ResyncTold(t=self.t, device=device.name, reason="epoch_changed", position=str(head)))
            self.resync(device)
            return
        if found is not None:
            device.position = found[0]
            self._hear(device, *found)

    def _hear(self, device: Device, position: Position, fact: Fact) -> None:
        self.records.append(
            Event(
                t=self.t, device=device.name, user=device.user, position=str(position), event=fact.event, event_id=fact.event_id,
                message=fact.message, duplicate=fact.duplicate, conversation_id=fact.conversation_id,
                client_msg_id=fact.client_msg_id, code="not_member" if fact.event == "message.rejected" else "",
            )
        )  # fmt: skip
        if fact.message is not None:
            self._saw(device, fact.message.message_id, fact.message.client_msg_id)
        device.outbox.pop(fact.client_msg_id, None)

    def _saw(self, device: Device, message_id: str, client_msg_id: str) -> None:
        device.seen.add(message_id)
        device.outbox.pop(client_msg_id, None)

    def _quiet(self) -> bool:
        server = self.server
        return (
            server.taken == len(server.intents)
            and not server.pending
            and server.fanned == len(server.events)
            and all(
                device.connected and not device.outbox and device.position == server.head(device.user)
                for device in self.devices
                if not device.dead
            )
        )

    def _finish(self) -> None:
        server = self.server
        unsettled = {
            "persist": len(server.pending) + len(server.intents) - server.taken,
            "fanout": len(server.events) - server.fanned,
        }
        outboxes = {device.name: list(device.outbox) for device in self.devices if device.outbox}
        self.records.append(Quiesced(t=self.t, unsettled=unsettled, outboxes=outboxes))
        self.records += [Stored(message=message) for messages in server.stored.values() for message in messages]
