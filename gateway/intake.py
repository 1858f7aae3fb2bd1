"""From a checked request to an intent in its stream: the one way in, for the socket and for REST."""

import time
from typing import Any

import structlog
from uuid_utils import uuid7

from backplane import telemetry
from backplane.errors import Permanent, Transient, Unknown
from backplane.streams import Intents
from gateway.limiter import Limiter
from gateway.load import Adds, Load
from schemas import client_frames
from schemas.errors import ErrorBody, error
from schemas.ids import AttachmentId, ClientMsgId, ClientOpId, ConversationId, IntentId, MessageId, UserId
from schemas.intents import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    Intent,
    RemoveReaction,
    SendMessage,
    encode_intent,
)
from schemas.marks import Mark, encode_mark
from schemas.names import Names
from schemas.text import clean_emoji, clean_text

FULL_RETRY_MS = 500

_log = structlog.get_logger(__name__)


class Refused(Exception):
    """The request was not taken; `error` is what the client is told."""

    def __init__(self, error: ErrorBody) -> None:
        super().__init__(error.code)
        self.error = error


def new_intent_id() -> IntentId:
    """An id for one request, as it came: a resend of the same request gets another one."""
    return IntentId(str(uuid7()))


def message_intent(actor: UserId, request: client_frames.SendMessage, *, answer: str | None = None) -> SendMessage:
    """The intent of a `message.send`, its text cleaned; `answer` is the channel of a REST call that waits.

    Raises:
        Refused: the text is none, or a file is named twice.
    """
    if len(set(request.attachments)) < len(request.attachments):
        raise Refused(error("bad_request", "attachments: one is named twice"))
    try:
        text = clean_text(request.content.text, may_be_empty=bool(request.attachments))
    except ValueError as failure:
        raise Refused(error("bad_request", f"content.text: {failure}")) from None
    return SendMessage(
        intent_id=new_intent_id(),
        conversation_id=ConversationId(request.conversation_id),
        actor_id=actor,
        client_msg_id=ClientMsgId(request.client_msg_id),
        text=text,
        at_ms=time.time_ns() // 1_000_000,
        reply_to=request.reply_to,
        thread_root_id=request.thread_root_id,
        mentions=tuple(UserId(user) for user in request.mentions),
        attachments=tuple(AttachmentId(key) for key in request.attachments),
        answer=answer,
    )


def intent_of(
    actor: UserId, request: client_frames.SendMessage | client_frames.ChangeFrame, *, answer: str | None = None
) -> Intent:
    """The intent of a frame; `answer` is the channel of a REST call that waits.

    Raises:
        Refused: `bad_request` or `unsupported`.
    """
    if isinstance(request, client_frames.SendMessage):
        return message_intent(actor, request, answer=answer)
    return _change_intent(request, change_fields(actor, request.conversation_id, request.client_op_id, answer))


def change_fields(actor: UserId, conversation_id: str, client_op_id: str, answer: str | None) -> dict[str, Any]:
    """What every change has, whatever it changes."""
    return {
        "intent_id": new_intent_id(),
        "conversation_id": ConversationId(conversation_id),
        "actor_id": actor,
        "client_op_id": ClientOpId(client_op_id),
        "at_ms": time.time_ns() // 1_000_000,
        "answer": answer,
    }


def _change_intent(request: client_frames.ChangeFrame, common: dict[str, Any]) -> Intent:
    message_id = MessageId(request.message_id)
    try:
        match request:
            case client_frames.EditMessage():
                text = clean_text(request.content.text)
                return EditMessage(**common, message_id=message_id, text=text, expected_rev=request.expected_rev)
            case client_frames.DeleteMessage():
                return DeleteMessage(**common, message_id=message_id)
            case client_frames.AddReaction():
                return AddReaction(**common, message_id=message_id, emoji=clean_emoji(request.emoji))
            case client_frames.RemoveReaction():
                return RemoveReaction(**common, message_id=message_id, emoji=clean_emoji(request.emoji))
    except ValueError as failure:
        raise Refused(error("bad_request", str(failure))) from None


def receipt_mark(actor: UserId, request: client_frames.Receipt, *, answer: str | None = None) -> Mark:
    """The mark of a `receipt`; `answer` is the channel of a REST call that waits.

    Raises:
        Refused: it says nothing.
    """
    if not (request.delivered_seq or request.read_seq):
        raise Refused(error("bad_request", "give `delivered_seq` or `read_seq`, from 1 on"))
    return Mark(
        mark_id=new_intent_id(),
        conversation_id=ConversationId(request.conversation_id),
        actor_id=actor,
        at_ms=time.time_ns() // 1_000_000,
        delivered_seq=request.delivered_seq or 0,
        read_seq=request.read_seq or 0,
        thread_root_id=request.thread_root_id,
        private=request.private,
        answer=answer,
    )


class Intake:
    """Appends intents and marks, unless the server is behind with what they are work for."""

    def __init__(
        self, names: Names, intents: Intents, marks: Intents, load: Load, limiter: Limiter, *, limit: int
    ) -> None:
        self._names, self._load, self._limiter, self._limit = names, load, limiter, limit
        self._streams: dict[Adds, Intents] = {"intents": intents, "receipts": marks}

    async def append(self, intent: Intent) -> None:
        """Returns once Redis has the intent: it is accepted. Intents of one caller keep the order of the calls.

        Raises:
            Refused: `overloaded`, `rate_limited`, `unavailable`: it was not taken. `outcome_unknown`: it may have been.
        """
        try:
            await self._admit(intent)
            await self._append("intents", intent.conversation_id, encode_intent(intent))
        except Refused as refused:
            telemetry.intents.labels(_type(intent), refused.error.code).inc()
            raise
        telemetry.intents.labels(_type(intent), "accepted").inc()
        telemetry.message_seconds.labels("accepted").observe(max(0.0, time.time() - intent.at_ms / 1000))

    async def _admit(self, intent: Intent) -> None:
        self._check_load("intents")  # first: what is refused for us all takes nothing of anybody's share
        if isinstance(intent, SendMessage):
            wait_ms = await self._limiter.message(intent.actor_id, intent.conversation_id)
        else:
            wait_ms = await self._limiter.change(intent.actor_id)
        if wait_ms:
            raise Refused(error("rate_limited", retry_after_ms=wait_ms))

    async def append_mark(self, mark: Mark) -> None:
        """The same for a mark; raises the same. After `outcome_unknown` the same again is harmless."""
        try:
            self._check_load("receipts")
            await self._append("receipts", mark.conversation_id, encode_mark(mark))
        except Refused as refused:
            telemetry.intents.labels("receipt", refused.error.code).inc()
            raise
        telemetry.intents.labels("receipt", "accepted").inc()

    def _check_load(self, stream: Adds) -> None:
        if refusal := self._load.refusal(stream):
            raise Refused(refusal)

    async def _append(self, stream: Adds, conversation_id: ConversationId, entry: bytes) -> None:
        if self._streams[stream].in_flight >= self._limit:
            raise Refused(error("overloaded", retry_after_ms=FULL_RETRY_MS))
        try:
            await self._streams[stream].append(self._names.partition_of(conversation_id), entry)
        except Unknown:
            raise Refused(error("outcome_unknown")) from None
        except Transient:
            raise Refused(error("unavailable")) from None
        except Permanent:
            _log.exception("Redis refused an intent")
            raise Refused(error("internal_error")) from None


def _type(intent: Intent) -> str:
    return str(intent.__struct_config__.tag)
