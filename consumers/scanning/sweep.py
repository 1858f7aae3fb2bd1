"""What was left: each look mends one kind of leftover, and any of them may be repeated or cut off anywhere.

loose      files that no message holds after a day: withdrawn
lost       files that wait for a verdict and are not in the queue, because Redis has forgotten them: asked for again
untold     verdicts that the message does not show, because Redis has forgotten the intent: told again
gone       withdrawn files: their objects are deleted, and an hour later once more, with all that is known of them: S3 may have copied late
           what was asked for before
strays     objects in quarantine that belong to no file that waits: a form was used again, or S3 did at last what had been given up
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import time
from typing import Final

import structlog

from backplane import telemetry
from backplane.objects.s3 import Objects
from backplane.scans import Scans
from backplane.store.attachments import Attachments, StoredAttachment, next_version
from backplane.store.messages import Messages
from consumers.scanning.telling import Teller
from schemas.ids import AttachmentId

AT_ONCE: Final = 200
MARGIN_MS: Final = 60_000
"""How long anything may take that is under way; and how far the clocks of Redis and of gateways may be apart."""
LATE_MS: Final = 3_600_000
"""After this S3 does nothing any more of what it was asked for."""
PARTS_MS: Final = 2 * 86_400_000
"""How long an upload in parts may take."""
_WAITING: Final = frozenset({"uploading", "pending"})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Swept:
    """How many of each kind."""

    loose: int = 0
    lost: int = 0
    untold: int = 0
    gone: int = 0
    strays: int = 0


class Sweep:
    """Looks at the files of a deployment. Raises as the stores do."""

    def __init__(
        self,
        attachments: Attachments,
        messages: Messages,
        objects: Objects,
        scans: Scans,
        teller: Teller,
        *,
        loose_seconds: int,
        clock: Callable[[], float] = time,
    ) -> None:
        self._attachments, self._messages, self._objects = attachments, messages, objects
        self._scans, self._teller, self._loose_ms = scans, teller, loose_seconds * 1000
        self._clock = clock

    async def look(self, *, strays: bool = True) -> Swept:
        """Mend what is found; `strays` reads a list of the whole quarantine."""
        now_ms = int(self._clock() * 1000)
        swept = Swept()
        swept.loose = await self._withdraw_loose(now_ms)
        swept.lost = await self._ask_for_lost(now_ms)
        swept.untold = await self._tell_untold(now_ms)
        swept.gone = await self._delete_gone(now_ms)
        swept.strays = await self._delete_strays(now_ms) if strays else 0
        counts = asdict(swept)
        for kind, count in counts.items():
            telemetry.swept.labels(kind).inc(count)
        if any(counts.values()):
            log.info("swept", **counts)
        await self._scans.note_swept(counts)
        return swept

    async def _withdraw_loose(self, now_ms: int) -> int:
        count = 0
        for one in await self._attachments.loose(now_ms - self._loose_ms, AT_ONCE):
            count += await self._attachments.change([(one, next_version(one, gone_ms=now_ms, loose_ms=None))])
        return count

    async def _ask_for_lost(self, now_ms: int) -> int:
        """What was asked for before the oldest entry of the queue is not in it. So a queue that is only long is not made longer."""
        depth = await self._scans.depth()
        before_ms = min(now_ms, depth.oldest_ms if depth.oldest_ms is not None else now_ms) - MARGIN_MS
        count = 0
        for one in await self._attachments.with_status("pending", before_ms=before_ms, limit=AT_ONCE):
            if await self._attachments.change([(one, next_version(one, queued_ms=now_ms))]):
                await self._scans.add(one.attachment_id)
                count += 1
        return count

    async def _tell_untold(self, now_ms: int) -> int:
        found = await self._attachments.to_check(now_ms - MARGIN_MS, AT_ONCE)
        messages = await self._messages.find([one.message_id for one in found if one.message_id])
        count = 0
        for one in found:
            message = messages.get(one.message_id) if one.message_id else None
            if one.gone_ms is not None:
                await self._attachments.change([(one, next_version(one, check_ms=None))])
                continue
            if message is None:
                # Bound, and its message never stored: it was refused after a crash, or Redis forgot it.
                if (one.check_ms or 0) < now_ms - self._loose_ms:
                    await self._attachments.change([(one, next_version(one, gone_ms=now_ms, check_ms=None))])
                continue
            shown = next((held for held in message.attachments if held.attachment_id == one.attachment_id), None)
            if message.gone:
                await self._attachments.change([(one, next_version(one, gone_ms=now_ms, check_ms=None))])
            elif shown is not None and shown.attachment.status != one.status:
                await self._teller.tell(one)
                count += 1
            else:
                await self._attachments.change([(one, next_version(one, check_ms=None))])
        return count

    async def _delete_gone(self, now_ms: int) -> int:
        """All that there are, however many: who is erased may have had thousands."""
        count = 0
        while found := await self._attachments.gone(now_ms, AT_ONCE):
            for one in found:
                await self._delete_objects(one)
            first = [one for one in found if not one.cleared]
            cleared = [(one, next_version(one, gone_ms=now_ms + LATE_MS, cleared=True)) for one in first]
            if not await self._attachments.change(cleared):
                break  # somebody else is at it
            await self._attachments.delete([one.attachment_id for one in found if one.cleared])
            count += len(first)
        return count

    async def _delete_objects(self, one: StoredAttachment) -> None:
        await self._objects.quarantine.delete(one.quarantine_key)
        await self._objects.clean.delete(one.clean_key)
        await self._objects.clean.delete(one.thumbnail_key)

    async def _delete_strays(self, now_ms: int) -> int:
        """What is known of a file is written before anything may be stored under its key; and who has a verdict never waits again."""
        count = await self._objects.quarantine.abort_older("", now_ms - PARTS_MS)
        async for info in self._objects.quarantine.list_older("", now_ms - MARGIN_MS):
            one = await self._attachments.get(AttachmentId(info.key.rpartition("/")[2]))
            if one is None or one.status not in _WAITING:
                await self._objects.quarantine.delete(info.key)
                count += 1
        return count
