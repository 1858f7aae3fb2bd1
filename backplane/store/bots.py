"""Tokens of bots: opaque, with the scopes that they are good for; only their SHA-256 is kept. The bots themselves are users."""

import msgspec
from pymongo import ASCENDING

from backplane.store.documents import Database, Document, from_document, to_document
from backplane.store.failures import reading, writing
from schemas.ids import UserId
from schemas.names import BOT_TOKENS
from schemas.scopes import Scope


class StoredBotToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"token_id": "_id"}):
    """One document of `bot_tokens`; times in ms."""

    token_id: str
    bot_id: UserId
    token_hash: str
    scopes: tuple[Scope, ...]
    created_ms: int
    revoked_ms: int | None = None


class BotTokens:
    """Operations on `bot_tokens`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._tokens = database[BOT_TOKENS]

    async def create(self, token: StoredBotToken) -> None:
        """Store a new one."""
        with writing():
            await self._tokens.insert_one(to_document(token))

    async def by_hash(self, token_hash: str) -> StoredBotToken | None:
        """The token with this hash, revoked or not."""
        with reading():
            document = await self._tokens.find_one({"token_hash": token_hash})
        return from_document(document, StoredBotToken) if document else None

    async def of_bot(self, bot_id: UserId) -> list[StoredBotToken]:
        """A bot's tokens that are not revoked, oldest first."""
        with reading():
            found = await self._tokens.find({"bot_id": bot_id}).sort("created_ms", ASCENDING).to_list()
        return [from_document(document, StoredBotToken) for document in found if document.get("revoked_ms") is None]

    async def revoke(self, bot_id: UserId, token_id: str, *, now_ms: int) -> bool:
        """End one token of a bot; False if there is none such. One that has ended keeps its time."""
        which: Document = {"_id": token_id, "bot_id": bot_id}
        with writing():
            await self._tokens.update_one({**which, "revoked_ms": None}, {"$set": {"revoked_ms": now_ms}})
        with reading():
            return await self._tokens.find_one(which) is not None

    async def revoke_all(self, bot_id: UserId, *, now_ms: int) -> None:
        """End all tokens of a bot."""
        with writing():
            await self._tokens.update_many({"bot_id": bot_id, "revoked_ms": None}, {"$set": {"revoked_ms": now_ms}})
