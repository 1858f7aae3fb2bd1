"""REST calls that wait for what their intent made (hole C2).

A consumer SPUBLISHes the answer on this gateway's channel after `settle`, at most once. So the waiter registers before it
appends, and who hears nothing in time looks the key up in MongoDB: the answer is a convenience, never the truth.
"""

import asyncio
import contextlib
from collections.abc import Generator

from schemas.events import Answered, parse_answer
from schemas.ids import IntentId

WAIT_SECONDS = 5.0


class Waiter:
    """One call that waits for the answer of one intent."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()

    def hear(self, answer: Answered) -> None:
        """The answer came; a second one says nothing new."""
        if not self._answered.done():
            self._answered.set_result(answer)

    async def wait(self, seconds: float) -> Answered | None:
        """The answer, or None after `seconds`."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._answered), seconds)
        except TimeoutError:
            return None


class Answers:
    """The calls of this gateway that wait. `channel` goes into the intent's `answer` field."""

    def __init__(self, channel: str, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.channel, self.wait_seconds = channel, wait_seconds
        self._waiters: dict[IntentId, Waiter] = {}

    @contextlib.contextmanager
    def expect(self, intent_id: IntentId) -> Generator[Waiter]:
        """Listen for one intent's answer; enter before the append, because the answer may come before it returns."""
        waiter = self._waiters[intent_id] = Waiter()
        try:
            yield waiter
        finally:
            del self._waiters[intent_id]

    def on_ring(self, payload: bytes | None) -> None:
        """Hand an answer to its waiter. None, “something may have been missed”, is for the waiters' own clocks."""
        if payload is None:
            return
        with contextlib.suppress(ValueError):  # a newer consumer's answer: the waiter looks it up
            answer = parse_answer(payload)
            if waiter := self._waiters.get(IntentId(answer.intent_id)):
                waiter.hear(answer)
