"""Shapes to fill a store with; what a test does not say has a plain default."""

import uuid
from typing import Any

from backplane.store.conversations import StoredConversation, StoredMember
from backplane.store.messages import StoredMessage
from backplane.store.sessions import StoredSession
from backplane.store.users import StoredUser


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


def a_user(username: str, **fields: Any) -> StoredUser:
    given = {"user_id": new_id(), "display_name": username.title(), "password_hash": "$argon2id$", "created_ms": 1}
    return StoredUser(username=username, **(given | fields))


def a_session(token_hash: str, **fields: Any) -> StoredSession:
    given = {
        "session_id": new_id(),
        "user_id": "ada",
        "created_ms": 0,
        "expires_ms": 10_000,
        "idle_expires_ms": 5_000,
        "rotated_ms": 0,
    }
    return StoredSession(token_hash=token_hash, **(given | fields))
