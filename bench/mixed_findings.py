"""From the records of a mixed run to what they mean. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.findings import LATE_MS, Latency, latency, rate_within
from bench.history import History, MixedCorrectness, Promised, judge
from bench.mixture import SHARES, Kind, Mixture, Operation

CHANGES: frozenset[Kind] = frozenset({"react", "edit"})


@dataclass(slots=True)
class MixedRecords:
    """What was seen: lists of the plan's length have one entry an operation, in seconds after its intended moment; NaN: never."""

    plan: Mixture
    operations: Sequence[Operation]
    lag: list[float]
    accepted: list[float]
    stored: list[float]
    """Sends: their `message.created` at their sender."""
    changed: list[float]
    """Reactions and edits: their event at their maker."""
    delivered: list[float] = field(default_factory=list[float])
    """Sends after the warm-up, at each of the others."""
    changed_elsewhere: list[float] = field(default_factory=list[float])
    """Reactions and edits after the warm-up, at each of the others."""
    typing_heard: int = 0
    skipped: set[int] = field(default_factory=set[int])
    history: History = field(default_factory=History)
    lost_connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedFinding:
    """One mixed run. `accepted`, `stored` and `delivered` are of the sends; rates are of what was measured, after the warm-up."""

    scenario: str
    seed: int
    rate: float
    seconds: float
    people: int
    conversations: int
    operations: int
    by_kind: Mapping[str, int]
    operations_per_s: float
    messages: int
    messages_per_s: float
    deliveries_per_s: float
    accepted: Latency
    stored: Latency
    delivered: Latency
    changed: Latency
    changed_elsewhere: Latency
    typing_heard: int
    lost_connections: int
    lag_p99_ms: float
    correctness: MixedCorrectness
    cpu_us_per_operation: Mapping[str, float]

    @property
    def valid(self) -> bool:
        """Whether the generator kept its own schedule."""
        return self.lag_p99_ms <= LATE_MS


def find_mixed(records: MixedRecords, promised: Promised, cost: Mapping[str, float]) -> MixedFinding:
    """Put one run's records together; the warm-up counts for correctness and cost alone."""
    plan = records.plan
    by_kind = Counter(each.kind for number, each in enumerate(records.operations) if number not in records.skipped)
    measured = slice(plan.warmup, plan.total)
    sends = [number for number in range(plan.warmup, plan.total) if records.operations[number].kind == "send"]
    skipped = sum(number >= plan.warmup for number in records.skipped)
    return MixedFinding(
        scenario=plan.scenario,
        seed=plan.seed,
        rate=plan.rate,
        seconds=plan.seconds,
        people=plan.people,
        conversations=len(plan.sizes),
        operations=by_kind.total(),
        by_kind={kind: by_kind[kind] for kind in SHARES},
        operations_per_s=(plan.total - plan.warmup - skipped) / plan.seconds,
        messages=by_kind["send"],
        messages_per_s=rate_within(plan, records.stored),
        deliveries_per_s=len(records.delivered) / plan.seconds,
        accepted=latency([records.accepted[number] for number in sends]),
        stored=latency(records.stored[measured]),
        delivered=latency(records.delivered),
        changed=latency(records.changed[measured]),
        changed_elsewhere=latency(records.changed_elsewhere),
        typing_heard=records.typing_heard,
        lost_connections=records.lost_connections,
        lag_p99_ms=latency([max(0.0, lag) for lag in records.lag[measured]]).p99_ms,
        correctness=judge(records.history, promised),
        cpu_us_per_operation=cost,
    )
