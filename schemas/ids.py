"""Identifiers, positions in a user's log, and the pure functions that place conversations and users.

Everything here is deterministic: two processes that see the same request derive the same identifier and the same
partition, which is what makes a repeated request the same document in the same place (holes A7, B12).
"""

import re
import uuid
import zlib
from typing import NamedTuple, NewType, Self

UserId = NewType("UserId", str)
SessionId = NewType("SessionId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
ClientMsgId = NewType("ClientMsgId", str)
ClientOpId = NewType("ClientOpId", str)
OperationId = NewType("OperationId", str)
IntentId = NewType("IntentId", str)
AttachmentId = NewType("AttachmentId", str)

SYSTEM = UserId("system")
"""Who acts where nobody does: retention, and an operator's tools."""

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)"
MENTION_PATTERN = UUID_PATTERN.replace("^", "^(?:all|").replace("$", ")$")

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader and Lua keep exact (RFC 8259, section 6)."""

_NAMESPACE = uuid.UUID("6f1f5a0e-0d5a-5c1e-9d0c-68656164726b")
_POSITION = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")


class Position(NamedTuple):
    """A place in one user's log: `offset` is dense within `epoch`; positions of different epochs have no order."""

    epoch: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<epoch>-<offset>`.

        Raises:
            ValueError: it is not two decimal numbers below 2⁵³ joined by a hyphen.
        """
        match = _POSITION.fullmatch(text)
        if match is None or max(epoch := int(match[1]), offset := int(match[2])) > MAX_SAFE_INTEGER:
            raise ValueError(f"not a position: {text[:64]!r}; expected <epoch>-<offset>")
        return cls(epoch, offset)

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"


class StreamId(NamedTuple):
    """The id of a stream entry, ordered as Redis orders it: `'…-10'` is after `'…-9'` (hole B7)."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read `<ms>-<seq>` as Redis prints it.

        Raises:
            ValueError: it is not a complete stream id.
        """
        ms, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(ms), int(seq))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


def partition_of(conversation_id: ConversationId, partitions: int) -> int:
    """The partition, 0 ≤ p < `partitions`, whose streams carry this conversation."""
    return zlib.crc32(conversation_id.encode()) % partitions


def shard_of(user_id: UserId, shards: int) -> int:
    """The user shard, 0 ≤ u < `shards`, whose slot holds this user's log."""
    return zlib.crc32(user_id.encode()) % shards


def message_id_of(conversation_id: ConversationId, sender_id: UserId, client_msg_id: ClientMsgId) -> MessageId:
    """The id of the message that this send makes, the same for every resend of it (docs/adr/0001)."""
    return MessageId(str(uuid.uuid5(_NAMESPACE, f"message:{conversation_id}:{sender_id}:{client_msg_id}")))


def attachment_id_of(owner_id: UserId, key: str) -> AttachmentId:
    """The id of the file that its sender announces under this key, the same for every repeat of the request."""
    return AttachmentId(str(uuid.uuid5(_NAMESPACE, f"attachment:{owner_id}:{key}")))


def operation_id_of(conversation_id: ConversationId, actor_id: UserId, client_op_id: ClientOpId) -> OperationId:
    """The id under which a change is remembered, the same for every resend of it (docs/adr/0003)."""
    return OperationId(str(uuid.uuid5(_NAMESPACE, f"operation:{conversation_id}:{actor_id}:{client_op_id}")))


def direct_conversation_id(one: UserId, other: UserId) -> ConversationId:
    """The one direct conversation of two people, whoever asks for it."""
    low, high = sorted((one, other))
    return ConversationId(str(uuid.uuid5(_NAMESPACE, f"direct:{low}:{high}")))


def group_conversation_id(creator_id: UserId, idempotency_key: str) -> ConversationId:
    """The group that this creator made under this key, the same for every repeat of the request."""
    return ConversationId(str(uuid.uuid5(_NAMESPACE, f"group:{creator_id}:{idempotency_key}")))
