"""The numbers and members of the conversations that a tenure has touched. Built once from MongoDB, then kept in memory.

The owner of a partition is the only one who numbers its conversations, so what it holds stays true for as long as its token is
the newest; after any failure the conversations concerned are forgotten and read again.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from backplane.store.blocks import StoredBlock
from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.messages import StoredMessage
from consumers.cache import Cache
from schemas.ids import ConversationId, MessageId, UserId

_MEMBERS_KEPT = 200_000


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation as its owner knows it: the next message is `seq + 1`, the next change `rev + 1`."""

    conversation: StoredConversation
    members: Mapping[UserId, StoredMember]
    blockers: Mapping[UserId, StoredBlock] = {}
    """In a direct conversation: who blocks the other, or did."""
    seq: int
    rev: int
    last_message_id: MessageId | None
    raised_rev: int
    """What `conversations.rev` is at least: lower than `rev` after a crash, until the next batch raises it."""
    holes: tuple[int, ...] = ()
    """Numbers without a message, to be filled with voids before anything is numbered (holes A8, A9)."""
    voids: tuple[StoredMessage, ...] = ()
    """Voids above the conversation's own counter: their event may not have been emitted yet."""


def first_touch(
    conversation: StoredConversation,
    members: Sequence[StoredMember],
    unraised: Sequence[StoredMessage],
    blocks: Sequence[StoredBlock] = (),
) -> State:
    """What a new owner knows: the highest numbers stored anywhere (hole B6).

    `unraised` is every message with a `rev` above the conversation's, new or changed. Below `last_seq` there are no holes: batches
    are written in order, and `last_seq` is raised only after the messages up to it are stored.
    """
    tail = sorted(
        (message for message in unraised if message.seq > conversation.last_seq), key=lambda message: message.seq
    )
    present = {message.seq for message in tail}
    seq = max(present, default=conversation.last_seq)
    revs = [conversation.rev, *(message.rev for message in unraised), *(member.rev for member in members)]
    if tail and not conversation.oldest_ms:
        conversation = msgspec.structs.replace(conversation, oldest_ms=tail[0].created_ms)
    return State(
        conversation=conversation,
        members={member.user_id: member for member in members},
        blockers=blockers_in(blocks),
        seq=seq,
        rev=max(revs),
        last_message_id=tail[-1].message_id if tail else conversation.last_message_id,
        raised_rev=conversation.rev,
        holes=tuple(number for number in range(conversation.last_seq + 1, seq) if number not in present),
        voids=tuple(message for message in tail if message.void),
    )


def blockers_in(blocks: Sequence[StoredBlock]) -> Mapping[UserId, StoredBlock]:
    """The blocks of a direct conversation, by who made them; lifted ones too."""
    return {block.blocker_id: block for block in blocks}


class Ledger:
    """The states of one tenure, bounded by the number of members in them."""

    def __init__(self) -> None:
        self._states: Cache[ConversationId, State] = Cache(_MEMBERS_KEPT)

    def get(self, ids: Iterable[ConversationId]) -> dict[ConversationId, State]:
        """Those that are known."""
        found = {conversation_id: self._states.get(conversation_id) for conversation_id in ids}
        return {conversation_id: state for conversation_id, state in found.items() if state is not None}

    def put(self, states: Iterable[State]) -> None:
        """Keep what was decided and stored."""
        for state in states:
            self._states.put(state.conversation.conversation_id, state, weight=1 + len(state.members))

    def forget(self, ids: Iterable[ConversationId]) -> None:
        """Drop what may no longer be true; it is read again on the next touch."""
        for conversation_id in ids:
            self._states.drop(conversation_id)
