"""The Python SDK of Headrace: send without losing, receive without gaps.

    async with Client("http://127.0.0.1:8000", token=api.token, store="me.db") as client:
        client.send(conversation_id, "hello")
        async for event in client.events():
            ...

In reading order::

    client                                            what a program asks for
    shell ──frames──▶ core ──effects──▶ shell         shell is I/O alone, core decides and does none
                        ├── outbox                    what waits to be stored
                        ├── marks                     how far we have read, until the server says as much
                        ├── interest                  what we look at, said anew on every connection
                        └── inbox                     what arrives: order, gaps, repeats

    view                conversations as they are now, folded from all of it
    entities, events    what a program sees; and `sending`, what `send` returns
    wire                frames and positions
    effects             what the core asks for
    backoff             how long to wait
    store, progress     what survives a restart (SQLite), and how far the program has come
    tokens              where access tokens come from
    http, rest          the REST API
    files               uploads and downloads: what is asked for, and done again
    ├── tries           whether and when
    ├── multipart       a form with a file, its length known ahead
    ├── ranges          where a download goes on
    ├── content         what is uploaded, where a download lands
    ├── transfer        moves the bytes
    └── carrier         the thread in which it does
    errors              what can go wrong
"""

from headrace_client.client import Client, Stats
from headrace_client.core import Link
from headrace_client.entities import (
    Attachment,
    Blocking,
    Conversation,
    Device,
    Member,
    MemberChanged,
    Message,
    Presence,
    Receipt,
    Rejection,
    SessionRevoked,
    State,
    Thread,
    Thumbnail,
    Typing,
    Unknown,
    User,
    Voided,
)
from headrace_client.errors import ApiError, FileChanged, HeadraceError, OutboxFull, Rejected, Stopped, Unreachable
from headrace_client.events import AnyEvent, Ephemeral, Event, Resynced
from headrace_client.rest import Api, Session
from headrace_client.sending import Sending
from headrace_client.store import StoreInUse
from headrace_client.view import View

__all__ = [
    "AnyEvent",
    "Api",
    "ApiError",
    "Attachment",
    "Blocking",
    "Client",
    "Conversation",
    "Device",
    "Ephemeral",
    "Event",
    "FileChanged",
    "HeadraceError",
    "Link",
    "Member",
    "MemberChanged",
    "Message",
    "OutboxFull",
    "Presence",
    "Receipt",
    "Rejected",
    "Rejection",
    "Resynced",
    "Sending",
    "Session",
    "SessionRevoked",
    "State",
    "Stats",
    "Stopped",
    "StoreInUse",
    "Thread",
    "Thumbnail",
    "Typing",
    "Unknown",
    "Unreachable",
    "User",
    "View",
    "Voided",
]
