"""Members, roles, titles and settings of a conversation; what it is to oneself; blocks."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from backplane.store.expiry import MAX_DAYS
from gateway.intake import change_fields
from gateway.problems import Problem
from gateway.rest.mutations import Accepted, submit
from gateway.rest.operations import A, Nothing, SignedCall, answer, signed_in
from schemas.client_frames import UuidText
from schemas.entities import Conversation
from schemas.ids import ConversationId, UserId, direct_conversation_id
from schemas.intents import (
    AddMembers,
    Change,
    ChangeMine,
    ChangeRole,
    History,
    RemoveMember,
    SetBlock,
    UpdateConversation,
)
from schemas.roles import Role
from schemas.text import clean_name

_FAR_MS = 253_402_300_799_999


class NewMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to bring in."""

    user_ids: Annotated[tuple[UuidText, ...], msgspec.Meta(min_length=1, max_length=100)]


class NewRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The role to give; `owner` is given away: whoever gives it is an admin then."""

    role: Role


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Title and settings; what is not given stays. `history`: what new members see, from now on.

    `retention_days`: how long messages are kept; null: as long as everywhere.
    """

    title: str | UnsetType = UNSET
    history: History | UnsetType = UNSET
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] | None | UnsetType = UNSET


class Mine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the conversation is to oneself alone; what is not given stays. `cleared` deletes what was said so far, for oneself."""

    muted_until: Annotated[datetime, msgspec.Meta(tz=True)] | None | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    cleared: bool = False


class Blocks(msgspec.Struct, frozen=True):
    """Whom one blocks."""

    user_ids: list[UserId]


async def add_members(call: SignedCall[NewMembers]) -> Response:
    """Bring people into a group."""
    users = [UserId(one) for one in dict.fromkeys(call.asked.user_ids)]
    known = await call.api.store.users.present(users)
    if missing := [user for user in users if user not in known]:
        raise Problem("unknown_user", f"There is no user {missing[0]}.")
    return await _change(call, AddMembers(**_common(call), user_ids=tuple(users)))


async def remove_member(call: SignedCall[Nothing]) -> Response:
    """Put somebody out of a group, or leave it oneself: 204 then."""
    user_id = UserId(call.path_id("user_id"))
    intent = RemoveMember(**_common(call), user_id=user_id)
    if user_id == call.identity.user_id:
        left = await submit(call.api, intent)
        return Response(status_code=204) if left is not None else answer(Accepted(intent.conversation_id), 202)
    return await _change(call, intent)


async def change_role(call: SignedCall[NewRole]) -> Response:
    """Give a member another role."""
    user_id = UserId(call.path_id("user_id"))
    return await _change(call, ChangeRole(**_common(call), user_id=user_id, role=call.asked.role))


async def change_conversation(call: SignedCall[Settings]) -> Response:
    """Change title or settings."""
    title = call.asked.title
    try:
        title = title if isinstance(title, UnsetType) else clean_name(title)
    except ValueError as failure:
        raise Problem("bad_request", f"title: {failure}") from None
    days = call.asked.retention_days
    intent = UpdateConversation(
        **_common(call), title=title, history=call.asked.history, retention_days=0 if days is None else days
    )
    return await _change(call, intent)


async def change_mine(call: SignedCall[Mine]) -> Response:
    """Mute, archive or clear a conversation for oneself."""
    asked, muted = call.asked, call.asked.muted_until
    if isinstance(muted, datetime):
        until_ms = min(_FAR_MS, max(0, int(muted.timestamp() * 1000)))
    else:
        until_ms = UNSET if isinstance(muted, UnsetType) else 0
    intent = ChangeMine(**_common(call), muted_until_ms=until_ms, archived=asked.archived, cleared=asked.cleared)
    return await _change(call, intent)


async def block_user(call: SignedCall[Nothing]) -> Response:
    """Hear no more from somebody in the direct conversation with them."""
    return await _block(call, blocked=True)


async def unblock_user(call: SignedCall[Nothing]) -> Response:
    """Hear from somebody again."""
    return await _block(call, blocked=False)


async def list_blocks(call: SignedCall[Nothing]) -> Response:
    """Whom one blocks."""
    return answer(Blocks(await call.api.store.blocks.of_user(call.identity.user_id)))


async def _block(call: SignedCall[Nothing], *, blocked: bool) -> Response:
    me, other = call.identity.user_id, UserId(call.path_id("user_id"))
    if other == me:
        raise Problem("bad_request", "One can not block oneself.")
    if other not in await call.api.store.users.find([other]):
        raise Problem("not_found")
    room = direct_conversation_id(me, other)
    common = change_fields(me, room, call.operation_id(), call.api.answers.channel)
    done = await submit(call.api, SetBlock(**common, user_id=other, blocked=blocked))
    return Response(status_code=204) if done is not None else answer(Accepted(room), 202)


def _common(call: SignedCall[A]) -> dict[str, Any]:
    room = call.path_id("conversation_id")
    return change_fields(call.identity.user_id, room, call.operation_id(), call.api.answers.channel)


async def _change(call: SignedCall[A], intent: Change) -> Response:
    """Have it made, and answer with the conversation as it is then; 202 if that is not known in time."""
    done = await submit(call.api, intent)
    room = ConversationId(intent.conversation_id)
    if done is None:
        return answer(Accepted(room), 202)
    conversation = await call.api.store.lists.one_of_user(room, call.identity.user_id)
    if conversation is None:  # put out meanwhile
        raise Problem("not_member")
    return answer(conversation)


_ANSWERS = {200: Conversation, 202: Accepted}
_ROOM = "/api/conversations/{conversation_id}"

OPERATIONS = [
    signed_in("PATCH", _ROOM, change_conversation, asks=Settings, answers=_ANSWERS, needs="conversations:write"),
    signed_in("PATCH", f"{_ROOM}/mine", change_mine, asks=Mine, answers=_ANSWERS, needs="conversations:write"),
    signed_in("POST", f"{_ROOM}/members", add_members, asks=NewMembers, answers=_ANSWERS, needs="conversations:write"),
    signed_in(
        "PATCH",
        f"{_ROOM}/members/{{user_id}}",
        change_role,
        asks=NewRole,
        answers=_ANSWERS,
        needs="conversations:write",
    ),
    signed_in(
        "DELETE",
        f"{_ROOM}/members/{{user_id}}",
        remove_member,
        asks=Nothing,
        answers={**_ANSWERS, 204: None},
        needs="conversations:write",
    ),
    signed_in("PUT", "/api/users/{user_id}/block", block_user, asks=Nothing, answers={204: None, 202: Accepted}),
    signed_in("DELETE", "/api/users/{user_id}/block", unblock_user, asks=Nothing, answers={204: None, 202: Accepted}),
    signed_in("GET", "/api/blocks", list_blocks, asks=Nothing, answers={200: Blocks}),
]
