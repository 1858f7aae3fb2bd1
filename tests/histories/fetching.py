"""What a device asks over REST: the state, who is in a conversation, and what has changed in it since."""

import random
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import httpx2
import msgspec

from tests.histories import frames

REQUEST_SECONDS = 10.0
PAGE = 200
T = TypeVar("T")


class Unreadable(Exception):
    """The state can not be read now; with a final status, never."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Fetching:
    """One person's view of the server, from any of its gateways."""

    def __init__(self, http: httpx2.AsyncClient, addresses: Sequence[str], token: str) -> None:
        self._http, self._addresses, self._token = http, addresses, token

    async def ask(self, method: str, path: str, body: object = None, *, key: str | None = None) -> httpx2.Response:
        """One request to one of the gateways."""
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Idempotency-Key": key} if key else {})
        url = f"http://{random.choice(self._addresses)}{path}"
        return await self._http.request(method, url, json=body, headers=headers, timeout=REQUEST_SECONDS)

    async def states(self) -> AsyncIterator[frames.State]:
        """The state, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._get(f"/api/sync{'?cursor=' + cursor if cursor else ''}", frames.State)
            yield page
            cursor = page.next_cursor

    async def room(self, conversation_id: str) -> frames.Room:
        """Who is in a conversation."""
        return await self._get(f"/api/conversations/{conversation_id}", frames.Room)

    async def changed_since(self, conversation_id: str, rev: int) -> list[frames.Message]:
        """Every message that is new or has changed since that number, as it is now, in the order of the conversation."""
        messages: list[frames.Message] = []
        while True:
            path = f"/api/conversations/{conversation_id}/messages?since_rev={rev}&limit={PAGE}"
            page = await self._get(path, frames.Page)
            messages += page.items
            if page.next_cursor is None:
                # Changed while it was read, it comes twice.
                newest = {message.message_id: message for message in messages}
                return sorted(newest.values(), key=lambda message: message.seq)
            rev = page.items[-1].rev

    async def _get(self, path: str, kind: type[T]) -> T:
        answer = await self.ask("GET", path)
        if answer.status_code != 200:
            raise Unreadable(answer.status_code, answer.text)
        return msgspec.json.decode(answer.content, type=kind)
