"""`headrace users erase`: a person is taken out of every conversation by intents, then out of everything else.

The intents are the system's, and go the ordinary way: so they are numbered, told to everybody and survive every crash. Their keys are
made from what they change, so that to begin anew does nothing twice.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from uuid_utils import uuid7

from backplane.errors import Transient
from backplane.logs import Logs
from backplane.redis import Redis
from backplane.revocations import Revocations
from backplane.settings import Settings
from backplane.store.attachments import StoredAttachment, next_version
from backplane.store.conversations import StoredMember
from backplane.store.messages import StoredMessage
from backplane.store.mongo import Store
from backplane.streams import Intents
from cli import output
from cli.asking import systems
from cli.asking.users import find, operator, pages, reactions_of
from cli.failures import Failure
from schemas.ids import SYSTEM, ClientOpId, ConversationId, IntentId, UserId
from schemas.intents import ChangeRole, DeleteMessage, Intent, RemoveMember, RemoveReaction, encode_intent

WAIT_SECONDS = 60.0
_AT_ONCE = 200


@dataclass(slots=True)
class Erased:
    """How much went."""

    conversations: int = 0
    messages: int = 0
    reactions: int = 0
    attachments: int = 0


async def erase(user: str, *, execute: bool) -> output.Row:
    """Erase a person; without `execute`, count what would go.

    Raises:
        Failure: there is nobody of that name, or the consumers do not get on.
    """
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store, systems.the_redis(settings) as redis:
        found = await find(store, user)
        eraser = Eraser(settings, store, redis, found.user_id)
        if execute:
            await eraser.shut_out()
        await eraser.take_out(execute=execute)
        if execute:
            await eraser.forget()
        counts = eraser.erased
        return {
            "user_id": found.user_id,
            "username": found.username,
            "conversations": counts.conversations,
            "messages": counts.messages,
            "reactions": counts.reactions,
            "attachments": counts.attachments,
            "erased": execute,
        }


class Eraser:
    """The erasure of one person, step by step; each may be repeated."""

    def __init__(
        self, settings: Settings, store: Store, redis: Redis, user_id: UserId, *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._store, self._user_id, self._names = store, user_id, redis.names
        self._wait_seconds = wait_seconds
        self._intents = Intents(redis, limit=2 * _AT_ONCE)
        self._revocations = Revocations(redis, token_seconds=settings.access_token_seconds)
        self._logs = Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)
        self.erased = Erased()

    async def shut_out(self) -> None:
        """Nobody signs in as them any more, nor as a bot of theirs."""
        now_ms = _now_ms()
        await self._audit("user.erase.begun")
        await self._store.sessions.delete_all(self._user_id)
        for bot in [self._user_id, *(bot.user_id for bot in await self._store.users.bots_of(self._user_id))]:
            await self._store.users.disable(bot)
            await self._revocations.disable(bot)
            await self._store.bot_tokens.revoke_all(bot, now_ms=now_ms)
        for webhook in await self._store.webhooks.of_owner(self._user_id):
            await self._store.webhooks.delete(webhook.webhook_id)

    async def take_out(self, *, execute: bool) -> None:
        """Out of one conversation after the other; the files of deleted messages are withdrawn with them."""
        self.erased.attachments = len(await self._files())
        for member in await self._store.conversations.memberships(self._user_id):
            self.erased.conversations += member.current
            async for page in pages(self._store, member.conversation_id):
                todo = [intent for message in page for intent in self._of_message(message)]
                for start in range(0, len(todo) if execute else 0, _AT_ONCE):
                    await self._send(todo[start : start + _AT_ONCE])
            if execute:
                await self._leave(member)
                await self._store.marks.delete_of(member.conversation_id, self._user_id)

    async def forget(self) -> None:
        """What is not in a conversation."""
        await self._store.blocks.delete_of(self._user_id)
        await self._withdraw_files()
        await self._store.users.erase(self._user_id, now_ms=_now_ms())
        await self._logs.drop([self._user_id])
        counts = self.erased
        await self._audit(
            "user.erased", conversations=counts.conversations, messages=counts.messages, reactions=counts.reactions
        )

    async def _withdraw_files(self) -> None:
        """Those that no message held. The consumers' sweep deletes what is withdrawn."""
        while left := await self._files():
            changes = [(one, next_version(one, gone_ms=_now_ms(), loose_ms=None)) for one in left]
            await self._store.attachments.change(changes)

    async def _files(self) -> list[StoredAttachment]:
        return [one for one in await self._store.attachments.of_owner(self._user_id) if one.gone_ms is None]

    def _of_message(self, message: StoredMessage) -> Iterator[Intent]:
        if message.sender_id == self._user_id and not message.wiped:
            self.erased.messages += 1
            common = self._common(message.conversation_id, f"message:{message.message_id}")
            yield DeleteMessage(**common, message_id=message.message_id)
        for emoji in reactions_of(message, self._user_id):
            self.erased.reactions += 1
            common = self._common(message.conversation_id, f"reaction:{message.message_id}:{message.rev}:{emoji}")
            yield RemoveReaction(**common, message_id=message.message_id, emoji=emoji, user_id=self._user_id)

    async def _leave(self, member: StoredMember) -> None:
        """The last intent of a conversation: once they are out, everything before it is done."""
        room = member.conversation_id
        if member.current:
            if member.role == "owner" and (heir := await self._heir(room)):
                # Given away by the owner, who is an admin then: only so has the conversation one owner all the time.
                by_owner: dict[str, Any] = {**self._common(room, f"heir:{member.version}"), "actor_id": self._user_id}
                await self._send([ChangeRole(**by_owner, user_id=heir, role="owner")])
            await self._send([RemoveMember(**self._common(room, f"member:{member.version}"), user_id=self._user_id)])
        deadline = time.monotonic() + self._wait_seconds
        while await self._is_there(room):
            if time.monotonic() > deadline:
                raise Failure(
                    f"conversation {room} is not done after {self._wait_seconds:.0f} s: do the consumers run? Call this again"
                )
            await asyncio.sleep(0.1)

    async def _is_there(self, room: ConversationId) -> bool:
        """Whether anything of theirs is left in a conversation."""
        member = await self._store.conversations.member(room, self._user_id)
        if member is not None and member.current:
            return True
        async for page in pages(self._store, room):
            if any(True for message in page if self._is_of(message)):
                return True
        return False

    def _is_of(self, message: StoredMessage) -> bool:
        mine = message.sender_id == self._user_id and not message.wiped
        return mine or bool(reactions_of(message, self._user_id))

    async def _heir(self, room: ConversationId) -> UserId | None:
        """Who has been there longest: an admin, or else a member."""
        members = (await self._store.conversations.members([room]))[room]
        others = [one for one in members if one.current and one.user_id != self._user_id]
        heirs = sorted(others, key=lambda one: (one.role != "admin", one.spans[-1][0], one.user_id))
        return heirs[0].user_id if heirs else None

    def _common(self, room: ConversationId, key: str) -> dict[str, Any]:
        return {
            "intent_id": IntentId(str(uuid7())),
            "conversation_id": room,
            "actor_id": SYSTEM,
            "client_op_id": ClientOpId(f"erase:{self._user_id}:{key}"),
            "at_ms": _now_ms(),
        }

    async def _send(self, intents: Sequence[Intent]) -> None:
        try:
            await asyncio.gather(
                *(
                    self._intents.append(self._names.partition_of(one.conversation_id), encode_intent(one))
                    for one in intents
                )
            )
        except Transient as failure:
            raise Failure(f"{failure}; call this again, it goes on where it was") from failure

    async def _audit(self, event: str, **detail: Any) -> None:
        await self._store.audit.append(event, actor=operator(), at_ms=_now_ms(), subject_id=self._user_id, **detail)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
