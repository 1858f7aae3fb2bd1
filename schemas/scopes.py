"""What a bot's token may be good for: a closed table. A person's token is good for everything that a person may do."""

from collections.abc import Collection
from typing import Final, Literal

Scope = Literal["messages:read", "messages:write", "conversations:read", "conversations:write", "webhooks"]
Needs = Scope | Literal["person", "anybody"]
"""What an operation needs: a scope; `person`: no bot, whatever its scopes; `anybody`: any valid token."""

SCOPES: Final[dict[Scope, str]] = {
    "messages:read": "connect, read messages, events and the state that a client begins from",
    "messages:write": "send, edit and delete messages, react, pin, type",
    "conversations:read": "list and read conversations and people",
    "conversations:write": "open conversations, bring people in, change titles and settings",
    "webhooks": "make and look after the bot's own webhooks",
}


def missing(granted: Collection[Scope] | None, needs: Needs) -> str | None:
    """The sentence that refuses a token with these scopes; None if it will do. `granted` is None for a person."""
    if granted is None or needs == "anybody" or needs in granted:
        return None
    if needs == "person":
        return "A bot may not do this; sign in as a person."
    return f"The token lacks the scope `{needs}`."
