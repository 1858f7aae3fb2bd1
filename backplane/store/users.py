"""People: unique usernames, password hashes, search by prefix."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.entities import User
from schemas.ids import UserId


class StoredUser(msgspec.Struct, frozen=True, kw_only=True):
    """One document of `users`. `username` is lower case and unique."""

    user_id: UserId
    username: str
    display_name: str
    password_hash: str
    created_ms: int
    email: str | None = None
    disabled: bool = False


def as_user(stored: StoredUser) -> User:
    """What others see of a person: no email, no hash."""
    raise NotImplementedError


class Users:
    """Operations on `users`."""

    def __init__(self, database: Any) -> None:
        raise NotImplementedError

    async def create(self, user: StoredUser) -> bool:
        """Store a new person; False if the username is taken by another `user_id`."""
        raise NotImplementedError

    async def by_name(self, login: str) -> StoredUser | None:
        """The person with this username, or email if it holds an `@`."""
        raise NotImplementedError

    async def find(self, ids: Sequence[UserId]) -> dict[UserId, StoredUser]:
        """Those of the people that exist, in chunks of 50."""
        raise NotImplementedError

    async def update(
        self, user_id: UserId, *, display_name: str | None = None, password_hash: str | None = None
    ) -> None:
        """Change what is given."""
        raise NotImplementedError

    async def search(self, prefix: str, *, limit: int) -> list[StoredUser]:
        """People whose username begins with `prefix` (lower-cased, taken literally), by username."""
        raise NotImplementedError
