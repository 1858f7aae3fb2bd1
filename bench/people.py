"""Accounts and conversations for a run, made through REST, a few at a time: passwords are slow to hash on purpose."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from headrace_client import Api, ApiError

AT_ONCE = 4
TRIES = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """One account, signed in."""

    api: Api
    user_id: str


async def make_people(urls: Sequence[str], count: int) -> list[Person]:
    """`count` new accounts, spread over the gateways."""
    turnstile = asyncio.Semaphore(AT_ONCE)
    run = secrets.token_hex(4)

    async def make(number: int) -> Person:
        api = Api(urls[number % len(urls)])
        name, password = f"bench-{run}-{number}", secrets.token_urlsafe(12)
        async with turnstile:
            session = await patiently(lambda: api.register(name, password))
        if session.user is None:
            raise RuntimeError("the server does not say whom it registered")
        return Person(api, session.user.user_id)

    return list(await asyncio.gather(*(make(number) for number in range(count))))


async def make_conversation(people: Sequence[Person], title: str | None) -> str:
    """A conversation of all of them; a direct one if there is no title."""
    first, *others = people
    key = secrets.token_hex(8)
    kind = "group" if title else "direct"
    members = [each.user_id for each in others]
    return (await patiently(lambda: first.api.create(kind, members, title, key=key))).conversation_id


async def count_messages(person: Person, conversation_id: str) -> int:
    """How many messages the server says there are."""
    return (await patiently(lambda: person.api.conversation(conversation_id))).last_seq


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call that the server asks to repeat.

    Raises:
        ApiError: it was refused for good, or `TRIES` times.
    """
    for _ in range(TRIES):
        try:
            return await call()
        except ApiError as failure:
            if not failure.temporary:
                raise
            await asyncio.sleep(failure.retry_after_s or 0.5)
    return await call()
