from itertools import pairwise

from backplane.presence import Change, Changes
from gateway.socket.attendance import ACTIVE_SECONDS, Attendance
from schemas.ids import UserId

ANN, BOB = UserId("ann"), UserId("bob")
NOW_MS = 1_795_000_000_000


def taken(attendance: Attendance, now: float = 0.0) -> dict[str, list[tuple[str, str, str]]]:
    return {one.user: [tuple(change) for change in one.changes] for one in attendance.take(now, NOW_MS)}


def test_what_happened_is_written_user_by_user_in_order_and_once():
    attendance = Attendance()
    attendance.arrive("a", ANN, "copy", 0.0)
    attendance.arrive("b", BOB, None, 0.0)
    attendance.choose("a", "busy")
    attendance.choose("a", "away")
    assert taken(attendance) == {
        ANN: [("up", "a", "copy"), ("set", "a", "away")],
        BOB: [("up", "b", "-")],
    }
    assert taken(attendance) == {}


def test_what_waits_is_bounded_however_often_a_client_changes_its_mind():
    attendance = Attendance()
    attendance.arrive("a", ANN, None, 0.0)
    for _ in range(1000):
        attendance.choose("a", "busy")
        attendance.choose("a", "away")
    attendance.depart("a", 0.0)
    assert taken(attendance) == {ANN: [("up", "a", "-"), ("set", "a", "away"), ("down", "a", "-")]}


def test_every_connection_is_said_to_live_with_what_it_says():
    attendance = Attendance()
    attendance.arrive("a", ANN, "copy", 0.0)
    attendance.arrive("b", ANN, None, 0.0)
    attendance.choose("b", "invisible")
    active = {"a": 0.0, "b": 0.0}
    assert attendance.renewals(active, 1.0, NOW_MS) == [
        Changes(ANN, (Change("keep", "a", "online copy"), Change("keep", "b", "invisible -")), None)
    ]
    attendance.depart("a", 0.0)
    attendance.depart("b", 0.0)
    assert attendance.renewals({}, 1.0, NOW_MS) == []


def test_a_connection_that_goes_on_with_what_another_one_said_is_renewed_with_that():
    attendance = Attendance()
    attendance.arrive("a", ANN, None, 0.0)
    (changes,) = attendance.take(0.0, NOW_MS)
    attendance.written(changes, ["invisible"])
    ((kept,),) = [one.changes for one in attendance.renewals({"a": 0.0}, 1.0, NOW_MS)]
    assert kept.text == "invisible -"


def test_a_choice_that_waits_is_not_undone_by_the_answer_to_what_was_before():
    attendance = Attendance()
    attendance.arrive("a", ANN, None, 0.0)
    (changes,) = attendance.take(0.0, NOW_MS)
    attendance.choose("a", "busy")
    attendance.written(changes, ["online"])
    ((kept,),) = [one.changes for one in attendance.renewals({"a": 0.0}, 1.0, NOW_MS)]
    assert kept.text == "busy -"


def test_activity_is_written_on_coming_and_going_and_at_most_once_a_minute_between():
    attendance = Attendance()
    attendance.arrive("a", ANN, None, 10.0)
    assert [one.active_ms for one in attendance.take(11.0, NOW_MS)] == [NOW_MS - 1000]
    written = []
    for second in range(20, 320, 10):  # a sweep every ten seconds, of somebody who talks all the time
        (one,) = attendance.renewals({"a": second - 1.0}, float(second), NOW_MS)
        written += [second] if one.active_ms is not None else []
    assert len(written) == 5
    assert all(later - earlier >= ACTIVE_SECONDS for earlier, later in pairwise(written))
    attendance.depart("a", 318.0)
    assert [one.active_ms for one in attendance.take(320.0, NOW_MS)] == [NOW_MS - 2000]


def test_who_said_nothing_new_is_not_active():
    attendance = Attendance()
    attendance.arrive("a", ANN, None, 0.0)
    attendance.take(0.0, NOW_MS)
    assert [one.active_ms for one in attendance.renewals({"a": 0.0}, 1000.0, NOW_MS)] == [None]
    attendance.depart("a", 0.0)
    assert [one.active_ms for one in attendance.take(1000.0, NOW_MS)] == [None]


def test_what_could_not_be_written_waits_again_before_what_has_come_since():
    attendance = Attendance()
    attendance.arrive("a", ANN, None, 0.0)
    attendance.choose("a", "busy")
    (first,) = attendance.take(0.0, NOW_MS)
    attendance.choose("a", "invisible")
    attendance.unwritten(first)
    for renewal in attendance.renewals({"a": 0.0}, 1.0, NOW_MS):
        attendance.unwritten(renewal)
    attendance.unwritten(Changes(BOB))
    assert taken(attendance) == {ANN: [("up", "a", "-"), ("set", "a", "invisible")]}
