import pytest

from schemas.errors import CLOSES, ERRORS, error


def test_close_codes_say_whether_to_reconnect_by_their_range():
    assert all(4000 <= row.code <= 4999 and row.reconnect == (row.code < 4500) for row in CLOSES.values())
    assert len({row.code for row in CLOSES.values()}) == len(CLOSES)


def test_temporary_errors_are_those_of_a_server_that_may_recover_or_a_client_that_must_wait():
    assert {row.code for row in ERRORS.values() if row.temporary} == {
        "rate_limited",
        "overloaded",
        "unavailable",
        "outcome_unknown",
        "attachment_not_ready",
        "scanner_unavailable",
    }


def test_every_sentence_ends_and_no_code_is_made_up():
    assert all(row.message.endswith(".") and 400 <= row.status < 600 for row in ERRORS.values())
    with pytest.raises(KeyError):
        error("made_up")


def test_an_exact_sentence_replaces_the_general_one():
    assert error("overloaded", retry_after_ms=5).retry_after_ms == 5
    assert error("bad_request", "limit: at most 500").message == "limit: at most 500"
