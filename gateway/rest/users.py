"""People: oneself, others, search."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from backplane.store.users import StoredUser, as_user
from gateway.problems import Problem
from gateway.rest.operations import A, Limit, Nothing, SignedCall, answer, signed_in
from schemas.entities import User, rfc3339
from schemas.ids import UserId
from schemas.text import clean_name


class Me(msgspec.Struct, frozen=True):
    """A person, as they see themselves."""

    user_id: UserId
    username: str
    display_name: str
    email: str | None
    created_at: str


class ChangeMe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one may change about oneself."""

    display_name: str


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The beginning of a username."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    limit: Annotated[int, Limit] = 20


class Users(msgspec.Struct, frozen=True):
    """People."""

    items: list[User]
    next_cursor: str | None = None


async def get_me(call: SignedCall[Nothing]) -> Response:
    """The signed-in person."""
    return answer(as_me(await myself(call)))


async def change_me(call: SignedCall[ChangeMe]) -> Response:
    """Change one's display name."""
    try:
        display_name = clean_name(call.asked.display_name)
    except ValueError as failure:
        raise Problem("bad_request", f"display_{failure}") from None
    await myself(call)
    await call.api.store.users.update(call.identity.user_id, display_name=display_name)
    return answer(as_me(await myself(call)))


async def search_users(call: SignedCall[Search]) -> Response:
    """People whose username begins like this."""
    found = await call.api.store.users.search(call.asked.query.lower(), limit=call.asked.limit)
    return answer(Users([as_user(user) for user in found]))


async def get_user(call: SignedCall[Nothing]) -> Response:
    """One person."""
    user_id = UserId(call.path_id("user_id"))
    user = await call.api.store.users.get(user_id)
    if user is None:
        raise Problem("not_found")
    return answer(as_user(user))


async def myself(call: SignedCall[A]) -> StoredUser:
    """The signed-in person's document; a token may outlive its account by minutes."""
    return enabled(await call.api.store.users.get(call.identity.user_id))


def enabled(user: StoredUser | None) -> StoredUser:
    """Somebody who may use their account; raises `account_disabled`."""
    if user is None or user.disabled:
        raise Problem("account_disabled")
    return user


def as_me(user: StoredUser) -> Me:
    """What they see of themselves."""
    return Me(user.user_id, user.username, user.display_name, user.email, rfc3339(user.created_ms))


OPERATIONS = [
    signed_in("GET", "/api/me", get_me, asks=Nothing, answers={200: Me}, needs="anybody"),
    signed_in("PATCH", "/api/me", change_me, asks=ChangeMe, answers={200: Me}),
    signed_in(
        "GET", "/api/users", search_users, asks=Search, answers={200: Users}, needs="conversations:read", limit="search"
    ),
    signed_in("GET", "/api/users/{user_id}", get_user, asks=Nothing, answers={200: User}, needs="conversations:read"),
]
