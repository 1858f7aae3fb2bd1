"""One good history, and one small bad one for every rule: the checker is worth what it catches."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.histories.checker import check
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
    Refused,
    ResyncTold,
    Sent,
    Stored,
    Text,
    from_lines,
    to_lines,
)

EPOCH = 5


def text(seq: int, key: str | None = None, **changes: Any) -> Text:
    key = key or f"k{seq}"
    fields = {
        "message_id": f"m-{key}",
        "conversation_id": "c",
        "seq": seq,
        "rev": seq + 1,
        "sender_id": "ann",
        "client_msg_id": key,
    }
    return Text(**{**fields, "text": f"text of {key}", **changes})


def sent(t: float, key: str, **changes: Any) -> Sent:
    fields = {
        "t": t,
        "device": "a1",
        "user": "ann",
        "conversation_id": "c",
        "client_msg_id": key,
        "text": f"text of {key}",
    }
    return Sent(**{**fields, **changes})


def accepted(t: float, key: str) -> Accepted:
    return Accepted(t=t, device="a1", user="ann", conversation_id="c", client_msg_id=key)


def refused(t: float, key: str, code: str, *, temporary: bool) -> Refused:
    return Refused(t=t, device="a1", user="ann", conversation_id="c", client_msg_id=key, code=code, temporary=temporary)


def created(t: float, device: str, offset: int, message: Text, *, epoch: int = EPOCH, **changes: Any) -> Event:
    fields = {"t": t, "device": device, "user": "ann" if device[0] == "a" else "bob", "position": f"{epoch}-{offset}"}
    return Event(
        **{**fields, "event": "message.created", "event_id": f"e-{message.message_id}", "message": message, **changes}
    )


def rejected(t: float, key: str, offset: int, code: str = "not_member") -> Event:
    return Event(
        t=t, device="a1", user="ann", position=f"{EPOCH}-{offset}", event="message.rejected", event_id=f"r-{key}",
        conversation_id="c", client_msg_id=key, code=code,
    )  # fmt: skip


def connected(t: float, device: str, offset: int = 0, **changes: Any) -> Connected:
    fields: dict[str, Any] = {
        "resumed_from": None,
        "position": f"{EPOCH}-{offset}",
        "recovered": False,
        "resync": "fresh",
    }
    return Connected(t=t, device=device, user="ann" if device[0] == "a" else "bob", **{**fields, **changes})


def good() -> list[Record]:
    """Ann sends two messages, one of them twice; Bob sees one live, loses his socket, resumes, and sees the other."""
    return [
        Members(conversation_id="c", users=["ann", "bob"]),
        connected(0.0, "a1"),
        connected(0.0, "b1"),
        sent(1.0, "k1"),
        accepted(1.1, "k1"),
        created(1.2, "a1", 1, text(1)),
        created(1.2, "b1", 1, text(1)),
        Fault(t=1.3, what="a socket is cut"),
        Disconnected(t=1.3, device="b1"),
        sent(2.0, "k2"),
        sent(2.5, "k2", attempt=2),
        accepted(2.6, "k2"),
        created(2.7, "a1", 2, text(2)),
        Healed(t=2.8),
        connected(3.0, "b1", 2, resumed_from=f"{EPOCH}-1", recovered=True, resync=None),
        created(3.1, "b1", 2, text(2)),
        created(3.2, "a1", 3, text(2), duplicate=True),
        Quiesced(t=4.0, unsettled={"persist 0": 0, "fanout 0": 0}),
        Stored(message=text(1)),
        Stored(message=text(2)),
    ]


def find(history: list[Record], kind: type, nth: int = 0) -> int:
    return [at for at, record in enumerate(history) if isinstance(record, kind)][nth]


def before_end(history: list[Record], *records: Record) -> list[Record]:
    at = find(history, Quiesced)
    return [*history[:at], *records, *history[at:]]


def without(history: list[Record], kind: type, nth: int = 0) -> list[Record]:
    at = find(history, kind, nth)
    return history[:at] + history[at + 1 :]


def replaced(history: list[Record], kind: type, nth: int, **changes: Any) -> list[Record]:
    at = find(history, kind, nth)
    return [*history[:at], msgspec.structs.replace(history[at], **changes), *history[at + 1 :]]


def test_a_good_history_is_clean_and_has_its_figures() -> None:
    report = check(good())
    assert report.clean, report.explain()
    figures = report.figures
    assert (figures.stored, figures.sends, figures.repeats, figures.sights) == (2, 2, 1, 4)
    assert (figures.resumes, figures.recovered, figures.faults) == (3, 1, 1)
    assert figures.worst_lag_s == pytest.approx(0.5)
    assert figures.after_heal_s == pytest.approx(0.3)


def test_a_history_survives_its_journey_through_a_file() -> None:
    assert from_lines(to_lines(good())) == good()


def swapped_session() -> list[Record]:
    history = replaced(replaced(good(), Stored, 0, message=text(2, "k1")), Stored, 1, message=text(1, "k2"))
    for nth, key in enumerate(["k1", "k1", "k2", "k2", "k2"]):
        history = replaced(history, Event, nth, message=text(2 if key == "k1" else 1, key))
    return history


BAD: dict[str, tuple[str, str, Callable[[], list[Record]]]] = {
    "an accepted message that is neither stored nor rejected": (
        "lost", "k3 of ann", lambda: before_end(good(), sent(3.3, "k3"), accepted(3.4, "k3"), Died(t=3.5, device="a1")),
    ),
    "a message that was shown and is not stored": ("lost", "c#2 m-k2", lambda: without(good(), Stored, 1)),
    "a stored message that one device never saw": ("lost", "b1 never saw 1 of the 2", lambda: without(good(), Event, 3)),
    "a device that saw nothing at all": ("lost", "b2 never saw 2 of the 2", lambda: [connected(0.0, "b2"), *good()]),
    "a rejected message that is stored": ("ghost", "not_member", lambda: before_end(good(), rejected(3.5, "k2", 4))),
    "a refused message that is stored": (
        "ghost", "bad_request", lambda: before_end(good(), refused(3.5, "k2", "bad_request", temporary=False)),
    ),
    "one send that became two messages": (
        "double store", "2 messages", lambda: [*good(), Stored(message=text(3, "k2", message_id="m-other"))],
    ),
    "one message with two numbers": (
        "double store", "2 numbers", lambda: replaced(good(), Event, 1, message=text(9, "k1")),
    ),
    "a message that nobody sent": (
        "phantom", "nobody sent", lambda: [*good(), Stored(message=text(3))],
    ),
    "a message with another text than was sent": (
        "phantom", "'forged'", lambda: replaced(good(), Event, 1, message=text(1, text="forged")),
    ),
    "a hole in the stored numbers": (
        "order", "missing or doubled 2", lambda: [*without(good(), Stored, 1), Stored(message=text(3, "k2"))],
    ),
    "a rev given twice": ("order", "a rev twice: 2", lambda: replaced(good(), Stored, 1, message=text(2, rev=2))),
    "first sights that go back": (
        "order", "first saw c#1", lambda: replaced(replaced(good(), Event, 1, message=text(2)), Event, 3, message=text(1)),
    ),
    "one number that is two messages": (
        "agreement", "number 2", lambda: replaced(good(), Event, 3, message=text(2, "k9")),
    ),
    "one position that holds two events (A5)": (
        "agreement", "position 5-1 of ann", lambda: [connected(0.0, "a2"), created(0.1, "a2", 1, text(2)), *good()],
    ),
    "a later send of a session with the lower number": ("session order", "the lower number", swapped_session),
    "a position skipped while live": (
        "silent gap", "2 positions were skipped", lambda: replaced(good(), Event, 2, position=f"{EPOCH}-4"),
    ),
    "a position skipped after a recovery that was called whole": (
        "silent gap", "b1 got 5-3", lambda: replaced(good(), Event, 3, position=f"{EPOCH}-3"),
    ),
    "another epoch without a resync": (
        "silent gap", "another epoch", lambda: replaced(good(), Event, 3, position=f"{EPOCH + 1}-2"),
    ),
    "a recovery across epochs": (
        "silent gap", "recovered=true with the head", lambda: replaced(good(), Connected, 2, position=f"{EPOCH + 1}-2"),
    ),
    "a recovery from beyond the head": (
        "silent gap", "recovered=true with the head", lambda: replaced(good(), Connected, 2, resumed_from=f"{EPOCH}-7"),
    ),
    "a recovery that nobody asked for": (
        "silent gap", "resumed from None", lambda: replaced(good(), Connected, 2, resumed_from=None),
    ),
    "an event twice in one log (B2)": (
        "double effect", "stands 2 times", lambda: before_end(good(), created(3.5, "a1", 4, text(2))),
    ),
    "work that never ended": ("stuck", "persist 0 still has 3", lambda: replaced(good(), Quiesced, 0, unsettled={"persist 0": 3})),
    "lag that can not be told": ("stuck", "an unknown number", lambda: replaced(good(), Quiesced, 0, unsettled={"persist 0": -1})),
    "a dead letter": ("stuck", "1 dead letters, 0 expected", lambda: replaced(good(), Quiesced, 0, dead=1)),
    "a send that is still waited for": ("stuck", "a1 still waits", lambda: replaced(good(), Quiesced, 0, outboxes={"a1": ["k7"]})),
    "a history without an end": ("stuck", "no end", lambda: without(good(), Quiesced)),
    "a delivery long after healing": ("liveness", "97.2 s", lambda: replaced(good(), Event, 3, t=100.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_the_checker_finds_and_explains(name: str) -> None:
    rule, words, history = BAD[name]
    report = check(history())
    found = [anomaly.what for anomaly in report.anomalies if anomaly.rule == rule]
    assert found, f"not found; the report: {report.explain()}"
    assert any(words in what for what in found), found


def test_the_checker_lets_pass_what_is_allowed() -> None:
    """Unknown outcomes, temporary refusals, repeats on the wire, told resyncs, voids, and accepted work that a flush lost."""
    history = before_end(
        good(),
        sent(3.21, "k3"),  # its outcome is unknown: it may be absent
        refused(3.22, "k2", "unavailable", temporary=True),
        rejected(3.23, "k1", 4, code="idempotency_conflict"),
        ResyncTold(t=3.3, device="b1", reason="epoch_changed", position="6-0"),
        Loaded(t=3.4, device="b1", user="bob", message=text(2)),
        created(3.5, "b1", 1, text(2), epoch=6),
        created(3.5, "b1", 1, text(2), epoch=6),
        sent(3.6, "k4"),
        accepted(3.61, "k4"),
        Fault(t=3.7, what="FLUSHALL", loses_accepted=True),
        Died(t=3.8, device="a1"),
    )
    history.append(Stored(message=text(3, "void:3", sender_id=None, text=None)))
    report = check(history)
    assert report.clean, report.explain()
