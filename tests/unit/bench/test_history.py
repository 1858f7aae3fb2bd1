"""The judgement on a mixed run, with histories that are wrong on purpose."""

from dataclasses import replace

import pytest

from bench.history import History, Promised, judge

PROMISED = Promised(
    members={"c": ("a", "b")}, counts={"c": 2}, changes={7: "c", 8: "c"}, reads={("c", "a"): 2}, refused=0
)


def whole() -> History:
    """Two messages, a change of each, and a receipt, as both members saw them."""
    history = History()
    for member in ("a", "b"):
        history.arrivals["c", member] = [1, 2]
        history.changes[member] = [(7, 3), (8, 4)]
        history.revs[member, "m1"] = [1, 3]
        history.revs[member, "m2"] = [2, 4]
        history.receipts[member, "c", "a"] = [(1, 1), (2, 2)]
    return history


def test_whole_history_is_clean() -> None:
    found = judge(whole(), PROMISED)
    assert found.clean
    assert found.doubled == 0


def test_change_that_one_member_never_saw_is_unseen() -> None:
    history = whole()
    history.changes["b"] = [(7, 3)]
    assert (judge(history, PROMISED).unseen_changes, judge(history, PROMISED).clean) == (1, False)


def test_change_that_nobody_saw_is_unseen_by_everybody() -> None:
    history = whole()
    history.changes.clear()
    assert judge(history, PROMISED).unseen_changes == 4


def test_change_that_was_not_accepted_is_owed_to_nobody() -> None:
    history = whole()
    history.changes.clear()
    assert judge(history, replace(PROMISED, changes={})).clean


def test_change_with_two_revs_differs() -> None:
    history = whole()
    history.changes["b"] = [(7, 3), (8, 5)]
    assert (judge(history, PROMISED).differing_changes, judge(history, PROMISED).clean) == (1, False)


def test_repeated_change_is_not_clean() -> None:
    history = whole()
    history.changes["b"] = [(7, 3), (8, 4), (7, 3)]
    history.revs["b", "m1"] = [1, 3, 1, 3]
    found = judge(history, PROMISED)
    assert (found.doubled, found.clean) == (1, False)


def test_new_rev_below_a_newer_one_goes_back() -> None:
    history = whole()
    history.revs["b", "m1"] = [1, 4, 3]
    assert (judge(history, PROMISED).revs_back, judge(history, PROMISED).clean) == (1, False)


@pytest.mark.parametrize("levels", [[(2, 2), (2, 1), (2, 2)], [(2, 1), (1, 1), (2, 2)]])
def test_receipt_that_falls_goes_back(levels: list[tuple[int, int]]) -> None:
    history = whole()
    history.receipts["b", "c", "a"] = levels
    assert (judge(history, PROMISED).receipts_back, judge(history, PROMISED).clean) == (1, False)


@pytest.mark.parametrize("levels", [[], [(2, 1)]])
def test_receipt_that_never_came_is_behind(levels: list[tuple[int, int]]) -> None:
    history = whole()
    history.receipts["b", "c", "a"] = levels
    assert (judge(history, PROMISED).receipts_behind, judge(history, PROMISED).clean) == (1, False)


def test_message_that_one_member_never_saw_is_missing() -> None:
    history = whole()
    history.arrivals["c", "b"] = [2]
    assert (judge(history, PROMISED).missing, judge(history, PROMISED).clean) == (1, False)


@pytest.mark.parametrize("wrong", [{"refused": 1}, {"unanswered": 1}, {"skipped": 1}])
def test_operations_without_a_yes_are_not_clean(wrong: dict[str, int]) -> None:
    assert not judge(whole(), replace(PROMISED, **wrong)).clean
