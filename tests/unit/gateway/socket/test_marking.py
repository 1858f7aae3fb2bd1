from gateway.socket.marking import Marking
from schemas.client_frames import Receipt

ROOM, OTHER = "0190c0de-0000-7000-8000-000000000001", "0190c0de-0000-7000-8000-000000000002"


def test_the_highest_of_each_conversation_thread_and_privacy_is_kept() -> None:
    marking = Marking()
    for number in (3, 9, 5):
        assert marking.add(Receipt(ROOM, read_seq=number))
    marking.add(Receipt(ROOM, delivered_seq=12, id=7))
    marking.add(Receipt(ROOM, read_seq=20, private=True))
    marking.add(Receipt(ROOM, read_seq=4, thread_root_id=OTHER))
    marking.add(Receipt(OTHER, read_seq=1))
    assert marking.take() == [
        Receipt(ROOM, id=7, delivered_seq=12, read_seq=9),
        Receipt(ROOM, read_seq=20, private=True),
        Receipt(ROOM, read_seq=4, thread_root_id=OTHER),
        Receipt(OTHER, read_seq=1),
    ]
    assert marking.take() == []


def test_only_so_many_wait_but_those_that_do_may_rise() -> None:
    marking = Marking(limit=1)
    assert marking.add(Receipt(ROOM, read_seq=1))
    assert not marking.add(Receipt(OTHER, read_seq=1))
    assert marking.add(Receipt(ROOM, read_seq=2))
    marking.take()
    assert marking.add(Receipt(OTHER, read_seq=1))
