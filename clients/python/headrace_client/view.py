"""What is going on, folded from the state and the events that follow it: state + events = a fresh fetch. No I/O.

Every entity carries a `rev`, so applying an event twice, or one that the state had already, changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from headrace_client.entities import Blocking, Conversation, Member, MemberChanged, Message, Receipt, State, Voided
from headrace_client.events import AnyEvent, Event, Resynced


@dataclass(slots=True)
class Room:
    """One conversation as it is now. `messages`: those that are known, by `seq`."""

    conversation: Conversation
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    messages: dict[int, Message] = field(default_factory=dict[int, Message])
    voids: set[int] = field(default_factory=set[int])
    last_seq: int = 0
    whole_from: int = 1
    """From this number on every message is known; older ones are there to be paged for."""
    marks_whole: bool = True
    """Whether everybody's marks are known: who is brought in hears of those that come, and has to ask for those that were."""

    @property
    def whole(self) -> bool:
        """Whether there is nothing that `View.load` could bring."""
        return self.marks_whole and self.whole_from <= self.first_seq

    @property
    def first_seq(self) -> int:
        """The oldest number that is ours to see, and not gone for its age."""
        return max(self.conversation.first_seq or 1, self.conversation.expired_seq + 1)


class View:
    """One person's conversations, kept up to date with `apply`.

    Args:
        user_id: whose.
    """

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.rooms: dict[str, Room] = {}
        self.blocked: set[str] = set()

    def apply(self, item: AnyEvent) -> None:
        """Take in what `Client.events` yields."""
        match item:
            case Resynced(state):
                self.replace(state)
            case Event():
                self._apply(item)
            case _:
                pass

    def replace(self, state: State) -> None:
        """Begin anew from a whole state."""
        self.blocked = set(state.blocked_user_ids)
        self.rooms = {}
        for conversation in state.conversations:
            room = self._open(conversation)
            if conversation.messages:
                room.whole_from = conversation.messages[0].seq
            self._take(room, conversation.messages)

    def load(self, conversation: Conversation, messages: Iterable[Message]) -> None:
        """Take in what was asked for over REST: who is brought into a conversation has neither its history nor everybody's marks."""
        room = self.rooms.get(conversation.conversation_id)
        if room is None:
            return
        for member in conversation.members:
            if known := room.members.get(member.user_id):
                room.members[member.user_id] = _with_marks(known, member.delivered_seq, member.read_seq)
        room.marks_whole = True
        found = list(messages)
        self._take(room, found)
        if found:
            room.whole_from = min(room.whole_from, found[0].seq)

    def _apply(self, event: Event) -> None:
        match event.data:
            case Message() as message if room := self.rooms.get(message.conversation_id):
                self._take(room, (message,))
            case Conversation() as conversation:
                self._hear(conversation)
            case MemberChanged() as change if room := self.rooms.get(change.conversation_id):
                self._change_members(room, event.name, change)
            case Voided(conversation_id, seq) if room := self.rooms.get(conversation_id):
                room.voids.add(seq)
                room.last_seq = max(room.last_seq, seq)
            case Receipt() as receipt if room := self.rooms.get(receipt.conversation_id):
                self._mark(room, receipt)
            case Blocking(user_id=user_id, blocked=blocked):
                (self.blocked.add if blocked else self.blocked.discard)(user_id)
            case _:
                pass

    def _open(self, conversation: Conversation) -> Room:
        room = self.rooms[conversation.conversation_id] = Room(
            replace(conversation, members=(), messages=()),
            {member.user_id: member for member in conversation.members},
            last_seq=conversation.last_seq,
            whole_from=conversation.last_seq + 1,
        )
        return room

    def _hear(self, conversation: Conversation) -> None:
        room = self.rooms.get(conversation.conversation_id)
        if room is None:
            if any(member.user_id == self.user_id for member in conversation.members):
                self._open(conversation).marks_whole = conversation.rev <= 1
            return
        known = room.conversation
        if conversation.rev >= known.rev:
            known = replace(
                known,
                title=conversation.title,
                history=conversation.history,
                retention_days=conversation.retention_days,
                rev=conversation.rev,
            )
        known = replace(known, expired_seq=max(known.expired_seq, conversation.expired_seq))
        for name in ("muted_until", "archived", "first_seq"):
            value = getattr(conversation, name)
            if value is not UNSET:
                known = replace(known, **{name: value})
        room.conversation = known
        room.messages = {seq: message for seq, message in room.messages.items() if seq >= room.first_seq}

    def _change_members(self, room: Room, name: str, change: MemberChanged) -> None:
        for member in change.members:
            known = room.members.get(member.user_id)
            if known is not None and known.rev >= member.rev and name != "member.left":
                continue
            if name != "member.left":
                marks = known or member
                room.members[member.user_id] = _with_marks(member, marks.delivered_seq, marks.read_seq)
            elif known is None or known.joined_rev < change.rev:
                # A state that was read while somebody left may list the conversation, and its members without them.
                room.members.pop(member.user_id, None)
                if member.user_id == self.user_id:
                    self.rooms.pop(change.conversation_id, None)

    def _mark(self, room: Room, receipt: Receipt) -> None:
        """Levels only rise, so order and repeats do not matter. Those of a thread are not part of the view."""
        member = room.members.get(receipt.user_id)
        if member is None or receipt.thread_root_id is not None:
            return
        room.members[receipt.user_id] = _with_marks(member, receipt.delivered_seq, receipt.read_seq)
        if receipt.user_id == self.user_id:
            room.conversation = replace(
                room.conversation,
                read_seq=max(room.conversation.read_seq, receipt.read_seq),
                private_read_seq=max(room.conversation.private_read_seq, receipt.private_read_seq),
            )

    def _take(self, room: Room, messages: Iterable[Message]) -> None:
        for message in messages:
            room.last_seq = max(room.last_seq, message.seq)
            known = room.messages.get(message.seq)
            if message.seq >= room.first_seq and (known is None or known.rev < message.rev):
                room.messages[message.seq] = replace(message, duplicate=False)


def _with_marks(member: Member, delivered_seq: int, read_seq: int) -> Member:
    """Marks only rise, whatever is heard first."""
    return replace(
        member, delivered_seq=max(member.delivered_seq, delivered_seq), read_seq=max(member.read_seq, read_seq)
    )
