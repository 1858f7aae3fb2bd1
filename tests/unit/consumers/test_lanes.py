"""What waits, what goes on, and in which order."""

from hypothesis import given
from hypothesis import strategies as st

from backplane.streams import Entry
from consumers.lanes import Job, Lanes
from schemas.ids import StreamId


def job(number: int, lane: str, *, careful: bool = False, fault: str = "") -> Job[int]:
    return Job(Entry(StreamId(number, 0), {b"i": b"x"}), number, lane, careful=careful, fault=fault)


def numbers(jobs: list[Job[int]]) -> list[int]:
    return [found.entry.id.ms for found in jobs]


def test_later_entries_of_a_failed_one_s_lane_wait_and_others_go_on() -> None:
    """C16"""
    lanes: Lanes[int] = Lanes(100)
    lanes.add([job(1, "a"), job(2, "b"), job(3, "a"), job(4, "c")])
    first = lanes.take(1, 0.0)
    lanes.hold(first[0], until=5.0)
    batch = lanes.take(10, 1.0)
    assert numbers(batch) == [2, 4]
    lanes.done(batch)
    assert lanes.take(10, 4.9) == []
    retried = lanes.take(10, 5.0)
    assert numbers(retried) == [1]
    lanes.done(retried)
    assert numbers(lanes.take(10, 5.0)) == [3]


def test_what_waited_comes_before_what_was_taken_later() -> None:
    lanes: Lanes[int] = Lanes(100)
    lanes.add([job(1, "a"), job(2, "a")])
    lanes.hold(head := lanes.take(1, 0.0)[0], until=9.0)
    assert lanes.take(5, 0.0) == []
    lanes.add([job(3, "a"), job(4, "b")])
    lanes.done([head])
    assert numbers(lanes.take(5, 0.0)) == [2, 3, 4]


def test_a_careful_entry_is_taken_alone() -> None:
    """B1"""
    lanes: Lanes[int] = Lanes(100)
    lanes.add([job(1, "a"), job(2, "b", careful=True), job(3, "c"), job(4, "d", fault="bad")])
    assert [numbers(lanes.take(10, 0.0)) for _ in range(4)] == [[1], [2], [3], [4]]


def test_nothing_more_is_wanted_while_too_many_wait() -> None:
    lanes: Lanes[int] = Lanes(3)
    lanes.add([job(number, "a") for number in range(1, 6)])
    head = lanes.take(1, 0.0)[0]
    lanes.hold(head, until=9.0)
    lanes.take(10, 0.0)
    assert lanes.full
    assert not lanes.wants_more
    lanes.done([head])
    assert not lanes.full


def test_what_is_unsettled_bounds_the_cursor() -> None:
    """D6"""
    lanes: Lanes[int] = Lanes(10)
    lanes.add([job(1, "a"), job(2, "b"), job(3, "c")])
    one, *rest = lanes.take(10, 0.0)
    lanes.hold(one, until=9.0)
    assert lanes.oldest_besides(rest) == StreamId(1, 0)
    lanes.done(rest)
    assert lanes.oldest_besides([one]) is None


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.data())
def test_a_lane_s_order_survives_any_failures(lanes_of: list[str], data: st.DataObject) -> None:
    """C16"""
    lanes: Lanes[int] = Lanes(1000)
    lanes.add([job(number, lane) for number, lane in enumerate(lanes_of)])
    done: list[Job[int]] = []
    now = 0.0
    for _ in range(2000):
        if not len(lanes):
            break
        now += 1.0
        batch = lanes.take(data.draw(st.integers(1, 5)), now)
        if not batch:
            continue
        match data.draw(st.sampled_from(["done", "done", "put back", "hold"])):
            case "hold" if len(batch) == 1:
                lanes.hold(batch[0], until=now + data.draw(st.integers(1, 3)))
            case "put back":
                lanes.put_back(batch)
            case _:
                lanes.done(batch)
                done += batch
    assert not len(lanes)
    for lane in set(lanes_of):
        mine = [found.entry.id.ms for found in done if found.lane == lane]
        assert mine == sorted(mine)
