"""The judges of the fuzzers can condemn: a bug in a log, a reply too many, a reply too few."""

import pytest

from schemas.client_frames import MAX_FRAME_BYTES
from tests.system.fuzz.attacker import Ledger, ends_by_itself
from tests.system.fuzz.bugs import is_bug
from tests.system.fuzz.frames import Shot


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"event":"a request failed","level":"error","exception":"Traceback …"}', True),
        ('{"event":"moved to the dead stream","level":"error"}', True),
        ("Traceback (most recent call last):", True),
        ("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff", True),
        ('{"event":"gateway is up","level":"info"}', False),
        ('{"event":"a dependency is away","level":"warning","error":"timed out"}', False),
        ("Invalid HTTP request received.", False),
    ],
)
def test_what_tells_of_a_bug(line: str, expected: bool) -> None:
    assert is_bug(line) is expected


def note(*messages: bytes) -> Ledger:
    ledger = Ledger()
    for message in messages:
        ledger.note(Shot("message", b"", message))
    return ledger


def test_a_request_has_one_reply_with_its_own_number() -> None:
    ledger = note(b'{"type":"sync","after":"1-1","id":7}')
    assert not ledger.paid(8)
    assert ledger.unpaid == {7: 1}
    assert ledger.paid(7)
    assert not ledger.unpaid
    assert not ledger.paid(7)


def test_what_has_no_answer_waits_for_none_and_a_refusal_of_it_is_none_too_many() -> None:
    room = "6f1f5a0e-0d5a-4c1e-9d0c-68656164726b"
    ledger = note(b'{"type":"pong"}', b'{"type":"typing","conversation_id":"%s","state":"stop","id":3}' % room.encode())
    assert not ledger.unpaid
    assert ledger.paid(3)
    assert not ledger.paid(3)


def test_the_twentieth_bad_frame_and_a_second_connect_end_the_connection() -> None:
    assert not note(*[b"{"] * 19).ends
    assert note(*[b"{"] * 20).ends == {4504}
    assert note(b'{"type":"connect","token":"t"}').ends == {4504}


def test_what_ends_a_connection_before_it_is_read() -> None:
    assert ends_by_itself(b"x" * MAX_FRAME_BYTES) is None
    assert ends_by_itself(b"x" * (MAX_FRAME_BYTES + 1)) == 1009
    assert ends_by_itself(b'"\xed\xa0\x80"') == 1007
