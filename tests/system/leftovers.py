"""What is there after the end of a scene: in the database, read past all our own code, and as a fresh fetch shows it."""

from typing import Any

import httpx2
import pymongo

from backplane.settings import Settings
from tests.histories import records
from tests.histories.client import Client
from tests.histories.fetching import Fetching


def stored(settings: Settings, conversations: set[str]) -> list[records.Record]:
    """The messages, memberships and changes of these conversations."""
    with pymongo.MongoClient[dict[str, Any]](settings.mongodb_url.get_secret_value()) as client:
        database = client[settings.mongodb_database]
        messages, members, operations = (
            [one for one in database[name].find({}) if one.get("conversation_id") in conversations]
            for name in ("messages", "members", "operations")
        )
    return [
        *(records.Stored(message=_text(one)) for one in messages),
        *(
            records.Spans(conversation_id=one["conversation_id"], user=one["user_id"], spans=[tuple(s) for s in one["spans"]])
            for one in members
        ),
        *(
            records.Recorded(
                conversation_id=one["conversation_id"], user=one["actor_id"], client_op_id=one.get("client_op_id", ""),
                code=one.get("code", ""),
            )
            for one in operations
        ),
    ]  # fmt: skip


def _text(document: dict[str, Any]) -> records.Text:
    return records.Text(
        message_id=document["_id"], conversation_id=document["conversation_id"], seq=document["seq"],
        rev=document["rev"], sender_id=document["sender_id"], client_msg_id=document["client_msg_id"],
        text=document["text"], deleted=document.get("deleted_ms") is not None,
        pinned=document.get("pinned_ms") is not None, reactions=document.get("reactions", {}),
    )  # fmt: skip


async def fresh(http: httpx2.AsyncClient, addresses: list[str], client: Client) -> list[records.Record]:
    """What a new device of the same person would load, all of it."""
    fetching = Fetching(http, addresses, client.token)
    found: list[records.Record] = []
    async for page in fetching.states():
        for room in page.conversations:
            messages = await fetching.changed_since(room.conversation_id, 0)
            found.append(
                records.Fresh(
                    user=client.user, conversation_id=room.conversation_id, rev=room.rev,
                    members=[member.as_record() for member in room.members],
                    messages=[message.as_text() for message in messages],
                )
            )  # fmt: skip
    return found
