"""What a client wants to see is said once on each connection, and again on the next one."""

import pytest

from gateway.socket.throttle import Throttle
from headrace_client.entities import ErrorBody
from headrace_client.interest import IN_A_FRAME, MAX_PEOPLE, MAX_WATCHED, TYPED_IN, Frame, Interest
from schemas.ids import ConversationId

LATER = ErrorBody("rate_limited", "later", temporary=True, retry_after_ms=500)
NEVER = ErrorBody("not_member", "no", temporary=False)


def said(interest: Interest, now: float = 0.0) -> list[Frame]:
    frames = list(interest.take_due(now))
    for number, frame in enumerate(frames, start=1):
        interest.written(number, frame)
    return frames


def watch(room: str) -> Frame:
    return {"type": "watch", "conversation_id": room}


def test_what_is_wanted_is_said_once_and_again_after_a_reconnect() -> None:
    interest = Interest()
    interest.watch("a")
    interest.subscribe(["ann", "ben"])
    interest.status = "away"
    frames = said(interest)
    assert frames == [
        watch("a"),
        {"type": "presence.subscribe", "user_ids": ("ann", "ben")},
        {"type": "presence.set", "status": "away"},
    ]
    assert said(interest) == []
    interest.disconnected()
    assert said(interest) == frames


def test_only_the_difference_is_said() -> None:
    interest = Interest()
    interest.watch("a")
    interest.subscribe(["ann", "ben"])
    said(interest)
    interest.unwatch("a")
    interest.watch("b")
    interest.unsubscribe(["ann"])
    interest.subscribe(["ben", "cid"])
    assert said(interest) == [
        {"type": "unwatch", "conversation_id": "a"},
        watch("b"),
        {"type": "presence.unsubscribe", "user_ids": ("ann",)},
        {"type": "presence.subscribe", "user_ids": ("cid",)},
    ]


def test_many_people_go_in_several_frames_and_too_many_are_refused_whole() -> None:
    interest = Interest()
    interest.subscribe(str(number) for number in range(MAX_PEOPLE))
    assert [len(frame["user_ids"]) for frame in said(interest)] == [IN_A_FRAME, IN_A_FRAME, 100]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="500"):
        interest.subscribe(["0", "one more"])
    assert "one more" not in interest.people
    for number in range(MAX_WATCHED):
        interest.watch(str(number))
    interest.watch("0")
    with pytest.raises(ValueError, match="20"):
        interest.watch("one more")


def test_what_is_refused_for_now_is_said_again_and_what_is_refused_for_good_is_not() -> None:
    interest = Interest()
    interest.watch("a")
    interest.watch("b")
    said(interest, 10.0)
    interest.refused(1, NEVER, 10.0)
    interest.refused(2, LATER, 10.0)
    assert interest.next_due() == 10.5
    assert said(interest, 10.4) == []
    assert said(interest, 10.5) == [watch("b")]
    interest.disconnected()
    assert said(interest) == [watch("b")]


def test_looking_away_that_is_refused_for_now_is_said_again() -> None:
    interest = Interest()
    interest.watch("a")
    interest.subscribe(["ann"])
    said(interest)
    interest.unwatch("a")
    interest.unsubscribe(["ann"])
    frames = said(interest)
    for request in (1, 2):
        interest.refused(request, LATER, 0.0)
    assert said(interest, 1.0) == frames
    assert len(frames) == 2


def test_people_and_a_status_that_are_refused() -> None:
    interest = Interest()
    interest.subscribe(["ann"])
    interest.status = "busy"
    frames = said(interest)
    interest.refused(1, LATER, 0.0)
    interest.refused(2, LATER, 0.0)
    assert said(interest, 1.0) == frames
    interest.refused(1, NEVER, 1.0)
    interest.refused(2, NEVER, 1.0)
    assert (said(interest, 9.0), interest.status, interest.people) == ([], None, {})


def test_the_answer_to_a_subscription_is_known() -> None:
    interest = Interest()
    interest.watch("a")
    interest.subscribe(["ann"])
    said(interest)
    assert [interest.answered(request) for request in (1, 2, 2, None)] == [False, True, False, False]


def test_typing_is_said_every_three_seconds_and_its_end_once() -> None:
    interest = Interest()

    def states(*, stop: bool, now: float) -> object:
        frame = interest.type("a", None, stop=stop, now=now)
        return frame and frame["state"]

    assert states(stop=True, now=0.0) is None
    assert [states(stop=False, now=now) for now in (0.0, 1.0, 3.0, 3.2)] == ["start", None, None, "start"]
    assert [states(stop=True, now=now) for now in (3.3, 3.4)] == ["stop", None]
    interest.disconnected()
    assert states(stop=True, now=3.5) is None


def test_what_the_server_would_drop_is_not_taken_for_said() -> None:
    """It passes one start of a conversation in three seconds, whatever stopped meanwhile and in whichever thread."""
    interest, throttle = Interest(), Throttle()
    passed: list[float] = []
    for eighth in range(80):
        now = eighth / 8
        stop, thread = eighth % 7 == 6, "root" if eighth % 3 else None
        if interest.type("a", thread, stop=stop, now=now) is not None:
            assert throttle.allows(ConversationId("a"), "stop" if stop else "start", now + eighth % 2 / 16)
            passed += [] if stop else [now]
    assert passed == [0.0, 3.25, 6.5, 9.75]


def test_who_types_everywhere_is_not_remembered_for_ever() -> None:
    interest = Interest()
    for number in range(1000):
        interest.type(str(number), None, stop=False, now=number / 100)
    assert len(interest._typing) == TYPED_IN


def test_a_conversation_is_watched_again_by_whoever_was_put_out_and_has_come_back() -> None:
    interest = Interest()
    interest.watch("a")
    said(interest)
    interest.left("a")
    assert said(interest) == []
    interest.came("a")
    assert said(interest) == [watch("a")]
