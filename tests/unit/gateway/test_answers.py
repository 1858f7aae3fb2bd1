import asyncio

import pytest

from gateway.answers import Answers
from schemas.entities import rfc3339
from schemas.errors import error
from schemas.events import EventHeader, Rejection, make_answer, make_event
from schemas.ids import ConversationId, IntentId

pytestmark = pytest.mark.anyio

CONVERSATION = ConversationId("33333333-3333-4333-8333-333333333333")


def an_answer(intent_id: str) -> bytes:
    header = EventHeader(event="message.rejected", event_id="e", conversation_id=CONVERSATION, rev=0, at_ms=0)
    return make_answer(intent_id, make_event(header, Rejection(CONVERSATION, error("not_member")), rfc3339(0)))


async def test_the_waiter_hears_its_own_answer_only() -> None:
    answers = Answers("channel")
    with answers.expect(IntentId("one")) as one, answers.expect(IntentId("two")) as two:
        answers.on_ring(an_answer("two"))
        answered = await two.wait(5)
        assert answered is not None
        assert (answered.intent_id, answered.event) == ("two", "message.rejected")
        assert await one.wait(0.01) is None


async def test_an_answer_that_comes_before_the_wait_is_kept() -> None:
    """C2: it may come before the append returns."""
    answers = Answers("channel")
    with answers.expect(IntentId("one")) as waiter:
        answers.on_ring(an_answer("one"))
        assert await waiter.wait(0) is not None


async def test_what_is_late_doubled_or_garbage_harms_nobody() -> None:
    answers = Answers("channel")
    with answers.expect(IntentId("one")) as waiter:
        answers.on_ring(b"not an answer")
        answers.on_ring(None)
        answers.on_ring(an_answer("one"))
        answers.on_ring(an_answer("one"))
        assert await waiter.wait(5) is not None
    answers.on_ring(an_answer("one"))
    with answers.expect(IntentId("one")) as again:
        assert await again.wait(0.01) is None


async def test_a_waiter_that_is_cancelled_is_forgotten() -> None:
    answers = Answers("channel")
    entered = asyncio.Event()

    async def call() -> None:
        with answers.expect(IntentId("one")) as waiter:
            entered.set()
            await waiter.wait(60)

    task = asyncio.create_task(call())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    with answers.expect(IntentId("one")) as waiter:
        answers.on_ring(an_answer("one"))
        assert await waiter.wait(5) is not None
