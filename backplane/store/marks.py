"""How far people have received and read: on their membership, and in `marks` for each thread of its own.

Everything here only rises (`$max`), so a repeat, a late write of a dead process, or two in the wrong order change nothing (hole C11).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from backplane.errors import Transient, Unknown
from backplane.store.conversations import StoredMember
from backplane.store.documents import Collection, Database, Document, find_in, from_document
from backplane.store.failures import reading, refused_indexes, writing
from backplane.store.together import Together
from schemas.ids import ConversationId, StreamId, UserId
from schemas.names import MARKS, MEMBERS

THREADS: Final = 1000
"""Threads of one conversation whose marks are listed."""


class Key(NamedTuple):
    """Whose mark it is, and of what: a conversation, or one thread of it."""

    conversation_id: ConversationId
    user_id: UserId
    thread_root_id: str | None = None

    @property
    def member_id(self) -> str:
        """`_id` of the membership."""
        return f"{self.conversation_id}:{self.user_id}"

    @property
    def mark_id(self) -> str:
        """`_id` of a thread's mark."""
        return f"{self.member_id}:{self.thread_root_id}"


class Levels(NamedTuple):
    """The watermarks of one key. A private reading is nobody else's to see, and moves no other level."""

    delivered_seq: int = 0
    read_seq: int = 0
    private_read_seq: int = 0

    def with_(self, other: "Levels") -> "Levels":
        """The higher of each."""
        return Levels(*map(max, self, other))

    def hidden(self) -> "Levels":
        """The same reading, for nobody else to see."""
        return Levels(0, 0, max(self.read_seq, self.private_read_seq))

    def up_to(self, last_seq: int) -> "Levels":
        """None beyond the newest message."""
        return Levels(*(min(level, last_seq) for level in self))


class StoredMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"mark_id": "_id"}):
    """One document of `marks`: one person's levels in one thread."""

    mark_id: str
    conversation_id: ConversationId
    user_id: UserId
    thread_root_id: str
    delivered_seq: int = 0
    read_seq: int = 0
    private_read_seq: int = 0
    marked_by: str = ""
    privately_by: str = ""


class Raise(NamedTuple):
    """One update: the levels to come to, for a membership that still has this `rev`.

    `marked_by`: the entry that moves what others see, '' if it does not; `privately_by`: that moves what they do not.
    """

    key: Key
    levels: Levels
    marked_by: str
    privately_by: str
    member_rev: int


def marked_by(entry: StreamId) -> str:
    """An entry's id as text that sorts as the ids do: whose write a level is, known again after a crash."""
    return f"{entry.ms:015d}-{entry.seq:010d}"


class Marks:
    """Operations on marks. All raise `Transient` when MongoDB is away; to write the same again is always safe."""

    def __init__(self, database: Database) -> None:
        self._members, self._marks = database[MEMBERS], database[MARKS]
        self._raises: Together[Raise, bool] = Together(self._raise_together)

    async def members(self, keys: Sequence[Key]) -> dict[str, StoredMember]:
        """The memberships of these keys by `member_id`, also of those who left."""
        found = await find_in(self._members, "_id", [key.member_id for key in keys], StoredMember)
        return {f"{member.conversation_id}:{member.user_id}": member for member in found}

    async def threads(self, keys: Sequence[Key]) -> dict[Key, StoredMark]:
        """The marks of those of these keys that name a thread and have one."""
        ids = [key.mark_id for key in keys if key.thread_root_id is not None]
        found = await find_in(self._marks, "_id", ids, StoredMark)
        return {Key(mark.conversation_id, mark.user_id, mark.thread_root_id): mark for mark in found}

    async def threads_of(
        self, conversation_id: ConversationId, user_id: UserId, *, limit: int = THREADS
    ) -> list[StoredMark]:
        """A person's marks in the threads of one conversation, at most so many; 0: all."""
        with reading():
            own = {"conversation_id": conversation_id, "user_id": user_id}
            documents = await self._marks.find(own).limit(limit).to_list()
        return [from_document(document, StoredMark) for document in documents]

    async def delete_of(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """Forget a person's marks in the threads of a conversation."""
        with writing():
            await self._marks.delete_many({"conversation_id": conversation_id, "user_id": user_id})

    async def of_thread(self, conversation_id: ConversationId, thread_root_id: str) -> list[StoredMark]:
        """Everybody's marks in one thread."""
        with reading():
            thread = {"conversation_id": conversation_id, "thread_root_id": thread_root_id}
            documents = await self._marks.find(thread).to_list()
        return [from_document(document, StoredMark) for document in documents]

    async def raise_to(self, raises: Sequence[Raise]) -> bool:
        """Raise levels where they are lower. False: a membership has changed meanwhile; look again, and decide anew.

        Never adds a member, and never touches one whose `rev` is another, so nobody is brought back (hole C11).
        """
        try:
            return await self._raises.call(raises) if raises else True
        except Unknown as failure:
            raise Transient(str(failure)) from failure  # written or not: the same again comes to the same

    async def _raise_together(self, calls: list[Sequence[Raise]]) -> list[bool]:
        wanted = [one for call in calls for one in call]
        whole = True
        if of_members := [one for one in wanted if one.key.thread_root_id is None]:
            whole &= await _written(self._members, [_of_member(one) for one in of_members])
        if of_threads := [one for one in wanted if one.key.thread_root_id is not None]:
            whole &= await _written(self._marks, [_of_thread(one) for one in of_threads])
        return [whole] * len(calls)


async def _written(collection: Collection, updates: list[UpdateOne]) -> bool:
    with writing():
        try:
            result = await collection.bulk_write(updates, ordered=False)
        except BulkWriteError as failure:
            refused_indexes(failure)  # two made the same thread's mark at once: now it is there
            return False
    return result.matched_count + result.upserted_count == len(updates)


def _of_member(one: Raise) -> UpdateOne:
    return UpdateOne({"_id": one.key.member_id, **_shard(one.key), "rev": one.member_rev}, {"$max": _highest(one)})


def _of_thread(one: Raise) -> UpdateOne:
    key = one.key
    told = {"user_id": key.user_id, "thread_root_id": key.thread_root_id}
    return UpdateOne({"_id": key.mark_id, **_shard(key)}, {"$max": _highest(one), "$setOnInsert": told}, upsert=True)


def _shard(key: Key) -> Document:
    """What the collections would be sharded by: the update goes to one shard."""
    return {"conversation_id": key.conversation_id}


def _highest(one: Raise) -> Document:
    raised: Document = {**one.levels._asdict(), "marked_by": one.marked_by, "privately_by": one.privately_by}
    return {field: value for field, value in raised.items() if value}
