"""Judges a recorded history: every anomaly, explained, and the figures of the run. Pure: no I/O, no clock.

    records    what is written down
    index      the same by message, conversation and device
    rules      the promises about messages and positions, one function each
    changes    the same about what is changed: messages, members, receipts
    checker    all of them over one history
    recorder   writes histories down
    client     a device over the wire that records what happens to it
    simulation a small model of the whole system, with switches for the mistakes that the rules must catch

Method: Jepsen's total-queue and kafka checkers (https://jepsen.io), applied to conversations and resumable logs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.histories import changes, rules
from tests.histories.index import Index, index
from tests.histories.records import Record
from tests.histories.rules import Anomaly

SHOWN_PER_RULE = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """What the run was worth. Times in seconds."""

    stored: int
    sends: int
    repeats: int
    sights: int
    changes: int
    """Recorded as made."""
    resumes: int
    recovered: int
    resyncs: int
    faults: int
    worst_lag_s: float
    """From `accepted` to the last device's first sight, at worst."""
    after_heal_s: float
    """From the last heal to the last first sight of what was sent before it."""

    def __str__(self) -> str:
        return (
            f"{self.stored} stored, {self.sends} sent + {self.repeats} repeats, {self.sights} sights, {self.changes} changes; "
            f"{self.resumes} connects, {self.recovered} recovered, {self.resyncs} resyncs; {self.faults} faults; "
            f"worst lag {self.worst_lag_s:.2f} s, last sight {self.after_heal_s:.2f} s after healing"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on a history."""

    anomalies: list[Anomaly]
    figures: Figures

    @property
    def clean(self) -> bool:
        """Whether every promise held."""
        return not self.anomalies

    def rules(self) -> set[str]:
        """The names of the rules that were broken."""
        return {anomaly.rule for anomaly in self.anomalies}

    def explain(self) -> str:
        """The verdict for a person: the figures, then anomalies by rule."""
        counts = Counter(anomaly.rule for anomaly in self.anomalies)
        lines = [str(self.figures)]
        for rule, count in counts.items():
            lines.append(f"{rule}: {count}")
            shown = [anomaly.what for anomaly in self.anomalies if anomaly.rule == rule][:SHOWN_PER_RULE]
            lines += [f"  - {what}" for what in shown]
        return "\n".join(lines)


def check(records: Sequence[Record], *, dead: int = 0, settle_seconds: float = 10.0) -> Report:
    """Check a whole history against every rule.

    Args:
        records: in the order in which they happened, `Quiesced` and `Stored` at the end.
        dead: how many dead letters the tester caused on purpose.
        settle_seconds: within which everything must have been seen after the last heal.
    """
    history = index(records)
    anomalies = [anomaly for rule in (*rules.ALL, *changes.ALL) for anomaly in rule(history)]
    if history.quiesced is not None and history.quiesced.dead != dead:
        anomalies.append(Anomaly("stuck", f"{history.quiesced.dead} dead letters, {dead} expected"))
    figures = _figures(history)
    if figures.after_heal_s > settle_seconds:
        anomalies.append(
            Anomaly(
                "liveness",
                f"the last message came to a device {figures.after_heal_s:.1f} s after healing, allowed are {settle_seconds} s",
            )
        )
    return Report(anomalies, figures)


def _figures(history: Index) -> Figures:
    first: dict[tuple[str, str], float] = {}
    for device, sights in history.sights.items():
        for sight in sights:
            first.setdefault((device, sight.message.message_id), sight.t)
    connects = [
        record for wire in history.wire.values() for _, record in wire if record.__struct_config__.tag == "resume"
    ]
    tags = Counter(record.__struct_config__.tag for record in history.records)
    return Figures(
        stored=sum(len(messages) for messages in history.stored.values()),
        sends=len(history.sends),
        repeats=sum(len(sends) - 1 for sends in history.sends.values()),
        sights=len(first),
        changes=len(history.recorded),
        resumes=len(connects),
        recovered=sum(connect.recovered for connect in connects),
        resyncs=tags["sync"],
        faults=tags["fault"],
        worst_lag_s=_worst_lag(history, first),
        after_heal_s=_after_heal(history, first),
    )


def _after_heal(history: Index, first: dict[tuple[str, str], float]) -> float:
    """What was sent, and who was there, before the healing: what came later owes nothing to it."""
    if history.healed is None:
        return 0.0
    healed = history.healed.t
    there = {device for device, wire in history.wire.items() if wire[0][1].t < healed}
    sent = {key for key, sends in history.sends.items() if sends[0][1].t < healed}
    owed = {messages[0].message_id for key, messages in history.stored_by_key().items() if key in sent}
    late = [t - healed for (device, message_id), t in first.items() if device in there and message_id in owed]
    return max(late, default=0.0)


def _worst_lag(history: Index, first: dict[tuple[str, str], float]) -> float:
    last: dict[str, float] = {}
    for (_, message_id), t in first.items():
        last[message_id] = max(t, last.get(message_id, t))
    stored = history.stored_by_key()
    return max(
        (
            last[stored[key][0].message_id] - accepts[0][1].t
            for key, accepts in history.accepted.items()
            if key in stored and stored[key][0].message_id in last
        ),
        default=0.0,
    )
