"""What people are called: `Names` is what is known by now, `People` asks the server for the rest."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cli.output import printable
from headrace_client import Api, ApiError, Unreachable

CALLED: Final = 20
_MENTION: Final = re.compile(r"(?<!\S)@([\w.-]*\w)")


@dataclass(slots=True)
class Names:
    """User names by id, fit to be printed."""

    me: str = ""
    known: dict[str, str] = field(default_factory=dict[str, str])

    def of(self, user_id: str | None) -> str:
        """What to call somebody: their name, or the beginning of their id."""
        if user_id is None:
            return "somebody"
        return self.known.get(user_id) or printable(user_id[:8])

    def id_of(self, username: str) -> str | None:
        """Whose name this is, of those that are known."""
        return next((user_id for user_id, name in self.known.items() if name == username), None)


def mentioned(text: str) -> list[str]:
    """The names that a text calls with `@`, each once; not more than a person would."""
    return list(dict.fromkeys(_MENTION.findall(text)))[:CALLED]


def user_names(words: str) -> list[str]:
    """The names in `@alice @bob`.

    Raises:
        ValueError: there is none, or something else is among them.
    """
    names = words.split()
    if not names or any(not name.startswith("@") or name == "@" for name in names):
        raise ValueError("say who: @user")
    return [name[1:] for name in names]


class People:
    """Names, with the server behind them."""

    def __init__(self, api: Api) -> None:
        self.names = Names()
        self._api = api

    async def sign_in(self) -> None:
        """Learn who we are."""
        me = await self._api.me()
        self.names.me = me.user_id
        self.names.known[me.user_id] = printable(me.username)

    async def learn(self, user_ids: Iterable[str | None]) -> None:
        """Ask for the names that are not known; where nobody answers, the ids have to do."""
        for user_id in dict.fromkeys(user_ids):
            if user_id is None or user_id in self.names.known:
                continue
            try:
                self.names.known[user_id] = printable((await self._api.user(user_id)).username)
            except ApiError:
                continue
            except Unreachable:
                return

    async def find(self, username: str) -> str:
        """The id behind a name.

        Raises:
            ValueError: nobody is called so.
        """
        known = self.names.id_of(username)
        if known is not None:
            return known
        for user in await self._api.users(username):
            if user.username == username:
                self.names.known[user.user_id] = printable(user.username)
                return user.user_id
        raise ValueError(f"there is no user @{username}; /users {username[:2]} shows similar ones")
