import pytest
from hypothesis import given
from hypothesis import strategies as st

from backplane.logs import parse_ring
from gateway.socket.replacement import Claim, announcement, instance_of, parse_announcement
from schemas.client_frames import ClientInfo


def named(device: str, instance: str) -> str | None:
    return instance_of(ClientInfo(device_id=device, instance_id=instance))


def test_a_running_copy_is_named_by_both_ids_in_one_word_and_only_by_both():
    assert named("d", "i") == named("d", "i")
    assert len({named("d", "i"), named("i", "d"), named("d", "j"), named("di", ""), named("d|", "i")}) == 5
    assert named("d", "") is None
    assert named("", "i") is None
    word = named("a b\n|", "\0 c")
    assert word is not None
    assert word.isalnum()


def test_an_announcement_is_read_as_it_was_written_and_is_no_entry():
    payload = announcement("copy", "c1")
    assert parse_announcement(payload) == ("copy", "c1")
    with pytest.raises(ValueError, match="here"):
        parse_ring(payload)
    for other in (b"epoch_changed", b"here", b"here x", b"100-1 body with words", b""):
        assert parse_announcement(other) is None


def test_a_connection_gives_way_only_to_what_is_announced_after_its_own():
    claim = Claim("copy", "mine")
    assert not claim.heard("copy", "earlier")
    assert not claim.heard("copy", "mine")
    assert not claim.heard("another copy", "later")
    assert claim.heard("copy", "later")


def test_one_that_could_not_announce_itself_gives_way_to_whoever_comes():
    claim = Claim("copy", "mine")
    claim.unsaid()
    assert claim.heard("copy", "later")


def test_a_connection_that_does_not_say_which_copy_it_is_never_gives_way():
    claim = Claim(None, "mine")
    assert not claim.heard("copy", "mine")
    assert not claim.heard("copy", "later")


@given(st.permutations(range(6)), st.data())
def test_of_any_number_that_come_at_once_the_last_announced_stays(order, data):
    """D1: each hears all that is announced from some moment before its own on."""
    closed = set()
    for number in order:
        claim, hears_from = Claim("copy", str(number)), data.draw(st.integers(0, order.index(number)))
        if any(claim.heard("copy", str(other)) for other in order[hears_from:]):
            closed.add(number)
    assert closed == set(order[:-1])
