"""What `headrace users show` and `export` ask."""

import getpass
import time
import uuid
from collections.abc import AsyncIterator, Callable

import msgspec

from backplane.store.attachments import as_attachment
from backplane.store.conversations import StoredMember
from backplane.store.messages import StoredMessage, as_message
from backplane.store.mongo import Store
from backplane.store.users import StoredUser
from cli import output
from cli.asking import systems
from cli.failures import Failure
from schemas.entities import rfc3339
from schemas.ids import ConversationId, UserId

PAGE = 500
Write = Callable[[output.Row], None]


def operator() -> str:
    """Who runs this, for the audit log."""
    return f"operator:{getpass.getuser()}"


async def find(store: Store, user: str) -> StoredUser:
    """The person with this username or id.

    Raises:
        Failure: there is none.
    """
    try:
        user_id = UserId(str(uuid.UUID(user)))
    except ValueError:
        found = await store.users.by_name(user)
    else:
        found = (await store.users.find([user_id])).get(user_id)
    if found is None:
        raise Failure(f"there is no user {user}")
    return found


async def pages(store: Store, conversation_id: ConversationId) -> AsyncIterator[list[StoredMessage]]:
    """All messages of a conversation, ascending."""
    conversation = (await store.conversations.find([conversation_id])).get(conversation_id)
    last_seq = conversation.last_seq if conversation else 0
    for low in range(0, last_seq, PAGE):
        page = await store.messages.between(conversation_id, low, min(low + PAGE, last_seq))
        yield sorted(page.values(), key=lambda message: message.seq)


async def show(user: str) -> output.Row:
    """One person."""
    async with systems.the_store() as store:
        found = await find(store, user)
        members = await store.conversations.memberships(found.user_id)
        sessions = await store.sessions.of_user(found.user_id)
        return {
            "user_id": found.user_id,
            "username": found.username,
            "display_name": found.display_name,
            "email": found.email,
            "created_at": rfc3339(found.created_ms),
            "state": _state(found),
            "conversations": sum(member.current for member in members),
            "open_sessions": sum(session.revoked_ms is None for session in sessions),
            "audit": [f"{rfc3339(one.at_ms)} {one.event}" for one in await store.audit.about(found.user_id)],
        }


def _state(user: StoredUser) -> str:
    if user.erased_ms is not None:
        return f"erased {rfc3339(user.erased_ms)}"
    return "disabled" if user.disabled else "enabled"


async def export(user: str, write: Write) -> None:
    """Write all that is a person's, a row for each thing."""
    async with systems.the_store() as store:
        found = await find(store, user)
        await store.audit.append(
            "user.exported", actor=operator(), at_ms=time.time_ns() // 1_000_000, subject_id=found.user_id
        )
        await _export_account(store, found, write)
        for member in await store.conversations.memberships(found.user_id):
            await _export_conversation(store, member, write)


async def _export_account(store: Store, user: StoredUser, write: Write) -> None:
    write({"kind": "user", **_plain(user, "password_hash")})
    for session in await store.sessions.of_user(user.user_id):
        write({"kind": "session", **_plain(session, "token_hash", "previous_hash")})
    for blocked in await store.blocks.of_user(user.user_id, limit=0):
        write({"kind": "block", "user_id": blocked})
    for bot in await store.users.bots_of(user.user_id):
        write({"kind": "bot", **_plain(bot, "password_hash")})
    for webhook in await store.webhooks.of_owner(user.user_id):
        write({"kind": "webhook", **_plain(webhook, "secret")})
    for file in await store.attachments.of_owner(user.user_id):
        write(
            {"kind": "attachment", **msgspec.to_builtins(as_attachment(file)), "created_at": rfc3339(file.created_ms)}
        )
    for entry in await store.audit.about(user.user_id, limit=0):
        write({"kind": "audit", "event": entry.event, "at": rfc3339(entry.at_ms)})


async def _export_conversation(store: Store, member: StoredMember, write: Write) -> None:
    conversation = (await store.conversations.find([member.conversation_id])).get(member.conversation_id)
    title = conversation.title if conversation else None
    write({"kind": "membership", "title": title, **_plain(member, "ops", "version", "marked_by", "privately_by")})
    for mark in await store.marks.threads_of(member.conversation_id, member.user_id, limit=0):
        write({"kind": "thread_mark", **_plain(mark, "marked_by", "privately_by")})
    async for page in pages(store, member.conversation_id):
        for message in page:
            if message.sender_id == member.user_id:
                write({"kind": "message", **msgspec.to_builtins(as_message(message))})
            for emoji in reactions_of(message, member.user_id):
                place = {"conversation_id": message.conversation_id, "message_id": message.message_id}
                write({"kind": "reaction", **place, "emoji": emoji})


def reactions_of(message: StoredMessage, user_id: UserId) -> list[str]:
    """How a person has reacted to a message."""
    return [emoji for emoji, users in message.reactions.items() if user_id in users]


def _plain(struct: msgspec.Struct, *without: str) -> dict[str, object]:
    """Its fields, by the names that we call them."""
    return {
        name: msgspec.to_builtins(value)
        for name, value in msgspec.structs.asdict(struct).items()
        if name not in without
    }
