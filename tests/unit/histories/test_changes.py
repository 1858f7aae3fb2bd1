"""One good history with changes, and one small bad one for every rule about them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.histories.checker import check
from tests.histories.records import (
    ChangeAccepted,
    Changed,
    ChangeRefused,
    Connected,
    Died,
    Event,
    Fault,
    Fresh,
    Levels,
    LoadedRoom,
    Member,
    Members,
    Quiesced,
    Record,
    Recorded,
    Spans,
    Stored,
    from_lines,
    to_lines,
)
from tests.unit.histories.test_checker import (
    EPOCH,
    accepted,
    before_end,
    connected,
    created,
    find,
    replaced,
    sent,
    text,
    without,
)

EDITED = text(1, rev=4, text="edited")
LIKED = text(1, rev=7, text="edited", reactions={"👍": ["bob"]})


def member(user: str, rev: int = 1, role: str = "member", **levels: int) -> Member:
    return Member(user=user, role=role, rev=rev, **levels)


def asked(t: float, op: str, kind: str, device: str = "a1", **changes: Any) -> Changed:
    fields = {
        "device": device,
        "user": "ann" if device[0] == "a" else "bob",
        "conversation_id": "c",
        "client_op_id": op,
    }
    return Changed(t=t, kind=kind, **{**fields, "target": "m-k1", **changes})


def taken(t: float, op: str, device: str = "a1") -> ChangeAccepted:
    user = "ann" if device[0] == "a" else "bob"
    return ChangeAccepted(t=t, device=device, user=user, conversation_id="c", client_op_id=op)


def refused(t: float, op: str, *, temporary: bool) -> ChangeRefused:
    code = "unavailable" if temporary else "forbidden"
    return ChangeRefused(
        t=t, device="a1", user="ann", conversation_id="c", client_op_id=op, code=code, temporary=temporary
    )


def told(device: str, offset: int, event: str, op: str = "", actor: str = "ann", **changes: Any) -> Event:
    user = {"a": "ann", "b": "bob", "g": "guy"}[device[0]]
    fields = {"conversation_id": "c", "event_id": f"{event} {op} {offset}", "client_op_id": op, "actor": actor}
    return Event(t=2.0, device=device, user=user, position=f"{EPOCH}-{offset}", event=event, **{**fields, **changes})


def rejection(op: str, offset: int) -> Event:
    return told("a1", offset, "operation.rejected", op, actor="", code="forbidden")


def guest_in(device: str, offset: int) -> Event:
    return told(device, offset, "member.joined", "add", rev=3, members=[member("guy", 3)])


def guest_out(device: str, offset: int) -> Event:
    return told(device, offset, "member.left", "remove", rev=6, members=[member("guy", 6)])


def read(device: str, offset: int, seq: int) -> Event:
    levels = Levels(user="bob", delivered_seq=seq, read_seq=seq)
    return told(device, offset, "receipt.updated", actor="", levels=levels)


def good() -> list[Record]:
    """Ann writes and edits, Bob reacts and reads; a guest comes, hears of one edit, and is put out before the reaction."""
    fresh = {
        "conversation_id": "c", "rev": 7, "messages": [LIKED],
        "members": [member("ann", role="owner"), member("bob", delivered_seq=1, read_seq=1)],
    }  # fmt: skip
    return [
        Members(conversation_id="c", users=["ann", "bob"]),
        connected(0.0, "a1"),
        connected(0.0, "b1"),
        msgspec.structs.replace(connected(0.0, "g1"), user="guy"),
        *(
            LoadedRoom(
                t=0.1, device=device, user=user, conversation_id="c", rev=1,
                members=[member("ann", role="owner"), member("bob")],
            )
            for device, user in (("a1", "ann"), ("b1", "bob"))
        ),
        sent(1.0, "k1"),
        accepted(1.1, "k1"),
        created(1.2, "a1", 1, text(1)),
        created(1.2, "b1", 1, text(1)),
        asked(1.3, "add", "member.add", target="guy"),
        taken(1.3, "add"),
        guest_in("a1", 2),
        guest_in("b1", 2),
        guest_in("g1", 1),
        asked(1.4, "edit", "message.edit", value="edited"),
        taken(1.5, "edit"),
        told("a1", 3, "message.edited", "edit", now=EDITED),
        told("b1", 3, "message.edited", "edit", now=EDITED),
        told("g1", 2, "message.edited", "edit", now=EDITED),
        asked(1.6, "remove", "member.remove", target="guy"),
        taken(1.6, "remove"),
        guest_out("a1", 4),
        guest_out("b1", 4),
        guest_out("g1", 3),
        asked(1.7, "like", "reaction.add", "b1", value="👍"),
        taken(1.8, "like", "b1"),
        told("a1", 5, "reaction.added", "like", "bob", now=LIKED),
        told("b1", 5, "reaction.added", "like", "bob", now=LIKED),
        read("a1", 6, 1),
        read("b1", 6, 1),
        asked(1.9, "no", "message.pin"),
        taken(1.9, "no"),
        rejection("no", 7),
        Quiesced(t=4.0, unsettled={"persist 0": 0}),
        Stored(message=LIKED),
        *(Recorded(conversation_id="c", user="ann", client_op_id=op) for op in ("add", "edit", "remove")),
        Recorded(conversation_id="c", user="bob", client_op_id="like"),
        Spans(conversation_id="c", user="ann", spans=[(1, None)]),
        Spans(conversation_id="c", user="bob", spans=[(1, None)]),
        Spans(conversation_id="c", user="guy", spans=[(3, 6)]),
        Fresh(user="ann", **fresh),
        Fresh(user="bob", **fresh),
    ]  # fmt: skip


def event(history: list[Record], name: str, device: str) -> int:
    """Which of the events this one is."""
    events = [record for record in history if isinstance(record, Event)]
    return next(at for at, one in enumerate(events) if (one.event, one.device) == (name, device))


def with_event(name: str, device: str, **changes: Any) -> list[Record]:
    return replaced(good(), Event, event(good(), name, device), **changes)


def without_event(name: str, device: str) -> list[Record]:
    return without(good(), Event, event(good(), name, device))


def with_fresh(**changes: Any) -> list[Record]:
    return replaced(good(), Fresh, 0, **changes)


def test_a_device_that_has_not_heard_of_a_rejection_may_ask_again_and_get_it() -> None:
    """Another device of the same person heard of it; that one was away."""
    again = [
        asked(3.0, "no", "message.pin", attempt=2),
        taken(3.1, "no"),
        told("b1", 7, "message.pinned", "no", now=LIKED),
    ]
    made = [*before_end(good(), *again), Recorded(conversation_id="c", user="ann", client_op_id="no")]
    assert "ghost change" in {one.rule for one in check(made).anomalies}, "a1 has heard of it"
    elsewhere = [
        msgspec.structs.replace(record, device="a2") if record == rejection("no", 7) else record for record in made
    ]
    assert elsewhere != made
    assert "ghost change" not in {one.rule for one in check(elsewhere).anomalies}


BAD: dict[str, tuple[str, str, Callable[[], list[Record]]]] = {
    "an accepted change that is neither made nor rejected": (
        "lost change", "change edit of ann", lambda: without(good(), Recorded, 1),
    ),
    "the same by a device that died, and no Redis was emptied": (
        "lost change", "reaction.add of m-k1",
        lambda: before_end(good(), asked(3.0, "x", "reaction.add"), taken(3.1, "x"), Died(t=3.2, device="a1")),
    ),
    "a change that was told and is not recorded": (
        "lost change", "was told to b1", lambda: before_end(good(), told("b1", 7, "reaction.added", "y", now=LIKED)),
    ),
    "a rejected change that is made": (
        "ghost change", "recorded as made",
        lambda: [*good(), Recorded(conversation_id="c", user="ann", client_op_id="no")],
    ),
    "a refused change that is made": (
        "ghost change", "forbidden", lambda: before_end(good(), refused(3.0, "edit", temporary=False)),
    ),
    "a rejected change that is told": (
        "ghost change", "told to b1", lambda: before_end(good(), told("b1", 7, "message.pinned", "no", now=LIKED)),
    ),
    "one number for two messages": (
        "rev", "number 4 of c is 2 changes",
        lambda: before_end(good(), created(3.0, "a1", 8, text(2, rev=4))),
    ),
    "one number for a message and a member": (
        "rev", "number 4 of c is 2 changes",
        lambda: with_event("member.joined", "a1", members=[member("guy", 4)]),
    ),
    "one number for two states of a message": (
        "rev", "is not one state", lambda: with_event("message.edited", "b1", now=text(1, rev=4, text="other")),
    ),
    "a message that goes back in somebody's log": (
        "rev order", "rev 4 at 5-8 after 7", lambda: before_end(good(), told("a1", 8, "message.edited", "edit", now=EDITED)),
    ),
    "a member who goes back in somebody's log": (
        "rev order", "rev 3 at 5-8 after 6", lambda: before_end(good(), guest_in("a1", 8)),
    ),
    "an event after the removal": (
        "trespass", "g1 got reaction.added with rev 7",
        lambda: before_end(good(), told("g1", 4, "reaction.added", "like", "bob", now=LIKED)),
    ),
    "a message after the removal": (
        "trespass", "g1 got message.created with rev 7",
        lambda: before_end(good(), created(3.0, "g1", 4, LIKED, user="guy")),
    ),
    "somebody else's leaving after the removal": (
        "trespass", "g1 got member.left with rev 8",
        lambda: before_end(good(), told("g1", 4, "member.left", rev=8, members=[member("bob", 8)])),
    ),
    "an event to a stranger": (
        "trespass", "was in it never", lambda: without(good(), Spans, 2),
    ),
    "a level that goes back": (
        "receipt", "a1 was told (0, 0) of bob after (1, 1)", lambda: before_end(good(), read("a1", 8, 0)),
    ),
    "a level past the newest message": (
        "receipt", "1 messages are stored", lambda: before_end(good(), read("a1", 8, 2)),
    ),
    "a device that missed a change": (
        "stale", "a1 shows c#1 m-k1 rev 4", lambda: without_event("reaction.added", "a1"),
    ),
    "a device that shows what is not there": (
        "stale", "a1 shows c#1 m-k1, which a fresh fetch does not", lambda: with_fresh(messages=[]),
    ),
    "a device that lacks a message": (
        "stale", "a1 does not show c#2", lambda: with_fresh(messages=[LIKED, text(2, rev=9)]),
    ),
    "a device that missed somebody's leaving": (
        "stale", "a1 shows guy in c as ('member', 3", lambda: without_event("member.left", "a1"),
    ),
    "a device that missed somebody's coming": (
        "stale", "a1 shows guy in c as None",
        lambda: with_fresh(members=[member("ann", role="owner"), member("bob", delivered_seq=1, read_seq=1), member("guy", 9)]),
    ),
    "a device that missed a receipt": ("stale", "a1 shows bob in c", lambda: without_event("receipt.updated", "a1")),
    "a device with another role": (
        "stale", "a1 shows ann in c as ('owner'",
        lambda: with_fresh(members=[member("ann"), member("bob", delivered_seq=1, read_seq=1)]),
    ),
    "a text that nobody gave it": (
        "phantom", "'forged'", lambda: with_event("message.edited", "b1", now=text(1, rev=4, text="forged")),
    ),
    "a text that somebody else wanted to give it": (
        "phantom", "'theirs'",
        lambda: before_end(
            with_event("message.edited", "b1", now=text(1, rev=4, text="theirs")),
            asked(3.0, "z", "message.edit", "b1", value="theirs"),
        ),
    ),
    "a message that lost its text, and nobody deleted it": (
        "phantom", "None", lambda: with_event("message.edited", "b1", now=text(1, rev=4, text=None, deleted=True)),
    ),
    "a change twice in one log": (
        "double effect", "stands 2 times",
        lambda: before_end(good(), told("a1", 8, "reaction.added", "like", "bob", now=LIKED, event_id="reaction.added like 5")),
    ),
    "a change that is still waited for": ("stuck", "a1 still waits", lambda: replaced(good(), Quiesced, 0, outboxes={"a1": ["edit"]})),
}  # fmt: skip


def test_a_good_history_is_clean_and_counts_its_changes() -> None:
    report = check(good())
    assert report.clean, report.explain()
    assert report.figures.changes == 4
    assert from_lines(to_lines(good())) == good()


@pytest.mark.parametrize("name", BAD)
def test_the_checker_finds_and_explains(name: str) -> None:
    rule, words, history = BAD[name]
    report = check(history())
    found = [anomaly.what for anomaly in report.anomalies if anomaly.rule == rule]
    assert found, f"not found; the report: {report.explain()}"
    assert any(words in what for what in found), found


def test_the_checker_lets_pass_what_is_allowed() -> None:
    """Repeats for their sender, states told again as they are now, refusals for a time, a lost log's rejection, and what a flush lost."""
    history = before_end(
        good(),
        told("a1", 8, "message.edited", "edit", now=LIKED),  # made again after a crash: told as it is now
        told("a1", 9, "reaction.added", "like", "bob", now=LIKED, duplicate=True),
        refused(3.1, "edit", temporary=True),
        asked(3.2, "gone", "reaction.add"),
        taken(3.2, "gone"),  # rejected, and the log with the rejection was lost
        asked(3.3, "flushed", "reaction.add"),
        taken(3.3, "flushed"),
        Fault(t=3.4, what="FLUSHALL", loses_accepted=True),
        Died(t=3.5, device="a1"),
    )
    at = find(history, Quiesced)
    history[at:at] = [
        asked(3.6, "twice", "reaction.add", "b1"),
        asked(3.7, "twice", "reaction.add", "b1", attempt=2),
        told("b1", 7, "operation.rejected", "twice", actor="", code="not_found"),
        told("b1", 8, "reaction.added", "twice", "bob", now=LIKED),  # the repeat was under way, and is decided anew
    ]
    history.append(Recorded(conversation_id="c", user="bob", client_op_id="twice"))
    history.append(Recorded(conversation_id="c", user="ann", client_op_id="gone", code="not_found"))
    report = check(history)
    assert report.clean, report.explain()


def test_a_guest_hears_of_what_is_new_before_they_have_loaded_what_is_old() -> None:
    at = find(good(), Quiesced)
    history = [
        *good()[:at],
        created(3.0, "g1", 4, text(2, rev=5), user="guy"),
        created(3.0, "g1", 5, text(1, rev=4, text="edited"), user="guy", event_id="e"),
        *good()[at:],
    ]
    assert "order" not in {anomaly.rule for anomaly in check(history).anomalies if "g1 first saw" in anomaly.what}


def test_a_message_that_was_being_changed_is_first_seen_in_its_change() -> None:
    """A state that is loaded meanwhile lacks it."""
    history = replaced(without_event("message.created", "b1"), Connected, 1, position=f"{EPOCH}-1")
    assert check(history).clean, check(history).explain()
    only_edited = [
        one for one in history if not (isinstance(one, Event) and one.device == "b1" and one.now is not None)
    ]
    assert "lost" in check(only_edited).rules()
