"""A migrated store in a database of the test's own, and shapes to fill it with."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backplane.settings import Settings, load_settings
from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.messages import StoredMessage
from backplane.store.mongo import Store
from tests.services import free_port


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.open(settings)
    await store.migrate(settings.names)
    yield store
    await store.close()


def new_id() -> str:
    return str(uuid.uuid4())


def a_message(conversation_id: str, seq: int, **fields: Any) -> StoredMessage:
    given = {
        "message_id": new_id(),
        "rev": seq,
        "sender_id": "ada",
        "client_msg_id": new_id(),
        "intent_id": new_id(),
        "body_hash": "0" * 64,
        "text": f"message {seq}",
        "created_ms": 1_795_000_000_000 + seq,
    }
    return StoredMessage(conversation_id=conversation_id, seq=seq, **(given | fields))


def a_void(conversation_id: str, seq: int) -> StoredMessage:
    return a_message(conversation_id, seq, sender_id=None, client_msg_id=f"void:{seq}", text=None, void=True)


def a_conversation(conversation_id: str, **fields: Any) -> StoredConversation:
    given = {
        "kind": "group",
        "title": None,
        "created_by": "ada",
        "created_ms": 1_795_000_000_000,
        "intent_id": new_id(),
        "body_hash": "0" * 64,
        "rev": 1,
        "last_seq": 0,
    }
    return StoredConversation(conversation_id=conversation_id, **(given | fields))


def a_member(conversation_id: str, user_id: str, **fields: Any) -> StoredMember:
    given = {"role": "member", "rev": 1, "spans": ((1, None),)}
    return StoredMember(conversation_id=conversation_id, user_id=user_id, **(given | fields))


@pytest.fixture
async def dead_store() -> AsyncIterator[Store]:
    """A store whose MongoDB is not there."""
    settings = load_settings(
        {},
        environment="development",
        mongodb_url=f"mongodb://127.0.0.1:{free_port()}/",
        mongodb_timeout_seconds=0.5,
    )
    store = await Store.open(settings)
    yield store
    await store.close()
