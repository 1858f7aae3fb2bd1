"""What a page of conversations shows of messages: the newest ones, and unread mentions, of all of them in one query each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from backplane.store.documents import Database, find_in
from backplane.store.keys import WINDOW, mention_keys, mentions_of, newest_keys
from backplane.store.messages import Messages, StoredMessage
from schemas.ids import ConversationId, UserId
from schemas.names import MESSAGES

MENTION_CAP: Final = 100


class Unread(NamedTuple):
    """What somebody has not read of a conversation: above `read_seq`, up to `last_seq`."""

    conversation_id: ConversationId
    user_id: UserId
    read_seq: int
    last_seq: int


class Lookups:
    """Queries over many conversations at once. All raise `Transient`; one query for 25 conversations each, more in chunks."""

    def __init__(self, database: Database) -> None:
        self._collection = database[MESSAGES]
        self._messages = Messages(database)

    async def newest(
        self, last_seqs: Mapping[ConversationId, int], count: int
    ) -> dict[ConversationId, list[StoredMessage]]:
        """The newest `count` messages of each conversation up to its `last_seq`, ascending (hole C7)."""
        keys = [key for room, last_seq in last_seqs.items() for key in newest_keys(room, last_seq, count)]
        found: dict[ConversationId, list[StoredMessage]] = {room: [] for room in last_seqs}
        for message in await find_in(self._collection, "found_by", keys, StoredMessage):
            last_seq = last_seqs[message.conversation_id]
            if last_seq - count < message.seq <= last_seq:
                found[message.conversation_id].append(message)
        for room, last_seq in last_seqs.items():
            found[room].sort(key=lambda message: message.seq)
            # Numbers have no holes, so it shows if some are missing: they were stored before messages had these keys.
            if len(found[room]) < min(count, last_seq):
                found[room] = await self._messages.page(room, last_seq=last_seq, rev=0, limit=count)
        return found

    async def mentions(self, unread: Sequence[Unread]) -> dict[ConversationId, int]:
        """How many messages that somebody has not read mention them, or everybody: at most 100, among the newest 1 024."""
        wanted = {one.conversation_id: one for one in unread if one.last_seq > one.read_seq}
        keys = [
            key
            for one in wanted.values()
            for key in mention_keys(one.conversation_id, mentions_of(one.user_id), one.last_seq)
        ]
        found: dict[ConversationId, dict[str, StoredMessage]] = {room: {} for room in wanted}
        for message in await find_in(self._collection, "found_by", keys, StoredMessage) if keys else []:
            found[message.conversation_id][message.message_id] = message
        return {room: count_mentions(wanted[room], messages.values()) for room, messages in found.items()}


def count_mentions(unread: Unread, messages: Iterable[StoredMessage]) -> int:
    """Those of the messages that are unread and mean this person; not their own, and none that is gone. At most 100."""
    means = set(mentions_of(unread.user_id))
    low = max(unread.read_seq, unread.last_seq - WINDOW)
    count = sum(
        low < message.seq <= unread.last_seq
        and message.sender_id != unread.user_id
        and not message.gone
        and not means.isdisjoint(message.mentions)
        for message in messages
    )
    return min(count, MENTION_CAP)
