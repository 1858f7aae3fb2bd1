"""People: unique usernames, password hashes, search by prefix."""

from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from backplane.store.documents import Database, find_in, from_document, to_document
from backplane.store.failures import reading, writing
from schemas.entities import User
from schemas.ids import UserId
from schemas.names import BLOCKS, USERS

_AFTER_ALL_TEXT: Final = "\U0010ffff"


class StoredUser(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"user_id": "_id"}):
    """One document of `users`. `username` is lower case and unique."""

    user_id: UserId
    username: str
    display_name: str
    password_hash: str
    created_ms: int
    email: str | None = None
    disabled: bool = False
    bot: bool = False
    owner_id: UserId | None = None
    """The person who made this bot."""
    erased_ms: int | None = None
    """Since when there is nothing left of the person but the id."""


def as_user(stored: StoredUser) -> User:
    """What others see of a person: no email, no hash."""
    return User(
        user_id=stored.user_id,
        username=stored.username,
        display_name=stored.display_name,
        bot=True if stored.bot else msgspec.UNSET,
    )


class Users:
    """Operations on `users`. All raise `Transient` when MongoDB is away, writes `Unknown` when the outcome is open."""

    def __init__(self, database: Database) -> None:
        self._users = database[USERS]

    async def create(self, user: StoredUser) -> bool:
        """Store a new person; False if the username is taken by another `user_id`. Safe to repeat."""
        with writing():
            try:
                await self._users.insert_one(to_document(user))
            except DuplicateKeyError:
                return await self._users.find_one({"_id": user.user_id}) is not None
        return True

    async def by_name(self, login: str) -> StoredUser | None:
        """The person with this username, or email if it holds an `@`; the first who gave it, where several did."""
        field = "email" if "@" in login else "username"
        with reading():
            found = await self._users.find({field: login.lower()}).sort("created_ms", ASCENDING).limit(1).to_list()
        return from_document(found[0], StoredUser) if found else None

    async def present(self, ids: Sequence[UserId]) -> dict[UserId, StoredUser]:
        """Those of the people who can be talked to: who exist, and were not erased."""
        return {user_id: user for user_id, user in (await self.find(ids)).items() if user.erased_ms is None}

    async def find(self, ids: Sequence[UserId]) -> dict[UserId, StoredUser]:
        """Those of the people that exist, in chunks of 50; of who was erased, the id."""
        return {user.user_id: user for user in await find_in(self._users, "_id", ids, StoredUser)}

    async def with_blocks(self, user_id: UserId) -> tuple[StoredUser, list[UserId]] | None:
        """A person, and whom they block, in one query; None if there is nobody."""
        blocks = {"from": BLOCKS, "localField": "_id", "foreignField": "blocker_id", "as": "blocks"}
        with reading():
            found = await (await self._users.aggregate([{"$match": {"_id": user_id}}, {"$lookup": blocks}])).to_list()
        if not found:
            return None
        blocked = [UserId(block["blocked_id"]) for block in found[0]["blocks"] if block["blocked"]]
        return from_document(found[0], StoredUser), sorted(blocked)

    async def bots_of(self, owner_id: UserId) -> list[StoredUser]:
        """A person's bots, oldest first, disabled ones too."""
        with reading():
            found = await self._users.find({"owner_id": owner_id}).sort("created_ms", ASCENDING).to_list()
        return [from_document(document, StoredUser) for document in found]

    async def get(self, user_id: UserId) -> StoredUser | None:
        """One person."""
        return (await self.find([user_id])).get(user_id)

    async def disable(self, user_id: UserId, *, disabled: bool = True) -> None:
        """Let nobody sign in as this user any more, or let them again; who was erased stays disabled."""
        with writing():
            await self._users.update_one({"_id": user_id, "erased_ms": None}, {"$set": {"disabled": disabled}})

    async def rehash(self, user_id: UserId, old_hash: str, new_hash: str) -> None:
        """Store the same password, hashed anew; not over another that was chosen meanwhile."""
        with writing():
            await self._users.update_one(
                {"_id": user_id, "password_hash": old_hash}, {"$set": {"password_hash": new_hash}}
            )

    async def erase(self, user_id: UserId, *, now_ms: int) -> None:
        """Leave nothing of a person but the id, so that what is there of others still has somebody to point at. Safe to repeat."""
        nobody = {"username": f"erased-{user_id}", "display_name": "Deleted account", "password_hash": ""}
        change = {"$set": {**nobody, "disabled": True, "erased_ms": now_ms}, "$unset": {"email": ""}}
        with writing():
            await self._users.update_one({"_id": user_id}, change)

    async def update(
        self, user_id: UserId, *, display_name: str | None = None, password_hash: str | None = None
    ) -> None:
        """Change what is given."""
        given = {"display_name": display_name, "password_hash": password_hash}
        change = {field: value for field, value in given.items() if value is not None}
        if change:
            with writing():
                await self._users.update_one({"_id": user_id}, {"$set": change})

    async def search(self, prefix: str, *, limit: int) -> list[StoredUser]:
        """People whose username begins with `prefix` (lower-cased, taken literally), by username."""
        low = prefix.lower()
        within = {"username": {"$gte": low, "$lt": low + _AFTER_ALL_TEXT}}
        with reading():
            found = await self._users.find(within).sort("username", ASCENDING).limit(limit).to_list()
        return [from_document(document, StoredUser) for document in found if document.get("erased_ms") is None]
