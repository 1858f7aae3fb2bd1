"""C11: levels are a maximum, whatever is merged, repeated, swapped or late."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backplane.store.marks import Key, Levels, marked_by
from consumers.watermarks import Asked, Known, judge, levels_of, merged
from schemas.ids import ConversationId, IntentId, StreamId, UserId
from schemas.marks import Mark, decode_mark, encode_mark

ANN, BEN, ROOM = UserId("ann"), UserId("ben"), ConversationId("room")

numbers = st.integers(0, 40)
levels = st.builds(Levels, numbers, numbers, numbers)
marks = st.builds(
    Mark,
    mark_id=st.just(IntentId("i")),
    conversation_id=st.sampled_from([ROOM, ConversationId("other")]),
    actor_id=st.sampled_from([ANN, BEN]),
    at_ms=st.just(1),
    delivered_seq=numbers,
    read_seq=numbers,
    thread_root_id=st.sampled_from([None, "root"]),
    private=st.booleans(),
)


def mark(**fields) -> Mark:
    return Mark(IntentId("i"), ROOM, ANN, 1, **fields)


NONE = Levels()


def known(stored: Levels = NONE, *, last_seq: int = 100, by: str = "", privately: str = "") -> Known:
    return Known(stored, by, privately, member_rev=1, last_seq=last_seq, rev=1)


def entries(given_marks: list[Mark]) -> list[tuple[StreamId, Mark]]:
    return [(StreamId(number, 0), one) for number, one in enumerate(given_marks, 1)]


def test_who_has_read_has_received() -> None:
    assert levels_of(mark(read_seq=7)) == Levels(7, 7, 0)
    assert levels_of(mark(read_seq=7, delivered_seq=9)) == Levels(9, 7, 0)


def test_a_private_reading_shows_nothing_to_anybody() -> None:
    assert levels_of(mark(read_seq=7, private=True)) == Levels(0, 0, 7)


def test_a_mark_beyond_the_newest_message_ends_there() -> None:
    """C11"""
    verdict = judge(Asked(Levels(500, 500, 500), StreamId(1, 0)), known(Levels(3, 2, 1), last_seq=9))
    assert verdict.levels == Levels(9, 9, 9)


def test_what_is_not_higher_moves_nothing_and_is_not_told() -> None:
    for asked in (Levels(3, 2, 1), Levels(2, 2, 0), Levels()):
        verdict = judge(Asked(asked, StreamId(2, 0)), known(Levels(3, 2, 1), by=marked_by(StreamId(1, 0))))
        assert verdict[1:] == (False, False, False, False)


def test_the_very_entry_that_moved_a_level_is_told_again() -> None:
    """C11: killed between the write and the settle."""
    verdict = judge(Asked(Levels(3, 2, 1), StreamId(1, 0)), known(Levels(3, 2, 1), by=marked_by(StreamId(1, 0))))
    assert verdict[1:] == (False, False, True, False)
    verdict = judge(Asked(Levels(3, 2, 1), StreamId(1, 0)), known(Levels(3, 2, 1), privately=marked_by(StreamId(1, 0))))
    assert verdict[1:] == (False, False, False, True)


def test_what_an_operator_sends_again_is_told_again_to_whom_it_was_told_and_moves_nothing() -> None:
    asked = merged(entries([mark(read_seq=2)]), {StreamId(1, 0)})[Key(ROOM, ANN)]
    assert judge(asked, known(Levels(3, 3, 0)))[1:] == (False, False, True, False)
    assert judge(asked, known(Levels(3, 3, 1)))[1:] == (False, False, True, True)
    assert judge(asked, known(Levels(3, 3, 2))._replace(blocked=True))[1:] == (False, False, False, True)


def test_of_who_is_blocked_only_the_private_level_is_raised() -> None:
    verdict = judge(Asked(Levels(9, 7, 2), StreamId(1, 0)), known(Levels(3, 2, 1))._replace(blocked=True))
    assert (verdict.levels, verdict.moved, verdict.moved_privately) == (Levels(3, 2, 7), False, True)


def test_what_moves_in_private_is_told_in_private() -> None:
    verdict = judge(Asked(Levels(2, 2, 9), StreamId(1, 0)), known(Levels(3, 2, 1)))
    assert verdict[1:] == (False, True, False, True)


@given(st.lists(marks, max_size=30), st.randoms(use_true_random=False))
def test_levels_do_not_depend_on_order_repeats_or_batches(given_marks: list[Mark], chance: random.Random) -> None:
    """C11"""
    whole = {key: asked.levels for key, asked in merged(entries(given_marks)).items()}
    shuffled = given_marks + chance.sample(given_marks, len(given_marks) // 2)
    chance.shuffle(shuffled)
    pieces: dict[Key, Levels] = {}
    while shuffled:
        size = chance.randint(1, len(shuffled))
        batch, shuffled = shuffled[:size], shuffled[size:]
        for key, asked in merged(entries(batch)).items():
            pieces[key] = judge(asked, known(pieces.get(key, Levels()))).levels
    assert pieces == whole


@given(levels, levels, numbers)
def test_a_verdict_never_falls_and_never_passes_the_end(stored: Levels, wanted: Levels, last_seq: int) -> None:
    """C11"""
    verdict = judge(Asked(wanted, StreamId(5, 0)), known(stored, last_seq=last_seq))
    for before, after in zip(stored, verdict.levels, strict=True):
        assert before <= after <= max(before, last_seq)
    assert (verdict.moved or verdict.moved_privately) is (verdict.levels != stored)
    again = judge(Asked(wanted, StreamId(6, 0)), known(verdict.levels, last_seq=last_seq))
    assert not again.moved
    assert not again.moved_privately


@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**9)), min_size=2, max_size=20))
def test_entries_sort_as_text_as_they_do_as_ids(ids: list[tuple[int, int]]) -> None:
    """B7"""
    entry_ids = [StreamId(*pair) for pair in ids]
    assert sorted(entry_ids) == sorted(entry_ids, key=marked_by)


@given(marks)
def test_a_mark_is_read_as_it_was_written(one: Mark) -> None:
    assert decode_mark(encode_mark(one)) == one


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b"\xff", b"[" * 5000, encode_mark(mark())[:-3]])
def test_what_is_no_mark_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a mark"):
        decode_mark(raw)
