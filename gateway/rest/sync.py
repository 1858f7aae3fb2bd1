"""The whole state of a person, bounded and paged: what a client loads when its log can not bring it up to date.

The position is taken **before** the database is read: an event that comes between is in both, and the client drops it by its
`rev`; taken after, it would be in neither. Every page carries the first page's position, and is of no time before it: what
the log does not tell any more must not be missing from an old primary's answer (hole C5).
"""

from typing import Annotated

import msgspec
from msgspec import structs
from starlette.responses import Response

from backplane.store.messages import as_message
from gateway.problems import Problem
from gateway.rest.operations import SignedCall, answer, signed_in
from gateway.rest.users import Me, as_me, enabled
from schemas.entities import Conversation, Message
from schemas.ids import Position, UserId

NEWEST_MESSAGES = 30


class Sync(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of one's state."""

    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=320)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20


class SyncedConversation(Conversation, frozen=True, kw_only=True):
    """A conversation with its newest messages, ascending; older ones are paged for."""

    messages: list[Message]


class State(msgspec.Struct, frozen=True):
    """One page. After the last one: apply events above `position`."""

    position: str
    user: Me
    blocked_user_ids: list[UserId]
    conversations: list[SyncedConversation]
    next_cursor: str | None


async def sync(call: SignedCall[Sync]) -> Response:
    """The state to begin from: position, oneself, conversations with their newest messages."""
    position, after = _parse(call.asked.cursor)
    if position is None:
        position = (await call.api.logs.open(call.identity.user_id)).position
    async with call.api.store.fresh():
        user, blocked = await call.api.store.users.with_blocks(call.identity.user_id) or (None, [])
        me = as_me(enabled(user))
        try:
            items, cursor = await call.api.store.lists.state_of_user(
                call.identity.user_id, after=after, limit=call.asked.limit, newest=NEWEST_MESSAGES
            )
        except ValueError:
            raise _bad_cursor() from None
    conversations = [
        SyncedConversation(**structs.asdict(conversation), messages=[as_message(one) for one in newest])
        for conversation, newest in items
    ]
    return answer(State(str(position), me, blocked, conversations, f"{position}:{cursor}" if cursor else None))


def _parse(cursor: str | None) -> tuple[Position | None, str | None]:
    """The first page's position, and where the database goes on."""
    if cursor is None:
        return None, None
    position, _, after = cursor.partition(":")
    try:
        return Position.parse(position), after
    except ValueError:
        raise _bad_cursor() from None


def _bad_cursor() -> Problem:
    return Problem("bad_request", "cursor is not one of an earlier page")


OPERATIONS = [signed_in("GET", "/api/sync", sync, asks=Sync, answers={200: State}, needs="messages:read", cost=5)]
