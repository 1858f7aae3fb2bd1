"""The REST side: accounts, conversations, history; and the state that a resync begins from.

`Api.token` is what a `Client` wants as its token: it signs in again by itself while the refresh token lives.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from headrace_client import http
from headrace_client.content import File, Target
from headrace_client.entities import Attachment, Conversation, Device, Message, Receipt, State, Thread, User
from headrace_client.errors import ApiError, Unreachable
from headrace_client.files import Files, Progress

T = TypeVar("T")

EARLY_S = 90.0
"""A token that ends sooner is replaced: the server warns 60 s ahead."""
REFRESH_PATIENCE_S = (3.0, 3.0, 15.0)
"""How long each try of a refresh waits for the answer: all begin within the 10 s in which the server repeats a lost one."""
MAX_PAGES = 1000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The result of signing in."""

    access_token: str
    expires_in: int
    refresh_token: str | None = None
    session_id: str = ""
    user: User | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list; `next_cursor` is null on the last one."""

    items: tuple[T, ...] = ()
    next_cursor: str | None = None


class Api:
    """One user's view of the REST API. Every call may raise `ApiError` (refused) or `Unreachable` (unknown)."""

    def __init__(self, url: str, session: Session | None = None) -> None:
        self.address = http.Address.parse(url)
        self._session = session
        self._bot_token: str | None = None
        self._expires_at = time.monotonic() + session.expires_in if session else 0.0
        self._refreshing = asyncio.Lock()
        self._files = Files(self.address, self.token)

    @property
    def session(self) -> Session | None:
        """What we are signed in with; keep its refresh token to sign in later without a password."""
        return self._session

    async def register(self, username: str, password: str, display_name: str | None = None) -> Session:
        """Make an account and sign in."""
        body = {"username": username, "password": password, "display_name": display_name}
        return self._signed_in(await self._post("/api/auth/register", _given(body), signed=False))

    async def login(self, username: str, password: str, device: str | None = None) -> Session:
        """Sign in."""
        body = {"username": username, "password": password, "device": device}
        return self._signed_in(await self._post("/api/auth/login", _given(body), signed=False))

    async def bot(self, token: str) -> Session:
        """Sign in as a bot with its token (`hrb_…`); `token()` exchanges it again whenever that is needed."""
        raw = await self._post("/api/auth/bot", {"token": token}, signed=False)
        return self._signed_in(raw, bot_token=token)

    async def refresh(self) -> Session:
        """A new pair of tokens. The old refresh token is spent. A bot exchanges its token again."""
        if self._bot_token is not None:
            return await self.bot(self._bot_token)
        if self._session is None or self._session.refresh_token is None:
            raise ApiError(401, "authentication_failed", "not signed in")
        return self._signed_in(await self._refreshed({"refresh_token": self._session.refresh_token}))

    async def logout(self, *, everywhere: bool = False) -> None:
        """End a person's session; its sockets close. A bot has none to end: its owner revokes its token."""
        await self._post("/api/auth/logout", {"everywhere": everywhere})
        self._session = None

    async def sessions(self) -> tuple[Device, ...]:
        """One's open sessions, the last seen first."""
        return msgspec.json.decode(await self._get("/api/auth/sessions"), type=Page[Device]).items

    async def end_session(self, session_id: str) -> None:
        """Sign another device out; its sockets close."""
        await self._signed("DELETE", f"/api/auth/sessions/{quote(session_id, safe='')}")

    async def change_password(self, current: str, new: str) -> None:
        """Choose another password; every other session ends."""
        await self._post("/api/auth/password", {"current_password": current, "new_password": new})

    async def token(self) -> str:
        """An access token that lives for a while yet. One refresh at a time: a refresh token works once."""
        async with self._refreshing:
            session = self._session
            if session is None or time.monotonic() > self._expires_at - min(EARLY_S, session.expires_in / 2):
                session = await self.refresh()
            return session.access_token

    async def me(self) -> User:
        """Who we are."""
        return msgspec.json.decode(await self._get("/api/me"), type=User)

    async def user(self, user_id: str) -> User:
        """One person."""
        return msgspec.json.decode(await self._get(f"/api/users/{quote(user_id, safe='')}"), type=User)

    async def users(self, query: str) -> tuple[User, ...]:
        """People whose name begins like this."""
        return msgspec.json.decode(await self._get("/api/users", query=query), type=Page[User]).items

    async def conversations(self) -> tuple[Conversation, ...]:
        """All of ours."""
        found: list[Conversation] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = msgspec.json.decode(await self._get("/api/conversations", cursor=cursor), type=Page[Conversation])
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        return tuple(found)

    async def conversation(self, conversation_id: str) -> Conversation:
        """One of ours."""
        return msgspec.json.decode(
            await self._get(f"/api/conversations/{quote(conversation_id, safe='')}"), type=Conversation
        )

    async def create(
        self, kind: str, member_ids: Sequence[str], title: str | None = None, *, key: str | None = None
    ) -> Conversation:
        """A new conversation, or the same again for the same `key`; a direct one with the same person is always the same."""
        body = _given({"kind": kind, "member_ids": list(member_ids), "title": title})
        raw = await self._post("/api/conversations", body, key=key or str(uuid.uuid4()))
        try:
            return msgspec.json.decode(raw, type=Conversation)
        except msgspec.ValidationError:
            raise Unreachable(
                "the conversation was accepted, but is not stored yet; ask again with the same key"
            ) from None

    async def messages(
        self, conversation_id: str, *, before_seq: int | None = None, after_seq: int | None = None, limit: int = 50
    ) -> tuple[Message, ...]:
        """A page of history, lowest `seq` first: the newest, or those before or after a number."""
        path = f"/api/conversations/{quote(conversation_id, safe='')}/messages"
        raw = await self._get(path, before_seq=before_seq, after_seq=after_seq, limit=limit)
        return tuple(sorted(msgspec.json.decode(raw, type=Page[Message]).items, key=lambda message: message.seq))

    async def threads(
        self, conversation_id: str, *, cursor: str | None = None, limit: int = 25
    ) -> tuple[tuple[Thread, ...], str | None]:
        """A page of a conversation's threads, the one with the newest reply first, and the next page's cursor."""
        path = f"/api/conversations/{quote(conversation_id, safe='')}/threads"
        page = msgspec.json.decode(await self._get(path, cursor=cursor, limit=limit), type=Page[Thread])
        return page.items, page.next_cursor

    async def message(self, message_id: str) -> Message:
        """One message."""
        return msgspec.json.decode(await self._get(f"/api/messages/{quote(message_id, safe='')}"), type=Message)

    async def send(
        self, conversation_id: str, text: str = "", *, attachments: Sequence[str] = (), client_msg_id: str | None = None
    ) -> Message | None:
        """Send one message without a socket. None: accepted, but not stored within the server's patience."""
        body = {
            "conversation_id": conversation_id,
            "client_msg_id": client_msg_id or str(uuid.uuid4()),
            "content": {"text": text},
            "attachments": list(attachments) or None,
        }
        raw = await self._post("/api/messages", _given(body))
        try:
            return msgspec.json.decode(raw, type=Message)
        except msgspec.ValidationError:
            return None

    async def attachment(self, attachment_id: str) -> Attachment:
        """A file of ours, or of a message that we may see: what became of it."""
        return await self._files.get(attachment_id)

    async def upload(
        self,
        file: File,
        *,
        name: str | None = None,
        content_type: str | None = None,
        key: str | None = None,
        progress: Progress | None = None,
        seconds: float = 120.0,
    ) -> Attachment:
        """Upload a path, bytes, or a binary file that can seek, from where it stands; what is returned has still to be scanned.

        Name and type are taken from the file if they are not given. The same `key` later goes on with the same file, also in another
        run. Lost connections, and what the server calls temporary, are tried again until nothing has moved for `seconds`.

        Raises:
            ApiError: refused, e.g. `payload_too_large`, `quota_exceeded`, `scanner_unavailable`, `upload_refused` (by the object store).
            FileChanged: the file has become shorter meanwhile.
            OSError: it can not be read.
            ValueError: it is empty.
        """
        return await self._files.upload(
            file, name=name, content_type=content_type, key=key, progress=progress, seconds=seconds
        )

    async def wait_scanned(self, attachment_id: str, seconds: float = 120.0) -> Attachment:
        """Wait for the verdict of a file: `status` is `clean`, or says with `reason` why nobody gets it.

        Raises:
            TimeoutError: there is none yet.
        """
        return await self._files.wait_scanned(attachment_id, seconds)

    async def download(
        self,
        attachment_id: str,
        to: Target,
        *,
        thumbnail: bool = False,
        progress: Progress | None = None,
        seconds: float = 120.0,
    ) -> int:
        """Download a file, or its thumbnail, to a path (as `<name>.part` until it is whole) or into a binary file. Returns its bytes.

        A lost connection is taken up where it was lost; tried again as by `upload`.

        Raises:
            ApiError: refused, e.g. `attachment_not_ready`, `attachment_gone`, `not_found`.
            FileChanged: the object store has something else.
            OSError: it can not be written.
        """
        return await self._files.download(attachment_id, to, thumbnail=thumbnail, progress=progress, seconds=seconds)

    async def add_members(self, conversation_id: str, user_ids: Sequence[str]) -> None:
        """Bring people into a group."""
        await self._signed("POST", f"{_room(conversation_id)}/members", {"user_ids": list(user_ids)})

    async def remove_member(self, conversation_id: str, user_id: str) -> None:
        """Put somebody out of a group, or leave it."""
        await self._signed("DELETE", f"{_room(conversation_id)}/members/{quote(user_id, safe='')}")

    async def change_role(self, conversation_id: str, user_id: str, role: str) -> None:
        """Give a member another role; `owner` is given away."""
        await self._signed("PATCH", f"{_room(conversation_id)}/members/{quote(user_id, safe='')}", {"role": role})

    async def change_conversation(self, conversation_id: str, **settings: object) -> None:
        """Change `title` or `history` for everybody."""
        await self._signed("PATCH", _room(conversation_id), settings)

    async def change_mine(self, conversation_id: str, **settings: object) -> None:
        """Change `muted_until`, `archived` or `cleared` for oneself."""
        await self._signed("PATCH", f"{_room(conversation_id)}/mine", settings)

    async def pin(self, message_id: str, *, pinned: bool = True) -> None:
        """Pin a message for everybody, or take the pin out."""
        await self._signed("PUT" if pinned else "DELETE", f"/api/messages/{quote(message_id, safe='')}/pin")

    async def block(self, user_id: str, *, blocked: bool = True) -> None:
        """Hear no more from somebody in the direct conversation, or again."""
        await self._signed("PUT" if blocked else "DELETE", f"/api/users/{quote(user_id, safe='')}/block")

    async def read(
        self, conversation_id: str, read_seq: int, *, thread_root_id: str | None = None, private: bool = False
    ) -> Receipt | None:
        """Say how far we have read. None: accepted, but not stored within the server's patience."""
        body = {"read_seq": read_seq, "thread_root_id": thread_root_id, "private": private}
        raw = await self._post(f"/api/conversations/{quote(conversation_id, safe='')}/read", _given(body))
        try:
            return msgspec.json.decode(raw, type=Receipt)
        except msgspec.ValidationError:
            return None

    async def sync(self) -> State:
        """The whole state, as of the position of its first page."""
        return await load_state(self.address, await self.token())

    async def _get(self, path: str, **query: str | int | None) -> bytes:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return await self._signed("GET", f"{path}?{given}" if given else path)

    async def _post(self, path: str, body: object, *, key: str | None = None, signed: bool = True) -> bytes:
        headers = {"Idempotency-Key": key} if key else None
        if signed:
            return await self._signed("POST", path, body, headers)
        return (await http.request(self.address, "POST", path, body=body, headers=headers))[1]

    async def _refreshed(self, body: object) -> bytes:
        """A lost answer has spent the token: asked for again at once, it is repeated; later we would be taken for a thief."""
        ask = partial(http.request, self.address, "POST", "/api/auth/refresh", body=body)
        *first, last = REFRESH_PATIENCE_S
        for patience_s in first:
            with contextlib.suppress(Unreachable):
                return (await ask(timeout_s=patience_s))[1]
        return (await ask(timeout_s=last))[1]

    async def _signed(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> bytes:
        token = await self.token()
        return (await http.request(self.address, method, path, token=token, body=body, headers=headers))[1]

    def _signed_in(self, raw: bytes, *, bot_token: str | None = None) -> Session:
        session = msgspec.json.decode(raw, type=Session)
        if session.user is None and self._session is not None:
            session = msgspec.structs.replace(session, user=self._session.user)
        self._bot_token = bot_token
        self._session, self._expires_at = session, time.monotonic() + session.expires_in
        return session


async def load_state(address: http.Address, token: str) -> State:
    """`GET /api/sync`, all its pages: the position is the first page's, so nothing after it can be missed.

    Raises:
        ApiError: it was refused.
        Unreachable: no answer, or one that is no state.
    """
    state = await _state_page(address, token, None)
    conversations, cursor = list(state.conversations), state.next_cursor
    for _ in range(MAX_PAGES):
        if cursor is None:
            break
        page = await _state_page(address, token, cursor)
        conversations += page.conversations
        cursor = page.next_cursor
    return msgspec.structs.replace(state, conversations=tuple(conversations), next_cursor=None)


async def _state_page(address: http.Address, token: str, cursor: str | None) -> State:
    path = "/api/sync" if cursor is None else f"/api/sync?{urlencode({'cursor': cursor})}"
    _, raw = await http.request(address, "GET", path, token=token)
    try:
        return msgspec.json.decode(raw, type=State)
    except msgspec.DecodeError as failure:
        raise Unreachable(f"/api/sync answered something else than a state: {failure}") from None


def _room(conversation_id: str) -> str:
    return f"/api/conversations/{quote(conversation_id, safe='')}"


def _given(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if value is not None}
