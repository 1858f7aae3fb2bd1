"""A device's changes: asked for under one `client_op_id` until it is known what came of them, on the socket or over REST."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec

from tests.histories import frames, records
from tests.histories.fetching import Fetching
from tests.histories.recorder import Recorder

ACCEPT_SECONDS = 4.0
TOLD_SECONDS = 8.0
RETRY_SECONDS = 0.3

Write = Callable[[dict[str, object]], Awaitable[int | None]]
"""Puts a frame on the socket; returns its number, or None if there is no socket."""


@dataclass
class Change:
    """A change that is not known to be made or refused."""

    conversation_id: str
    kind: str
    target: str
    value: str
    request: tuple[str, str, object] | None
    """Method, path and body, if it goes over REST."""
    attempts: int = 0
    accepted: bool = False
    due: float = 0.0


class Changes:
    """The changes of one device that nothing was heard of yet."""

    def __init__(self, recorder: Recorder, fetching: Fetching, *, user: str, device: str, write: Write) -> None:
        self._recorder, self._fetching, self._write = recorder, fetching, write
        self.user, self.device = user, device
        self.waiting: dict[str, Change] = {}
        self._requests: dict[int, str] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def want(
        self,
        conversation_id: str,
        kind: str,
        target: str,
        value: str = "",
        *,
        over: tuple[str, str, object] | None = None,
    ) -> None:
        """Ask for a change; `over`: by this REST request, else by the frame that is called as it."""
        self.waiting[str(uuid.uuid4())] = Change(conversation_id, kind, target, value, over)

    async def post(self) -> None:
        """Ask for what is due, once more if need be; called every now and then."""
        for op, change in list(self.waiting.items()):
            if change.due > self._recorder.t or op in self._asking:
                continue
            if change.request is not None:
                task = self._asking[op] = asyncio.create_task(self._ask(op, change, *change.request))
                task.add_done_callback(lambda _, op=op: self._asking.pop(op))
            elif (number := await self._write(self._frame(op, change))) is not None:
                self._requests[number] = op

    async def stop(self) -> None:
        """Give up what is under way."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    # Over the socket

    def connected(self) -> None:
        """Requests of the last socket are not answered any more."""
        self._requests.clear()
        for change in self.waiting.values():
            if not change.accepted:
                change.due = 0.0

    def answered(self, number: int, reply: frames.Reply) -> bool:
        """A reply came; whether it is to a change."""
        op = self._requests.pop(number, None)
        if op is None:
            return False
        if change := self.waiting.get(op):
            if reply.ok:
                self._accepted(op, change)
            else:
                error = reply.error or frames.Error("none")
                self._refused(op, change, error.code, temporary=error.temporary)
        return True

    def heard(self, event: records.Event) -> None:
        """An event came: perhaps it says what became of a change."""
        own = event.actor == self.user or event.event == "operation.rejected"
        if own and event.client_op_id:
            self.waiting.pop(event.client_op_id, None)

    def _frame(self, op: str, change: Change) -> dict[str, object]:
        self._tried(op, change)
        fields: dict[str, object] = {"emoji": change.value} if change.kind.startswith("reaction") else {}
        fields |= {"content": {"text": change.value}} if change.kind == "message.edit" else {}
        return {
            "type": change.kind, "conversation_id": change.conversation_id, "message_id": change.target,
            "client_op_id": op, **fields,
        }  # fmt: skip

    # Over REST

    async def _ask(self, op: str, change: Change, method: str, path: str, body: object) -> None:
        self._tried(op, change)
        with contextlib.suppress(httpx2.HTTPError):  # unknown: the same again
            answer = await self._fetching.ask(method, path, body, key=op)
            if answer.status_code == 202:
                self._accepted(op, change)
            elif answer.status_code < 300:
                self._accepted(op, change)
                self.waiting.pop(op, None)
            else:
                temporary = answer.status_code >= 500 or answer.status_code == 429
                self._refused(op, change, _code(answer), temporary=temporary)
            return
        change.due = self._recorder.t + RETRY_SECONDS

    # Both

    def _tried(self, op: str, change: Change) -> None:
        change.attempts += 1
        change.due = self._recorder.t + ACCEPT_SECONDS
        self._recorder.add(
            records.Changed(
                t=self._recorder.t, kind=change.kind, target=change.target, value=change.value, attempt=change.attempts,
                **self._common(op, change),
            )
        )  # fmt: skip

    def _accepted(self, op: str, change: Change) -> None:
        self._recorder.add(records.ChangeAccepted(t=self._recorder.t, **self._common(op, change)))
        change.accepted = True
        change.due = self._recorder.t + TOLD_SECONDS

    def _refused(self, op: str, change: Change, code: str, *, temporary: bool) -> None:
        self._recorder.add(
            records.ChangeRefused(t=self._recorder.t, code=code, temporary=temporary, **self._common(op, change))
        )
        change.due = self._recorder.t + RETRY_SECONDS
        if not temporary:
            self.waiting.pop(op, None)

    def _common(self, op: str, change: Change) -> dict[str, Any]:
        return {"device": self.device, "user": self.user, "conversation_id": change.conversation_id, "client_op_id": op}


def _code(answer: httpx2.Response) -> str:
    try:
        return msgspec.json.decode(answer.content, type=frames.Problem).code
    except msgspec.DecodeError:
        return str(answer.status_code)
