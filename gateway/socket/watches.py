"""Watching conversations, and typing in them. What is said goes over the conversation's channel and nowhere else.

A payload is `<connection id> <frame>`: the frame is made once, by the gateway of whoever types, and everybody sends the same bytes.
"""

from collections.abc import Iterable

import msgspec

from backplane import telemetry
from backplane.errors import Transient
from backplane.grants import Pair
from backplane.publisher import Publisher
from gateway.intake import Refused
from gateway.socket.interest import Interest, OnChannel
from gateway.socket.listener import Grants, Listener
from gateway.socket.wants import MAX_WATCHED
from schemas.client_frames import Typing
from schemas.errors import error
from schemas.ids import ConversationId
from schemas.names import Names
from schemas.server_frames import Ephemeral, TypingState, encode_frame

EXPIRES_MS = 6000
"""How long a `start` holds: two throttled ones fit in, so that one may get lost."""
LEFT = b'"event":"member.left"'
"""What an event body begins with that may end a membership; the hot path asks for nothing more."""


class _Member(msgspec.Struct):
    user_id: str


class _About(msgspec.Struct):
    conversation_id: str
    members: list[_Member]


class _Left(msgspec.Struct):
    data: _About


_decoder = msgspec.json.Decoder(_Left)


class Watches:
    """Who here has which conversation on screen."""

    def __init__(
        self, names: Names, grants: Grants, publisher: Publisher, *, subscribe: OnChannel, unsubscribe: OnChannel
    ) -> None:
        self._names, self._grants, self._publisher = names, grants, publisher
        self._interest: Interest[Listener] = Interest(subscribe, unsubscribe)
        self._listeners: set[Listener] = set()

    def __len__(self) -> int:
        """How many conversations are watched here."""
        return len(self._interest)

    # What clients ask

    async def watch(self, listener: Listener, conversation_id: ConversationId) -> None:
        """Tell this connection who types there, from now on.

        Raises:
            Refused: too many, or not a member.
            Transient: Redis or the store is away.
        """
        if not listener.wants.watch(conversation_id):
            raise Refused(error("bad_request", f"a connection watches at most {MAX_WATCHED} conversations"))
        self._listeners.add(listener)
        try:
            may = await self._grants.may(Pair(listener.user, conversation_id))
            if may:
                await self._interest.join(self._names.watch(conversation_id), listener)
        except BaseException:
            self.unwatch(listener, conversation_id)
            raise
        # Whoever was removed, or left, while Redis was asked has nothing noted any more.
        if not may or conversation_id not in listener.wants.watched:
            self.unwatch(listener, conversation_id)
            raise Refused(error("not_member"))

    def unwatch(self, listener: Listener, conversation_id: ConversationId) -> None:
        """Tell this connection no more."""
        listener.wants.watched.discard(conversation_id)
        self._interest.leave(self._names.watch(conversation_id), listener)
        if not listener.wants.watched:
            self._listeners.discard(listener)

    async def type(self, listener: Listener, typing: Typing) -> None:
        """Tell those who watch that this user types; at most once, and not at all while something is away.

        Raises:
            Refused: not a member.
        """
        conversation_id = ConversationId(typing.conversation_id)
        try:
            if not await self._grants.may(Pair(listener.user, conversation_id)):
                raise Refused(error("not_member"))
        except Transient:
            telemetry.ephemera.labels("typing", "dropped").inc()
            return
        expires_ms = EXPIRES_MS if typing.state == "start" else 0
        state = TypingState(conversation_id, listener.user, typing.state, expires_ms, typing.thread_root_id)
        payload = b"%s %s" % (listener.connection_id.encode(), encode_frame(Ephemeral("typing", state)))
        if not self._publisher.put(self._names.watch(conversation_id), payload):
            telemetry.ephemera.labels("typing", "dropped").inc()

    # What Redis says

    def ring(self, channel: str, payload: bytes) -> None:
        """Somebody types: tell everybody who watches, but not the connection that said so itself."""
        said, _, frame = payload.partition(b" ")
        origin = said.decode()
        for listener in self._interest.members(channel):
            if listener.connection_id != origin:
                listener.offer("typing", frame)

    def rang(self, listeners: Iterable[Listener], body: bytes) -> None:
        """A `member.left` came to these connections of one user: if it is about them, they watch no more (hole C19)."""
        try:
            about = _decoder.decode(b"{" + body).data
        except msgspec.DecodeError:
            return
        gone = {member.user_id for member in about.members}
        for listener in listeners:
            if listener.user in gone:
                self.unwatch(listener, ConversationId(about.conversation_id))

    async def sweep(self) -> None:
        """Ask for all that is watched whether it still may be: the doorbell of a removal may have got lost.

        Raises:
            Transient: it can not be told now.
        """
        pairs = {Pair(listener.user, one) for listener in self._listeners for one in listener.wants.watched}
        refused = await self._grants.refused(sorted(pairs))
        for listener in tuple(self._listeners):
            for pair in refused:
                if pair.user == listener.user:
                    self.unwatch(listener, pair.conversation_id)

    def depart(self, listener: Listener) -> None:
        """A connection ended."""
        for conversation_id in tuple(listener.wants.watched):
            self.unwatch(listener, conversation_id)

    async def close(self) -> None:
        """Stop; the subscriptions end with their connection."""
        await self._interest.close()
