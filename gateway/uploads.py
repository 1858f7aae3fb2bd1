"""The way of a file into quarantine, and the link to one that is clean: what REST and S3 have to do with each other."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Generator, Sequence
from typing import Final

import structlog

from backplane.errors import Permanent, Transient
from backplane.objects.failures import WrongSize
from backplane.objects.s3 import Objects
from backplane.objects.shapes import Upload
from backplane.scans import Scans
from backplane.settings import Settings
from backplane.store.attachments import Attachments, StoredAttachment, next_version
from backplane.store.together import Together
from gateway.problems import Problem
from schemas.ids import AttachmentId, UserId

CHUNK_SECONDS: Final = 30.0
"""How long a client may be silent in the middle of its upload."""
SLOWEST_BYTES_PER_SECOND: Final = 16_384
"""An upload is given up when it takes longer than this and `CHUNK_SECONDS`: it has one of a few places."""
BUSY_RETRY_MS: Final = 2000
ANNOUNCED_AT_ONCE: Final = 50
"""To see whether there is room reads all of a person's files: for those that come at once it is read once, and messages go on in the
database beside it."""
_ROUNDS: Final = 5

_log = structlog.get_logger(__name__)


class Uploads:
    """Made once. Without an object store or a scanner nothing is taken; what was taken before is still served."""

    def __init__(self, settings: Settings, objects: Objects | None, attachments: Attachments, scans: Scans) -> None:
        self._settings, self._objects, self._attachments, self._scans = settings, objects, attachments, scans
        self._slots = asyncio.Semaphore(settings.uploads_at_once)
        self._passing: Counter[UserId] = Counter()
        self._most_each = max(1, settings.uploads_at_once // 2)
        self._rooms = Together[StoredAttachment, StoredAttachment | None](
            self._take_room, lanes=1, limit=ANNOUNCED_AT_ONCE
        )

    @property
    def objects(self) -> Objects:
        """The object store.

        Raises:
            Problem: `unsupported`, there is none.
        """
        if self._objects is None:
            raise Problem("unsupported", "This server takes no files.")
        return self._objects

    def check_open(self) -> None:
        """Go on if files are taken.

        Raises:
            Problem: `unsupported`, or `scanner_unavailable`: nothing would ever be served.
        """
        _ = self.objects
        if not self._settings.scanner_url:
            raise Problem("scanner_unavailable")

    async def announce(self, wanted: StoredAttachment) -> StoredAttachment:
        """Take the file's room if there is as much. Returns what is stored.

        Raises:
            Problem: `quota_exceeded`.
        """
        stored = await self._rooms.call([wanted])
        if stored is None:
            quota = self._settings.attachment_quota_bytes
            raise Problem(
                "quota_exceeded", f"Your files may take {quota} bytes together; delete messages that hold some."
            )
        return stored

    async def form(self, attachment: StoredAttachment) -> Upload:
        """A form that takes this file and no other."""
        with _as_problems():
            return await self.objects.presign_upload(
                attachment.quarantine_key,
                attachment.content_type,
                min_bytes=attachment.size,
                max_bytes=attachment.size,
                seconds=self._settings.upload_seconds,
                sha256=bytes.fromhex(attachment.sha256) if attachment.sha256 else None,
            )

    async def pass_through(self, attachment: StoredAttachment, chunks: AsyncIterator[bytes]) -> None:
        """Store a client's stream; holds a few MiB of it at most.

        Raises:
            Problem: `overloaded`, too many do this, or this person does; `bad_request`, it is longer or shorter than announced, stopped in the
                middle, or is too slow.
        """
        person = attachment.owner_id
        if self._slots.locked() or self._passing[person] >= self._most_each:
            raise Problem("overloaded", retry_after_ms=BUSY_RETRY_MS)
        self._passing[person] += 1
        try:
            async with self._slots, asyncio.timeout(CHUNK_SECONDS + attachment.size / SLOWEST_BYTES_PER_SECOND):
                with _as_problems():
                    await self.objects.quarantine.put_stream(
                        attachment.quarantine_key, _punctual(chunks), attachment.content_type, attachment.size
                    )
        except TimeoutError:
            raise Problem("bad_request", f"It came slower than {SLOWEST_BYTES_PER_SECOND} bytes a second.") from None
        finally:
            self._passing[person] -= 1
            if not self._passing[person]:
                del self._passing[person]

    async def complete(self, attachment: StoredAttachment, now_ms: int) -> StoredAttachment:
        """Note what was uploaded, and ask for its scan. Done already is done.

        Raises:
            Problem: `attachment_not_ready`: there is nothing, or something of another size; upload it (again).
        """
        with _as_problems():
            there = await self.objects.quarantine.head(attachment.quarantine_key)
        if there is None or there.size != attachment.size:
            raise Problem("attachment_not_ready", f"The {attachment.size} bytes that were announced are not uploaded.")
        for _ in range(_ROUNDS):
            if attachment.status != "uploading":
                return attachment
            after = next_version(attachment, status="pending", etag=there.etag, queued_ms=now_ms)
            if await self._attachments.change([(attachment, after)]):
                await self._ask(after)
                return after
            attachment = await self._again(attachment)
        raise Problem("conflict")

    async def withdraw(self, attachment: StoredAttachment, now_ms: int) -> None:
        """Let go of a file that no message holds.

        Raises:
            Problem: `attachment_used`.
        """
        for _ in range(_ROUNDS):
            if attachment.message_id is not None:
                raise Problem("attachment_used", "The file belongs to a message; delete that one.")
            if await self._attachments.change([(attachment, next_version(attachment, gone_ms=now_ms, loose_ms=None))]):
                return
            attachment = await self._again(attachment)
        raise Problem("conflict")

    async def link(self, attachment: StoredAttachment, *, thumbnail: bool) -> str:
        """A link to a clean file, or to the picture that was made of it."""
        with _as_problems():
            if thumbnail:
                return await self.objects.presign_download(
                    attachment.thumbnail_key,
                    self._settings.download_seconds,
                    file_name=f"{attachment.name}.thumbnail",
                    content_type=attachment.thumbnail_type or "",
                    inline=True,
                )
            return await self.objects.presign_download(
                attachment.clean_key,
                self._settings.download_seconds,
                file_name=attachment.name,
                content_type=attachment.served_type or "application/octet-stream",
            )

    async def _take_room(self, calls: list[Sequence[StoredAttachment]]) -> list[StoredAttachment | None]:
        """Take the room of files that were announced at once, in their order; what is stored of each, None where it does not fit.

        Looked at again afterwards: of two gateways' files that do not fit together, none is taken.
        """
        quota = self._settings.attachment_quota_bytes
        wanted = {one.attachment_id: one for (one,) in calls}
        owners = {one.owner_id for one in wanted.values()}
        used = Counter(await self._attachments.used_bytes(owners))
        stored: dict[AttachmentId, StoredAttachment | None] = dict.fromkeys(wanted)
        for key, one in wanted.items():
            # Looked at before, too: one that can not fit must not be in the way of another that does, if only for a moment.
            if used[one.owner_id] + one.size <= quota:
                used[one.owner_id] += one.size
                stored[key] = await self._attachments.create(one)
            else:
                stored[key] = await self._attachments.get(key)  # a repeat, which takes no more room
        used = await self._attachments.used_bytes(owners)
        for key, one in wanted.items():
            # One that was there before is a repeat's, who was told that there is room.
            if stored[key] is one and used.get(one.owner_id, 0) > quota:
                stored[key] = None
                await self._attachments.discard(key)
        return [stored[one.attachment_id] for (one,) in calls]

    async def _ask(self, attachment: StoredAttachment) -> None:
        try:
            await self._scans.add(attachment.attachment_id)
        except (Transient, Permanent) as failure:  # the sweep finds what waits and is not in the queue
            _log.warning("a scan could not be asked for yet", error=str(failure))

    async def _again(self, attachment: StoredAttachment) -> StoredAttachment:
        found = await self._attachments.get(attachment.attachment_id)
        if found is None or found.gone_ms is not None:
            raise Problem("not_found")
        return found


@contextlib.contextmanager
def _as_problems() -> Generator[None]:
    """S3's failures as a client is told of them; that S3 is away is `unavailable`, like everything that passes."""
    try:
        yield
    except WrongSize:
        raise Problem("bad_request", "The body has not the size that was announced.") from None
    except Permanent as failure:
        _log.error("the object store refused a request", error=str(failure))
        raise Problem("unavailable") from failure


async def _punctual(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    stream = aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem("bad_request", f"Nothing came for {CHUNK_SECONDS:.0f} s.") from None
        if chunk:
            yield chunk
