from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.socket.throttle import CONVERSATIONS, START_SECONDS, Throttle
from schemas.ids import ConversationId

ROOM, OTHER = ConversationId("room"), ConversationId("other")


def test_one_start_passes_within_three_seconds_and_the_next_one_after_them():
    throttle = Throttle()
    passed = [now / 10 for now in range(100) if throttle.allows(ROOM, "start", now / 10)]
    assert passed == [0.0, 3.0, 6.0, 9.0]


def test_conversations_are_throttled_apart():
    throttle = Throttle()
    assert throttle.allows(ROOM, "start", 0.0)
    assert throttle.allows(OTHER, "start", 0.0)


def test_a_stop_passes_once_after_a_start_that_passed():
    throttle = Throttle()
    assert not throttle.allows(ROOM, "stop", 0.0)
    assert throttle.allows(ROOM, "start", 0.0)
    assert throttle.allows(ROOM, "stop", 0.1)
    assert not throttle.allows(ROOM, "stop", 0.2)
    assert not throttle.allows(ROOM, "start", 0.3), "a stop does not open the way for another start"


def test_typing_in_very_many_conversations_at_once_is_dropped_until_there_is_room():
    throttle = Throttle()
    rooms = [ConversationId(f"room {n}") for n in range(CONVERSATIONS + 1)]
    assert [throttle.allows(room, "start", 0.0) for room in rooms] == [True] * CONVERSATIONS + [False]
    assert throttle.allows(rooms[-1], "start", START_SECONDS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ROOM, OTHER, *(ConversationId(str(n)) for n in range(100))]),
            st.sampled_from(["start", "stop"]),
            st.floats(0, 2),
        ),
        max_size=200,
    )
)
def test_whatever_is_said_starts_keep_their_distance_and_stops_are_never_more(doings):
    throttle, now = Throttle(), 0.0
    starts: dict[ConversationId, list[float]] = {}
    stops: dict[ConversationId, int] = {}
    for room, state, wait in doings:
        now += wait
        if throttle.allows(room, state, now):
            if state == "start":
                starts.setdefault(room, []).append(now)
            else:
                stops[room] = stops.get(room, 0) + 1
        assert stops.get(room, 0) <= len(starts.get(room, []))
    for times in starts.values():
        assert all(later - earlier >= START_SECONDS for earlier, later in pairwise(times))
