"""The model of a right server passes every seed; each mistake that we know of is caught, by the rule that it breaks."""

import pytest

from tests.histories.checker import check
from tests.histories.model import Mistake
from tests.histories.simulation import STEP_SECONDS, Simulation

SEEDS = 200
MUTANT_SEEDS = 25

BROKEN_RULE = {
    Mistake.ACCEPTS_BEFORE_APPENDING: "lost",
    Mistake.ACKNOWLEDGES_BEFORE_STORING: "lost",
    Mistake.DOES_NOT_DEDUPLICATE: "double store",
    Mistake.RESUMES_PAST_THE_TRIM: "silent gap",
    Mistake.TELLS_REPEATS_TO_THE_SENDER_ALONE: "lost",
    Mistake.STORES_WHAT_IT_REJECTS: "ghost",
    Mistake.KEEPS_THE_EPOCH_OF_A_REWOUND_LOG: "agreement",
    Mistake.INSERTS_UNORDERED: "order",
    Mistake.APPENDS_AGAIN: "double effect",
    Mistake.ACKNOWLEDGES_BEFORE_APPENDING: "lost",
    Mistake.SKIPS_A_LOST_DOORBELL: "silent gap",
    Mistake.SWAPS_EVENTS: "order",
    Mistake.LEAVES_ENTRIES_PENDING: "stuck",
    Mistake.ALTERS_TEXT: "phantom",
}


def test_the_right_server_is_clean_under_every_schedule_of_faults() -> None:
    crashes = recovered = resyncs = repeats = 0
    for seed in range(SEEDS):
        report = check(Simulation(seed).run(), settle_seconds=20_000 * STEP_SECONDS)
        assert report.clean, f"seed {seed}\n{report.explain()}"
        crashes += report.figures.faults
        recovered += report.figures.recovered
        resyncs += report.figures.resyncs
        repeats += report.figures.repeats
    assert min(crashes, recovered, resyncs, repeats) > SEEDS, "the schedules are too tame to show anything"


@pytest.mark.parametrize("mistake", Mistake, ids=lambda mistake: mistake.name.lower())
def test_every_mistake_of_a_server_is_caught(mistake: Mistake) -> None:
    caught: set[str] = set()
    for seed in range(MUTANT_SEEDS):
        caught |= check(Simulation(seed, mistake).run(), settle_seconds=20_000 * STEP_SECONDS).rules()
    assert BROKEN_RULE[mistake] in caught, f"caught as {caught or 'nothing'}"


def test_the_same_seed_gives_the_same_history() -> None:
    assert Simulation(7).run() == Simulation(7).run()
