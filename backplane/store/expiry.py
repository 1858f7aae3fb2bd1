"""Which conversations hold messages that are older than they are kept: a range of an index for each number of days that is set."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pymongo import ASCENDING

from backplane.store.documents import Database, Document, find_range
from backplane.store.failures import reading, writing
from schemas.ids import ConversationId
from schemas.names import CONVERSATIONS, MESSAGES

DAY_MS: Final = 86_400_000
MAX_DAYS: Final = 3650
AT_ONCE: Final = 200
"""Messages of one conversation that go at once: few enough not to hold up what is said meanwhile."""
_UNKNOWN_MS: Final = 1


class Due(NamedTuple):
    """A conversation in which the messages above `after_seq`, up to `up_to_seq`, may be too old; none of them if these are equal.

    `oldest_ms` is what the conversation says of its oldest message.
    """

    conversation_id: ConversationId
    after_seq: int
    up_to_seq: int
    oldest_ms: int


class Expiry:
    """Operations on the age of messages. All raise `Transient` when MongoDB is away."""

    def __init__(self, database: Database) -> None:
        self._conversations, self._messages = database[CONVERSATIONS], database[MESSAGES]

    async def due(self, now_ms: int, keep_days: int, *, limit: int) -> list[Due]:
        """At most `limit` conversations with something too old by their own setting, or by `keep_days` of the deployment (0: none)."""
        found: list[tuple[Document, int]] = []
        for days in (None, *await self._settings()):  # None is in the index, too: those that have set nothing
            if kept := min((one for one in (days, keep_days) if one), default=0):
                before_ms = now_ms - kept * DAY_MS
                found += [(one, before_ms) for one in await self._older(days, before_ms, limit - len(found))]
            if len(found) >= limit:
                break
        return [await self._due(one, before_ms) for one, before_ms in found]

    async def begin(self) -> None:
        """Have conversations from before there was retention looked at once, when something is to go."""
        unknown: Document = {"oldest_ms": {"$exists": False}, "last_seq": {"$gt": 0}}
        with writing():
            await self._conversations.update_many(unknown, {"$set": {"oldest_ms": _UNKNOWN_MS}})

    async def _settings(self) -> Sequence[int]:
        """The different numbers of days that conversations have set, by one small step through the index for each."""
        days: list[int] = []
        while True:
            above: Document = {"retention_days": {"$gt": days[-1] if days else 0, "$lte": MAX_DAYS}}
            with reading():
                found = self._conversations.find(above, {"retention_days": 1}).sort("retention_days", ASCENDING)
                documents = await found.limit(1).to_list()
            if not documents:
                return days
            days.append(documents[0]["retention_days"])

    async def _older(self, days: int | None, before_ms: int, limit: int) -> list[Document]:
        equal: Document = {"retention_days": days}
        return await find_range(self._conversations, equal, "oldest_ms", low=0, high=before_ms, limit=limit)

    async def _due(self, conversation: Document, before_ms: int) -> Due:
        after_seq = conversation.get("expired_seq", 0)
        up_to_seq = after_seq
        equal = {"conversation_id": conversation["_id"]}
        for message in await find_range(self._messages, equal, "seq", low=after_seq, high=after_seq + AT_ONCE):
            if message["created_ms"] > before_ms:
                break
            up_to_seq = message["seq"]
        return Due(conversation["_id"], after_seq, up_to_seq, conversation["oldest_ms"])
