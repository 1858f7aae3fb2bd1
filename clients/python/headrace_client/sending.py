"""What `Client.send` returns."""

import asyncio
from collections.abc import Awaitable

from headrace_client.entities import Message
from headrace_client.errors import HeadraceError


class Sending:
    """One message, or one change of a message, on its way. Await `accepted` (the server has it) or `stored` (it has its number, and can not be lost).

    Both raise `Rejected` if the server refuses it for good. Neither needs to be awaited; a time-out of yours ends nothing:
    the message stays in the outbox until it is stored or refused.
    """

    def __init__(self, client_msg_id: str, conversation_id: str) -> None:
        self.client_msg_id = client_msg_id
        self.conversation_id = conversation_id
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stored: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    @property
    def accepted(self) -> Awaitable[None]:
        """Resolves when the server has the message."""
        return asyncio.shield(self._accepted)

    @property
    def stored(self) -> Awaitable[Message]:
        """Resolves to the message, with its `seq`."""
        return asyncio.shield(self._stored)

    @property
    def state(self) -> str:
        """`sending`, `accepted`, `stored` or `rejected`."""
        if self._stored.done():
            return "rejected" if self._stored.exception() else "stored"
        return "accepted" if self._accepted.done() else "sending"

    def accept(self) -> None:
        """The server has it."""
        if not self._accepted.done():
            self._accepted.set_result(None)

    def settle(self, result: Message | HeadraceError) -> None:
        """It is stored, or will not be."""
        if isinstance(result, Message):
            self.accept()
            if not self._stored.done():
                self._stored.set_result(result)
            return
        for future in (self._accepted, self._stored):
            if not future.done():
                future.set_exception(result)
                future.exception()  # marks it as seen: not everybody awaits both
