from backplane.presence import Presence, Shown
from gateway.socket.acquaintance import Acquaintance, presence_state
from schemas.ids import UserId

ANN = UserId("ann")


def at(version: int, status: Shown = "online", active_ms: int | None = None) -> Presence:
    return Presence(version, status, active_ms)


def test_what_is_known_first_is_told_by_the_answer_and_what_follows_is_news():
    ann = Acquaintance(ANN)
    assert not ann.read(at(1), None)
    assert ann.heard(at(2, "busy"))
    assert ann.presence == at(2, "busy")


def test_a_message_that_overtook_the_read_counts():
    ann = Acquaintance(ANN)
    asked = ann.presence
    assert not ann.heard(at(2, "busy")), "nobody was told anything yet: the answer will say it"
    assert not ann.read(at(1), asked)
    assert ann.presence == at(2, "busy")


def test_what_the_sweep_finds_is_news_once():
    ann = Acquaintance(ANN)
    ann.read(at(1), None)
    assert ann.read(at(2, "offline"), ann.presence)
    assert not ann.heard(at(2, "offline")), "the message of it comes late"
    assert not ann.read(at(2, "offline"), ann.presence)


def test_a_newer_version_of_the_same_status_is_no_news():
    ann = Acquaintance(ANN)
    ann.read(at(1), None)
    assert not ann.heard(at(5))
    assert ann.presence == at(5)


def test_a_server_that_forgot_everything_is_believed_when_nothing_came_meanwhile():
    ann = Acquaintance(ANN)
    ann.read(at(1000), None)
    assert ann.read(at(0, "offline"), ann.presence)
    assert ann.presence == at(0, "offline")


def test_a_read_that_was_asked_before_a_message_came_is_not_believed_over_it():
    ann = Acquaintance(ANN)
    ann.read(at(1), None)
    asked = ann.presence
    ann.heard(at(2, "busy"))
    assert not ann.read(at(1), asked)
    assert ann.presence == at(2, "busy")


def test_clients_are_told_when_somebody_was_active_if_that_is_known():
    assert presence_state(ANN, at(1, active_ms=1_795_000_000_123)).last_active_at == "2026-11-18T11:06:40.123Z"
    assert presence_state(ANN, at(1)).last_active_at is None
