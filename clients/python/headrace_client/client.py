"""The client: what a program asks of its connection. `shell.Shell` keeps it up, `core.Core` decides everything."""

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from headrace_client import wire
from headrace_client.core import Counts, Link
from headrace_client.entities import Message
from headrace_client.events import AnyEvent
from headrace_client.interest import Status
from headrace_client.marks import Key, Levels
from headrace_client.outbox import Outgoing
from headrace_client.sending import Sending
from headrace_client.shell import Shell
from headrace_client.store import Row

log = logging.getLogger("headrace_client")


@dataclass(frozen=True, slots=True)
class Stats:
    """A moment's figures: counts since the client was made, and what waits now."""

    link: Link
    user_id: str | None
    position: str | None
    outbox: int
    inbox: int
    repeats: int
    counts: Counts


class Client(Shell):
    """A user's connection to Headrace, kept up for as long as the `async with` block runs.

    `token`: an access token, or an async function that returns a good one (`rest.Api.token`); it is called before the first
    connection, when the server says that the token ends, and when it has ended. `store`: a file for the outbox and the
    position; without it both are lost with the process. `deliver=False` is for programs that only send.

    Raises (on entering):
        StoreInUse: another program has this store.
    """

    @property
    def link(self) -> Link:
        """Disconnected, connecting or connected."""
        return Link.DISCONNECTED if self._stopped.is_set() else self._core.link

    @property
    def user_id(self) -> str | None:
        """Who we are; None until the first connection."""
        return self._core.user_id

    async def wait_for(self, link: Link) -> None:
        """Wait until the connection is in this state.

        Raises:
            Stopped: it will never be.
        """
        while self.link is not link:
            self._raise_if_stopped()
            await self._next_change()

    async def links(self) -> AsyncIterator[Link]:
        """The connection's state now, and at every change that lasts long enough to be seen."""
        shown = self.link
        yield shown
        while not self._stopped.is_set():
            if self.link is shown:
                await self._next_change()
            else:
                shown = self.link
                yield shown

    def send(
        self,
        conversation_id: str,
        text: str = "",
        *,
        attachments: Sequence[str] = (),
        reply_to: str | None = None,
        thread_root_id: str | None = None,
        mentions: Sequence[str] = (),
        client_msg_id: str | None = None,
    ) -> Sending:
        """Put a message into the outbox; it is on disk when this returns, connected or not.

        `attachments`: ids of files that `Api.upload` has uploaded; with them there need not be a text.

        Raises:
            OutboxFull: too many wait already.
            ValueError: the text is longer than a frame can be, or this `client_msg_id` waits already.
            Stopped: the client has ended.
        """
        key = client_msg_id or str(uuid.uuid4())
        fields: dict[str, object] = {
            "client_msg_id": key,
            "content": {"text": text},
            "attachments": list(attachments) or None,
            "reply_to": reply_to,
            "thread_root_id": thread_root_id,
            "mentions": list(mentions) or None,
        }
        return self._put_out("message.send", conversation_id, key, fields)

    def edit(self, message: Message, text: str, *, only_if_unchanged: bool = False) -> Sending:
        """Give a message of ours another text; as durable as `send`, and in order with it. `stored` is the message as it is then.

        With `only_if_unchanged` it is refused (`conflict`) if anybody has changed the message since this copy of it. Raises as `send`.
        """
        expected = message.rev if only_if_unchanged else None
        return self._change("message.edit", message, {"content": {"text": text}, "expected_rev": expected})

    def delete(self, message: Message) -> Sending:
        """Delete a message. As `edit`."""
        return self._change("message.delete", message, {})

    def react(self, message: Message, emoji: str, *, remove: bool = False) -> Sending:
        """React to a message, or take the reaction back. As `edit`."""
        return self._change("reaction.remove" if remove else "reaction.add", message, {"emoji": emoji})

    def _change(self, kind: str, message: Message, fields: dict[str, object]) -> Sending:
        key = str(uuid.uuid4())
        fields = {"client_op_id": key, "message_id": message.message_id, **fields}
        return self._put_out(kind, message.conversation_id, key, fields)

    def _put_out(self, kind: str, conversation_id: str, client_msg_id: str, fields: dict[str, object]) -> Sending:
        self._raise_if_stopped()
        body = wire.encode({"type": kind, "conversation_id": conversation_id, **fields})
        if len(body) > wire.MAX_FRAME_BYTES - 32:
            raise ValueError(
                f"the message is {len(body)} bytes as a frame; at most {wire.MAX_FRAME_BYTES - 32} can be sent"
            )
        outgoing = Outgoing(client_msg_id, conversation_id, body)
        self._core.check_room(client_msg_id)
        self._store.add(Row(client_msg_id, self._core.user_id, conversation_id, body))
        sending = self._sendings[client_msg_id] = Sending(client_msg_id, conversation_id)
        self._apply(self._core.send(outgoing, self._loop.time()))
        return sending

    def mark(
        self,
        conversation_id: str,
        *,
        read_seq: int = 0,
        delivered_seq: int = 0,
        thread_root_id: str | None = None,
        private: bool = False,
    ) -> None:
        """Say how far we have received and read, connected or not; cheap to call for every message that comes on screen.

        Marks are merged, and sent again after a reconnect until the server confirms them; they live as long as this client.
        `private`: only our own devices learn of the reading.

        Raises:
            Stopped: the client has ended.
        """
        self._raise_if_stopped()
        levels = Levels(delivered_seq, 0, read_seq) if private else Levels(delivered_seq, read_seq)
        self._apply(self._core.mark(Key(conversation_id, thread_root_id), levels, self._loop.time()))

    # Ephemeral: said on this connection and on every later one, and lost with the client

    def watch(self, conversation_id: str) -> None:
        """Hear who types in a conversation, for as long as it is on screen; at most 20 at once.

        Raises:
            ValueError: 20 are watched already.
            Stopped: the client has ended.
        """
        self._raise_if_stopped()
        self._core.interest.watch(conversation_id)
        self._apply(self._core.interested(self._loop.time()))

    def unwatch(self, conversation_id: str) -> None:
        """Look away from a conversation."""
        self._core.interest.unwatch(conversation_id)
        self._apply(self._core.interested(self._loop.time()))

    def typing(self, conversation_id: str, *, thread_root_id: str | None = None, stop: bool = False) -> None:
        """Say that we type in a conversation that we watch, or have stopped. Call it for every key: it says so every 3 s at most."""
        self._raise_if_stopped()
        self._apply(self._core.type(conversation_id, thread_root_id, stop=stop, now=self._loop.time()))

    def subscribe_presence(self, user_ids: Iterable[str]) -> None:
        """Hear of these people's presence: how it is now, and every change; at most 500 people in all.

        Raises:
            ValueError: there would be more.
            Stopped: the client has ended.
        """
        self._raise_if_stopped()
        self._core.interest.subscribe(user_ids)
        self._apply(self._core.interested(self._loop.time()))

    def unsubscribe_presence(self, user_ids: Iterable[str]) -> None:
        """Hear of these people's presence no more."""
        self._core.interest.unsubscribe(user_ids)
        self._apply(self._core.interested(self._loop.time()))

    def set_presence(self, status: Status) -> None:
        """Show this device as `online`, `away`, `busy` or `invisible`."""
        self._raise_if_stopped()
        self._core.interest.status = status
        self._apply(self._core.interested(self._loop.time()))

    def pending(self) -> list[Sending]:
        """Messages that are not stored yet, those of an earlier run included once we are connected; oldest first."""
        return list(self._sendings.values())

    async def events(self) -> AsyncIterator[AnyEvent]:
        """What happens, in order. Asking for the next one says that the last one is handled: only then the position moves.

        One reader at a time. What was not handled when the loop was left comes again, in this run or the next.

        Raises:
            Stopped: the connection ended for good; everything before it was yielded.
        """
        while True:
            if self._current is None:
                self._current, todo = self._core.take(self._loop.time())
                self._apply(todo)
            if self._current is None:
                self._progress.commit(self._core.user_id)
                if self._stopped.is_set():
                    self._raise_if_stopped(closing=False)
                    return
                await self._next_change()
                continue
            if self._current.item is not None:
                yield self._current.item
            step, self._current = self._current, None
            self._progress.handled(step, self._core.user_id)

    async def handle(self, handler: Callable[[AnyEvent], Awaitable[None]]) -> None:
        """Call `handler` for every event until the client is closed. What it raises is logged, and the next event follows."""
        async for event in self.events():
            try:
                await handler(event)
            except Exception:
                log.exception("the handler failed on %r", event)

    def stats(self) -> Stats:
        """Figures of this moment."""
        core = self._core
        position = str(core.inbox.last) if core.inbox.last else None
        return Stats(
            core.link, core.user_id, position, core.outbox_size, len(core.inbox), core.inbox.repeats, core.counts
        )
