"""A person's conversations as they see them, by pages: the list, and the whole state.

A page costs the same few queries whatever is in it: one for memberships with their conversations and members, joined by their indexes;
one for the newest messages, or the last one of each; one for unread mentions (docs/architecture.md, “Lists cost the same”).
"""

import base64
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace
from pymongo import DESCENDING

from backplane.store.conversations import StoredConversation, StoredMember, as_conversation, as_own, hidden_seq
from backplane.store.documents import Database, Document, from_document
from backplane.store.failures import reading
from backplane.store.lookups import Lookups, Unread, count_mentions
from backplane.store.messages import Messages, StoredMessage, as_message
from schemas.entities import Conversation
from schemas.ids import ConversationId, UserId
from schemas.names import CONVERSATIONS, MEMBERS

PAGE_LIMIT: Final = 25
"""Conversations of one page: each query for messages is one `$in` of at most 50 values, two keys a conversation."""


class Place(NamedTuple):
    """A membership with what it is of."""

    viewer: StoredMember
    stored: StoredConversation
    members: list[StoredMember]


class Lists:
    """Operations over many conversations of one person. All raise `Transient` when MongoDB is away."""

    def __init__(self, database: Database) -> None:
        self._members = database[MEMBERS]
        self._messages = Messages(database)
        self._lookups = Lookups(database)

    async def of_user(self, user_id: UserId, *, after: str | None, limit: int) -> tuple[list[Conversation], str | None]:
        """A page of a person's conversations with `last_message`, counts, marks and members, and the next cursor: three queries.

        Newest creation first, stable under new messages. `after` is an opaque cursor of an earlier page; raises `ValueError` if it is not.
        A page has at most 25, and sometimes fewer than `limit` with more to come.
        """
        places, cursor = await self._page(user_id, after, limit)
        return [seen for seen, _ in await self._seen(places)], cursor

    async def state_of_user(
        self, user_id: UserId, *, after: str | None, limit: int, newest: int
    ) -> tuple[list[tuple[Conversation, list[StoredMessage]]], str | None]:
        """The same page with the newest messages of each conversation, ascending; three queries as well."""
        places, cursor = await self._page(user_id, after, limit)
        return await self._seen(places, newest), cursor

    async def one_of_user(self, conversation_id: ConversationId, user_id: UserId) -> Conversation | None:
        """One conversation as this member sees it, None if they are not in it now."""
        which: list[Document] = [{"$match": {"conversation_id": conversation_id, "user_id": user_id}}]
        places = [place for document in await self._places(which) if (place := _place(document))]
        return next((seen for seen, _ in await self._seen(places)), None)

    async def _page(self, user_id: UserId, after: str | None, limit: int) -> tuple[list[Place], str | None]:
        limit = max(1, min(limit, PAGE_LIMIT))
        mine: Document = {"user_id": user_id}
        if after is not None:
            mine["listed"] = {"$gt": "", "$lt": _parse_cursor(after)}
        page = await self._places([{"$match": mine}, {"$sort": {"listed": DESCENDING}}, {"$limit": limit + 1}])
        cursor = _cursor(page[limit - 1]["listed"]) if len(page) > limit else None
        return [place for document in page[:limit] if (place := _place(document))], cursor

    async def _places(self, which: Sequence[Document]) -> list[Document]:
        conversation = {"localField": "conversation_id", "foreignField": "_id"}
        # A member's memory of operations is persist's alone, and the larger part of the document.
        shown = [{"$project": {"ops": 0}}]
        members = {"localField": "conversation_id", "foreignField": "conversation_id", "pipeline": shown}
        joined: list[Document] = [
            {"$lookup": {"from": CONVERSATIONS, **conversation, "as": "stored"}},
            {"$lookup": {"from": MEMBERS, **members, "as": "members"}},
        ]
        with reading():
            return await (await self._members.aggregate([*which, *joined])).to_list()

    async def _seen(self, places: Sequence[Place], newest: int = 0) -> list[tuple[Conversation, list[StoredMessage]]]:
        unread = {place.stored.conversation_id: _unread(place) for place in places}
        # The counters came before the messages: what is numbered above them is still being written (hole C7).
        far = [one for one in unread.values() if one.last_seq - one.read_seq > newest]
        # One after the other: they may share a session, which takes one operation at a time (`Store.fresh`).
        shown, counted = await self._shown(places, newest), await self._lookups.mentions(far)
        return [
            (
                _as_seen(place, last, counted.get(key, count_mentions(unread[key], messages))),
                [message for message in messages if message.seq > hidden_seq(place.stored, place.viewer)],
            )
            for place in places
            for key in [place.stored.conversation_id]
            for messages, last in [shown[key]]
        ]

    async def _shown(
        self, places: Sequence[Place], newest: int
    ) -> dict[ConversationId, tuple[list[StoredMessage], StoredMessage | None]]:
        """The newest messages of each, and the last one; without `newest`, that alone."""
        last_seqs = {one.stored.conversation_id: one.stored.last_seq for one in places}
        shown = await self._lookups.newest(last_seqs, newest) if newest else dict[ConversationId, list[StoredMessage]]()
        known = {message.message_id: message for messages in shown.values() for message in messages}
        last_ids = {one.stored.conversation_id: one.stored.last_message_id for one in places}
        if missing := [one for one in last_ids.values() if one and one not in known]:
            known |= await self._messages.find(missing)
        return {key: (shown.get(key, []), known.get(last_id) if last_id else None) for key, last_id in last_ids.items()}


def _place(document: dict[str, Any]) -> Place | None:
    """None for a membership that has ended, and for a conversation whose creation has not come to its end."""
    viewer = from_document(document, StoredMember)
    if not viewer.current or not document["stored"]:
        return None
    members = [from_document(member, StoredMember) for member in document["members"]]
    return Place(viewer, from_document(document["stored"][0], StoredConversation), members)


def _as_seen(place: Place, last: StoredMessage | None, mentions: int) -> Conversation:
    viewer, stored, members = place
    if last is not None and last.seq <= hidden_seq(stored, viewer):
        last = None
    unread = unread_count(stored, viewer, last)
    return replace(
        as_own(as_conversation(stored, members), viewer),
        last_message=as_message(last) if last else None,
        unread_count=unread,
        mention_count=min(mentions, unread),
        read_seq=viewer.read_seq,
        private_read_seq=viewer.private_read_seq,
    )


def unread_count(stored: StoredConversation, viewer: StoredMember, last: StoredMessage | None) -> int:
    """Messages above what the viewer has read, in private too, from watermarks alone; none if the last one is the viewer's own.

    Who answers has the conversation before them, though the mark is raised only by a receipt. Whoever adds a member later
    begins their mark at the conversation's `last_seq`, so that what was said before they came is not unread.
    """
    if last is not None and last.sender_id == viewer.user_id:
        return 0
    return max(0, stored.last_seq - max(viewer.read_seq, viewer.private_read_seq, hidden_seq(stored, viewer)))


def _unread(place: Place) -> Unread:
    viewer, stored, _ = place
    read_seq = max(viewer.read_seq, viewer.private_read_seq, hidden_seq(stored, viewer))
    return Unread(stored.conversation_id, viewer.user_id, read_seq, stored.last_seq)


def _cursor(listed: str) -> str:
    return base64.urlsafe_b64encode(listed.encode()).decode().rstrip("=")


_LISTED: Final = re.compile(r"[0-9]{15}:[0-9a-f-]{36}")


def _parse_cursor(text: str) -> str:
    try:
        listed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:  # also of base64 and of UTF-8
        listed = ""
    if not _LISTED.fullmatch(listed):
        raise ValueError("not a cursor of this list")
    return listed
