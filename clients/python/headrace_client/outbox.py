"""What waits to be stored: which message to write next, when to write it again, and what an answer means. No I/O.

Each conversation is a queue whose first message alone is under way, until it is stored or refused: that keeps a sender's order
whatever gets lost. A message is resent unchanged, under the same `client_msg_id`, so a resend can never become a second message.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from headrace_client.backoff import Random, jittered
from headrace_client.entities import ErrorBody

ACCEPT_S = 10.0
"""Without a reply this long the frame is written again."""
STORE_S = 30.0
"""Accepted but not stored this long: written again; then after twice that, and so on (hole B13)."""
STORE_CAP_S = 960.0
RETRY_CAP_S = 30.0
UNANSWERED = 32
"""Requests under way at once: half of what a gateway takes before it stops reading."""


@dataclass(slots=True)
class Outgoing:
    """One message on its way. `body` is its frame without the connection's request number."""

    client_msg_id: str
    conversation_id: str
    body: bytes
    due: float = 0.0
    """When to write it (again), on the caller's clock."""
    request_id: int | None = None
    """Its number while a reply is awaited."""
    accepted: int = 0
    """How many times the server accepted it."""
    writes: int = 0
    """How many times it was written."""
    refused: int = 0
    """How many times the server asked to come later."""


class Outbox:
    """The messages of one user, a queue a conversation."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._queues: dict[str, deque[Outgoing]] = {}
        self._by_id: dict[str, Outgoing] = {}
        self._by_request: dict[int, Outgoing] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, client_msg_id: str) -> bool:
        return client_msg_id in self._by_id

    def __iter__(self) -> Iterator[Outgoing]:
        return iter(self._by_id.values())

    def add(self, outgoing: Outgoing) -> None:
        """Take a message in, behind those of its conversation.

        Raises:
            ValueError: its id is in the outbox already.
        """
        if outgoing.client_msg_id in self._by_id:
            raise ValueError(f"client_msg_id {outgoing.client_msg_id} is in the outbox already")
        self._by_id[outgoing.client_msg_id] = outgoing
        self._queues.setdefault(outgoing.conversation_id, deque()).append(outgoing)

    def take_due(self, now: float) -> Iterator[Outgoing]:
        """What to write now. The caller writes each under a new number and says so with `written`."""
        for queue in list(self._queues.values()):
            if len(self._by_request) >= UNANSWERED:
                return
            if queue[0].due <= now:
                yield queue[0]

    def written(self, outgoing: Outgoing, request_id: int, now: float) -> None:
        """It went out as request `request_id`; a reply is expected within `ACCEPT_S`."""
        self._forget_request(outgoing)
        outgoing.request_id, outgoing.due = request_id, now + jittered(ACCEPT_S, self._random)
        outgoing.writes += 1
        self._by_request[request_id] = outgoing

    def next_due(self) -> float:
        """When `take_due` has something again; infinite if nothing waits."""
        if len(self._by_request) >= UNANSWERED:
            return min(outgoing.due for outgoing in self._by_request.values())
        return min((queue[0].due for queue in self._queues.values()), default=float("inf"))

    def accept(self, request_id: int | None, now: float) -> Outgoing | None:
        """The server has it. Returns which; None if this request was none of ours, or is settled."""
        outgoing = self._answered(request_id)
        if outgoing is not None:
            outgoing.due = now + jittered(min(STORE_CAP_S, STORE_S * 2**outgoing.accepted), self._random)
            outgoing.accepted += 1
        return outgoing

    def refuse(self, request_id: int | None, error: ErrorBody, now: float) -> Outgoing | None:
        """The server did not take it. Temporary: it stays first and is written again after the wait that was asked for.

        Returns it if the refusal is for good; it is then out of the outbox.
        """
        outgoing = self._answered(request_id)
        if outgoing is None:
            return None
        if not error.temporary and error.code != "token_expired":
            return self.settle(outgoing.client_msg_id)
        own = min(RETRY_CAP_S, 2.0**outgoing.refused)
        outgoing.due = now + jittered(max(own, (error.retry_after_ms or 0) / 1000), self._random)
        outgoing.refused += 1
        return None

    def settle(self, client_msg_id: str | None) -> Outgoing | None:
        """It is stored, or refused for good: out. The next of its conversation may go. None if it is not here."""
        outgoing = self._by_id.pop(client_msg_id, None) if client_msg_id else None
        if outgoing is None:
            return None
        self._forget_request(outgoing)
        queue = self._queues[outgoing.conversation_id]
        queue.remove(outgoing)
        if not queue:
            del self._queues[outgoing.conversation_id]
        return outgoing

    def disconnected(self) -> None:
        """Replies under way are lost: those messages go first on the next connection."""
        for outgoing in self._by_request.values():
            outgoing.request_id, outgoing.due = None, 0.0
        self._by_request.clear()

    def _answered(self, request_id: int | None) -> Outgoing | None:
        outgoing = self._by_request.pop(request_id, None) if request_id is not None else None
        if outgoing is not None:
            outgoing.request_id = None
        return outgoing

    def _forget_request(self, outgoing: Outgoing) -> None:
        if outgoing.request_id is not None:
            self._by_request.pop(outgoing.request_id, None)
            outgoing.request_id = None
