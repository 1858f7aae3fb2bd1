"""Who asks for what is too old to go: the owner of partition 0 looks for it, and asks persist by intents like everybody else's.

So a message goes in the order of everything else that happens in its conversation. To ask twice does no harm: the key of what is
asked is made from what was found.
"""

import asyncio
from time import time
from typing import Protocol

import structlog
from uuid_utils import uuid7

from backplane import telemetry
from backplane.errors import Permanent, Transient
from backplane.settings import Settings
from backplane.store.expiry import Due
from backplane.streams import Intents
from consumers.tenure import Tenure
from schemas.ids import SYSTEM, ClientOpId, IntentId
from schemas.intents import ExpireMessages, encode_intent

AT_ONCE = 100
"""Conversations that are asked for before it is looked again."""
_SOON_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Finds(Protocol):
    """What it needs of `backplane.store.expiry.Expiry`."""

    async def due(self, now_ms: int, keep_days: int, *, limit: int) -> list[Due]:
        """Conversations with something too old."""
        ...


async def keep_expired(tenure: Tenure, expiry: Finds, intents: Intents, settings: Settings) -> None:
    """Look every `retention_seconds`, and soon again after something was asked for, until the tenure is over."""
    asked: set[Due] = set()
    wait_seconds = settings.retention_seconds
    while True:
        await tenure.pause(wait_seconds)
        if not tenure.alive:
            return
        try:
            due = set(await expiry.due(int(time() * 1000), settings.retention_days, limit=AT_ONCE))
            # What was asked for and is still there has yet to come to its turn.
            new = due - asked
            await asyncio.gather(*(_ask(intents, one, settings) for one in new))
        except (Transient, Permanent) as failure:
            log.warning("retention: not this time", error=str(failure))
            asked, wait_seconds = set[Due](), settings.retention_seconds
        else:
            asked = due
            wait_seconds = min(settings.retention_seconds, _SOON_SECONDS if new else 2 * wait_seconds)


async def _ask(intents: Intents, due: Due, settings: Settings) -> None:
    now_ms = int(time() * 1000)
    intent = ExpireMessages(
        intent_id=IntentId(str(uuid7())),
        conversation_id=due.conversation_id,
        actor_id=SYSTEM,
        client_op_id=ClientOpId(f"expire:{due.after_seq}:{due.up_to_seq}:{due.oldest_ms}"),
        at_ms=now_ms,
        after_seq=due.after_seq,
        up_to_seq=due.up_to_seq,
    )
    await intents.append(settings.names.partition_of(due.conversation_id), encode_intent(intent))
    telemetry.expired.inc(due.up_to_seq - due.after_seq)
