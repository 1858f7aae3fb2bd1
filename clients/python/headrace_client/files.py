"""Files: up to the object store and down from it, through lost connections.

    upload     announce ─▶ form ─▶ S3, or ─▶ gateway where S3 can not be reached ─▶ complete
    download   link ─▶ S3, on from where the last connection was lost

Whatever fails for a moment is done again from the announcement, or from the link, on; each is fresh then, and none is used twice.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import msgspec

from headrace_client import http, transfer
from headrace_client.backoff import jittered
from headrace_client.carrier import Unconnected, in_thread
from headrace_client.content import File, Landing, Source, Target, landing, look_at
from headrace_client.entities import Attachment
from headrace_client.errors import ApiError, FileChanged, Unreachable
from headrace_client.tries import Tries

Progress = Callable[[int, int], None]
"""Called in the loop with bytes that are through, and bytes in all; the first only rises."""

S = TypeVar("S", bound=msgspec.Struct)

LOOK_S = 0.1
LOOK_CAP_S = 3.0
"""Between two looks for a verdict."""


class _Form(msgspec.Struct, frozen=True):
    url: str
    fields: dict[str, str]


class _Announced(msgspec.Struct, frozen=True):
    attachment: Attachment
    upload: _Form | None = None


class _Link(msgspec.Struct, frozen=True):
    url: str


class Files:
    """One person's files. `Api` has its methods, and says what they do."""

    def __init__(self, address: http.Address, token: Callable[[], Awaitable[str]]) -> None:
        self._address, self._token = address, token

    async def get(self, attachment_id: str) -> Attachment:
        """What became of a file."""
        return _decode(await self._ask("GET", _path(attachment_id)), Attachment)

    async def upload(
        self,
        file: File,
        *,
        name: str | None,
        content_type: str | None,
        key: str | None,
        progress: Progress | None,
        seconds: float,
    ) -> Attachment:
        """Announce, post, complete; as often as it takes."""
        source = await in_thread(
            lambda carrier: look_at(file, name, content_type, carrier.check), lambda _count, _total: None
        )
        key = key or str(uuid.uuid4())
        tries = Tries(seconds, time.monotonic(), hopeless={"scanner_unavailable"})
        told = _Told(progress, tries)
        while True:
            try:
                attachment = await self._upload(source, key, told)
            except (ApiError, Unreachable) as failure:
                await asyncio.sleep(tries.delay_after(failure, time.monotonic()))
            else:
                told(source.size, source.size)
                return attachment

    async def wait_scanned(self, attachment_id: str, seconds: float) -> Attachment:
        """Ask until there is a verdict."""
        pause_s = LOOK_S
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if (found := await self.get(attachment_id)).judged:
                        return found
                    floor = 0.0
                except ApiError as failure:
                    if not failure.temporary:
                        raise
                    floor = failure.retry_after_s or 0.0
                except Unreachable:
                    floor = 0.0
                await asyncio.sleep(max(floor, jittered(pause_s, random.random)))
                pause_s = min(LOOK_CAP_S, pause_s * 1.5)

    async def download(
        self, attachment_id: str, to: Target, *, thumbnail: bool, progress: Progress | None, seconds: float
    ) -> int:
        """Ask for a link, fetch; as often as it takes."""
        tries = Tries(seconds, time.monotonic(), hopeless={"attachment_not_ready"})
        told = _Told(progress, tries)
        with landing(to) as there:
            while True:
                try:
                    return await self._download(attachment_id, there, told, thumbnail=thumbnail)
                except (ApiError, Unreachable) as failure:
                    await asyncio.sleep(tries.delay_after(failure, time.monotonic()))

    # One try

    async def _upload(self, source: Source, key: str, told: "_Told") -> Attachment:
        announced, known = await self._announce(source, key)
        attachment, form = announced.attachment, announced.upload
        if form is None:
            return attachment
        if known and (done := await self._completed(attachment.attachment_id)):
            return done  # it had arrived, and only the answer was lost
        try:
            await in_thread(partial(transfer.post, url=form.url, fields=form.fields, source=source), told)
        except Unconnected:
            path, token = f"{_path(attachment.attachment_id)}/content", await self._token()
            raw = await in_thread(
                partial(transfer.put, address=self._address, path=path, token=token, source=source), told
            )
            return _decode(raw, Attachment)
        return _decode(await self._ask("POST", f"{_path(attachment.attachment_id)}/complete"), Attachment)

    async def _announce(self, source: Source, key: str) -> tuple[_Announced, bool]:
        """Also, whether it was announced before."""
        body = {
            "name": source.name,
            "content_type": source.content_type,
            "size": source.size,
            "sha256": source.sha256,
        }
        status, raw = await http.request(
            self._address,
            "POST",
            "/api/attachments",
            token=await self._token(),
            body=body,
            headers={"Idempotency-Key": key},
        )
        return _decode(raw, _Announced), status != 201

    async def _completed(self, attachment_id: str) -> Attachment | None:
        try:
            return _decode(await self._ask("POST", f"{_path(attachment_id)}/complete"), Attachment)
        except ApiError as failure:
            if failure.code != "attachment_not_ready":
                raise
            return None

    async def _download(self, attachment_id: str, there: Landing, told: "_Told", *, thumbnail: bool) -> int:
        what = "thumbnail" if thumbnail else "content"
        link = _decode(await self._ask("GET", f"{_path(attachment_id)}/{what}"), _Link)
        size = None if thumbnail else (await self.get(attachment_id)).size
        await in_thread(partial(transfer.fetch, url=link.url, landing=there), told)
        if size is not None and there.place.offset != size:
            raise FileChanged(f"the file has {size} bytes, and the object store gave {there.place.offset}")
        return there.place.offset

    async def _ask(self, method: str, path: str) -> bytes:
        return (await http.request(self._address, method, path, token=await self._token()))[1]


class _Told:
    """Tells a program how far a transfer is: of a second try only what is beyond the first. And its tries, that it gets on."""

    def __init__(self, progress: Progress | None, tries: Tries) -> None:
        self._progress, self._tries = progress, tries
        self._most = 0

    def __call__(self, count: int, total: int | None, /) -> None:
        """So many bytes are through."""
        if count <= self._most:
            if count:
                self._tries.moved(time.monotonic())
            return
        self._most = count
        self._tries.advanced(time.monotonic())
        if self._progress is not None:
            self._progress(count, total or count)


def _decode(raw: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as failure:
        raise Unreachable(f"something else than the server answered: {failure}") from None


def _path(attachment_id: str) -> str:
    return f"/api/attachments/{quote(attachment_id, safe='')}"
