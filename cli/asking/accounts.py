"""What `headrace users disable`, `enable` and `sign-out` do: MongoDB first, which lasts, then Redis, which is quick. Each may be repeated."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from backplane.revocations import Revocations
from backplane.store.mongo import Store
from backplane.store.users import StoredUser
from cli.asking import systems
from cli.asking.users import find, operator


class _Account(NamedTuple):
    store: Store
    revocations: Revocations
    user: StoredUser
    now_ms: int

    async def end_sessions(self) -> int:
        """End all sessions; how many ended lately."""
        ended = await self.store.sessions.revoke_all(self.user.user_id, now_ms=self.now_ms)
        await self.revocations.end(self.user.user_id, ended)
        return len(ended)

    async def note(self, event: str) -> None:
        """Say it in the audit log; before it is done, because what is done must be there."""
        await self.store.audit.append(event, actor=operator(), at_ms=self.now_ms, subject_id=self.user.user_id)


async def disable(user: str) -> str:
    """Shut somebody out.

    Raises:
        Failure: there is nobody of that name.
    """
    async with _account(user) as account:
        store, user_id = account.store, account.user.user_id
        await account.note("user.disabled")
        await store.users.disable(user_id)
        await account.revocations.disable(user_id)
        await account.end_sessions()
        bots = [bot.user_id for bot in await store.users.bots_of(user_id)]
        for bot in bots:
            await account.revocations.disable(bot)
        webhooks = [one for owner in (user_id, *bots) for one in await store.webhooks.of_owner(owner) if one.enabled]
        for webhook in webhooks:
            await store.webhooks.disable(webhook.webhook_id, "its owner is disabled")
        return f"{account.user.username} is shut out; bots: {len(bots)}, webhooks disabled: {len(webhooks)}"


async def enable(user: str) -> str:
    """Let somebody in again. Raises as `disable`."""
    async with _account(user) as account:
        await account.note("user.enabled")
        store, user_id = account.store, account.user.user_id
        await store.users.disable(user_id, disabled=False)
        await account.revocations.enable(user_id)
        for bot in await store.users.bots_of(user_id):
            if not bot.disabled:
                await account.revocations.enable(bot.user_id)
        return f"{account.user.username} may sign in; webhooks stay disabled (`headrace webhooks enable`)"


async def sign_out(user: str) -> str:
    """End all sessions of somebody. Raises as `disable`."""
    async with _account(user) as account:
        await account.note("session.ended")
        return f"{account.user.username} is signed out; sessions that ended: {await account.end_sessions()}"


@asynccontextmanager
async def _account(user: str) -> AsyncGenerator[_Account]:
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store, systems.the_redis(settings) as redis:
        revocations = Revocations(redis, token_seconds=settings.access_token_seconds)
        yield _Account(store, revocations, await find(store, user), time.time_ns() // 1_000_000)
