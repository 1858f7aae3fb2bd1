"""The road of every change over REST: the same intents as the socket's, and a wait for what came of them (hole C2)."""

from collections.abc import Awaitable

import msgspec

from gateway.intake import Refused
from gateway.problems import Problem
from gateway.rest.api import Api
from schemas.events import Rejection
from schemas.ids import ConversationId, IntentId, MessageId
from schemas.intents import Intent
from schemas.marks import Mark

_REJECTIONS = {"message.rejected", "operation.rejected"}


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="status", tag="accepted"):
    """202: it was taken, and is not done after the wait. An event will tell the outcome; so does the same request again."""

    conversation_id: ConversationId
    message_id: MessageId | None = None
    client_msg_id: str | None = None


async def submit(api: Api, intent: Intent) -> msgspec.Raw | None:
    """Append an intent and wait for its answer: the data of the event it made, None if none was heard in time.

    Raises:
        Problem: it was not taken, or a consumer rejected it; `outcome_unknown`: it may have been taken.
    """
    return await _answered(api, intent.intent_id, api.intake.append(intent))


async def submit_mark(api: Api, mark: Mark) -> msgspec.Raw | None:
    """The same for a mark: the data of the `receipt.updated` with the levels that it came to."""
    return await _answered(api, mark.mark_id, api.intake.append_mark(mark))


async def _answered(api: Api, request_id: IntentId, appending: Awaitable[None]) -> msgspec.Raw | None:
    with api.answers.expect(request_id) as waiter:
        try:
            await appending
        except Refused as refused:
            raise Problem.of(refused.error) from None
        answered = await waiter.wait(api.answers.wait_seconds)
    if answered is None:
        return None
    if answered.event in _REJECTIONS:
        raise Problem.of(msgspec.json.decode(answered.data, type=Rejection).error)
    return answered.data
