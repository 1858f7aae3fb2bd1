"""Intents to put on streams."""

import uuid

from schemas.ids import partition_of
from schemas.intents import SendMessage
from schemas.marks import Mark

PARTITIONS = 4


def conversation_in(partition: int) -> str:
    """A conversation that this partition carries."""
    while partition_of(found := str(uuid.uuid4()), PARTITIONS) != partition:
        pass
    return found


def an_intent(conversation_id: str, text: str = "hello", actor_id: str = "ada") -> SendMessage:
    return SendMessage(
        intent_id=str(uuid.uuid4()),
        conversation_id=conversation_id,
        actor_id=actor_id,
        client_msg_id=str(uuid.uuid4()),
        text=text,
        at_ms=1_795_000_000_000,
    )


def a_mark(conversation_id: str, read_seq: int = 1, actor_id: str = "ada") -> Mark:
    return Mark(str(uuid.uuid4()), conversation_id, actor_id, 1_795_000_000_000, read_seq=read_seq)
