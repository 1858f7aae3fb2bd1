"""The table of indexes, made by `migrate` and looked for at every start. Unique ones carry the guarantees (design §2).

Every unique index begins with the field its collection would be sharded by, so that it can be (hole A7).
"""

from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, IndexModel

from backplane.store.documents import Database
from backplane.store.failures import reading, writing
from schemas.names import (
    ATTACHMENTS,
    AUDIT,
    BLOCKS,
    BOT_TOKENS,
    CONVERSATIONS,
    DELIVERIES,
    MARKS,
    MEMBERS,
    MESSAGES,
    SESSIONS,
    USERS,
    WEBHOOKS,
)


class Index(NamedTuple):
    """One index: its collection, its fields in order, and why it is there."""

    collection: str
    fields: tuple[str, ...]
    why: str
    unique: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """As MongoDB shows it: the fields, joined."""
        return "__".join(self.fields)

    @property
    def model(self) -> IndexModel:
        """As the driver wants it."""
        keys = [(field, ASCENDING) for field in self.fields]
        unique = {"unique": True} if self.unique else {}
        return IndexModel(keys, name=self.name, **unique, **dict(self.options))


_SPARSE: Final = (("sparse", True),)
_IN_THREAD: Final = (("partialFilterExpression", {"thread_root_id": {"$exists": True}}),)
_ROOTS: Final = (("partialFilterExpression", {"last_reply_ms": {"$exists": True}}),)
_PINNED: Final = (("partialFilterExpression", {"pinned_ms": {"$exists": True}}),)

INDEXES: Final = (
    Index(MESSAGES, ("conversation_id", "seq"), "one message a number, whoever writes it (holes B5, C4)", unique=True),
    Index(MESSAGES, ("conversation_id", "rev"), "one change a number (hole B6); pages since a rev", unique=True),
    Index(
        MESSAGES, ("conversation_id", "sender_id", "client_msg_id"), "a resend is the same message (A7)", unique=True
    ),
    Index(MESSAGES, ("found_by",), "newest messages, and mentions, of a page of conversations in one query"),
    Index(MESSAGES, ("conversation_id", "thread_root_id", "seq"), "pages of a thread", options=_IN_THREAD),
    Index(
        MEMBERS, ("conversation_id", "user_id"), "one membership a person, with all its spans (hole B9)", unique=True
    ),
    Index(MEMBERS, ("conversation_id", "rev"), "changes of members since a rev"),
    Index(MEMBERS, ("user_id", "listed"), "a person's conversations, newest first, a page at a time"),
    Index(MESSAGES, ("conversation_id", "pinned_ms"), "what is pinned", options=_PINNED),
    Index(CONVERSATIONS, ("retention_days", "oldest_ms"), "what is older than it is kept"),
    Index(MESSAGES, ("conversation_id", "last_reply_ms", "seq"), "threads, newest reply first", options=_ROOTS),
    Index(BLOCKS, ("conversation_id",), "who blocks whom in a direct conversation"),
    Index(BLOCKS, ("blocker_id",), "whom a person blocks"),
    Index(MARKS, ("conversation_id", "user_id"), "a person's marks in the threads of a conversation"),
    Index(MARKS, ("conversation_id", "thread_root_id"), "who has read a message of a thread"),
    Index(USERS, ("username",), "one person a name", unique=True),
    Index(USERS, ("email",), "sign in by email", options=_SPARSE),
    Index(SESSIONS, ("user_id",), "a person's devices"),
    Index(SESSIONS, ("token_hash",), "the session of a refresh token"),
    Index(SESSIONS, ("spent",), "the session of a refresh token that was used before", options=_SPARSE),
    Index(USERS, ("owner_id",), "a person's bots", options=_SPARSE),
    Index(BOT_TOKENS, ("token_hash",), "the bot of a token"),
    Index(BOT_TOKENS, ("bot_id",), "a bot's tokens"),
    Index(AUDIT, ("subject_id", "at_ms"), "what was done to a person"),
    Index(WEBHOOKS, ("owner_id",), "the webhooks of a person or bot"),
    Index(DELIVERIES, ("webhook_id", "partition", "at"), "what waits for a webhook, in order"),
    Index(DELIVERIES, ("partition", "webhook_id"), "the webhooks that something waits for"),
    Index(ATTACHMENTS, ("owner_id", "created_ms"), "a person's files, and the room that they take"),
    Index(ATTACHMENTS, ("status", "queued_ms"), "files that wait for a scan, or were scanned long ago"),
    Index(
        ATTACHMENTS,
        ("digest", "signatures", "scanned"),
        "what the scanner said of the same content before",
        options=_SPARSE,
    ),
    Index(ATTACHMENTS, ("loose_ms",), "files that no message holds", options=_SPARSE),
    Index(ATTACHMENTS, ("check_ms",), "files whose message may not show what is known of them", options=_SPARSE),
    Index(ATTACHMENTS, ("gone_ms",), "files that were withdrawn", options=_SPARSE),
)

_COLLECTIONS: Final = tuple(dict.fromkeys(index.collection for index in INDEXES))


async def missing(database: Database) -> list[Index]:
    """The indexes that the database has not, or has otherwise than the table says."""
    absent: list[Index] = []
    for collection in _COLLECTIONS:
        wanted = [index for index in INDEXES if index.collection == collection]
        with reading():
            there = await database[collection].index_information()
        absent += [index for index in wanted if not _is(index, there.get(index.name))]
    return absent


def _is(index: Index, there: Any) -> bool:
    return (
        there is not None
        and [field for field, _ in there["key"]] == list(index.fields)
        and bool(there.get("unique")) == index.unique
    )


async def create(database: Database, indexes: list[Index]) -> list[str]:
    """Make them; returns a sentence for each.

    Raises:
        Permanent: one exists under that name with other fields, or the data break its uniqueness; the message says which.
        Unknown: it may have been made; run it again.
    """
    for index in indexes:
        with writing():
            await database[index.collection].create_indexes([index.model])
    return [
        f"created {'unique ' if index.unique else ''}index {index.collection}.{index.name}: {index.why}"
        for index in indexes
    ]
