"""What `headrace attachments` asks and does: the work itself is the consumers'."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import get_args

from backplane.scans import Scans
from backplane.store.attachments import Attachments, StoredAttachment
from cli import output
from cli.asking import systems
from schemas.attachments import AttachmentStatus
from schemas.entities import rfc3339
from schemas.ids import AttachmentId

_PAGE = 500
_MOST_QUEUED = 10_000
_POLL_SECONDS = 0.2
_ATTEMPTS = 3
"""More than these do not come from a restart or two."""


async def ls(status: AttachmentStatus | None, limit: int) -> list[output.Row]:
    """Attachments, by status."""
    async with systems.the_store() as store:
        if status == "uploading":
            found = await store.attachments.loose(_now_ms(), limit)
            return [_row(one) for one in found if one.status == "uploading"]
        wanted: Sequence[AttachmentStatus] = [status] if status else get_args(AttachmentStatus)
        rows: list[output.Row] = []
        for each in wanted:
            rows += [_row(one) for one in await store.attachments.with_status(each, limit=limit - len(rows))]
            if len(rows) >= limit:
                break
        return rows


async def stuck(older_seconds: int, limit: int) -> list[output.Row]:
    """What should have got further by now, with why not."""
    before_ms = _now_ms() - older_seconds * 1000
    async with systems.the_store() as store:
        pending = await store.attachments.with_status("pending", before_ms=before_ms, limit=limit)
        untold = await store.attachments.to_check(before_ms, limit)
        gone = await store.attachments.gone(before_ms, limit)
    whys = [(one, _why(one)) for one in pending]
    whys += [(one, "its message does not show it yet") for one in untold]
    whys += [(one, "withdrawn, and its objects are not deleted") for one in gone]
    return [_row(one) | {"why": why} for one, why in whys[:limit]]


async def rescan(attachment_ids: Sequence[str], *, execute: bool) -> output.Row:
    """Ask for another scan of these clean files; of none: of all that other signatures have seen."""
    async with systems.the_store() as store, systems.the_redis() as redis:
        scans = Scans(redis)
        seen = await scans.seen()
        now = seen.signatures if seen else ""
        found = asked = 0
        async for one in _clean(store.attachments, attachment_ids):
            if not attachment_ids and now and one.signatures == now:
                continue
            found += 1
            if execute:
                await _room(scans)
                await scans.add(one.attachment_id, "rescan")
                asked += 1
        return {"clean": found, "asked": asked, "signatures": now or None}


async def sweep(wait_seconds: int) -> output.Row | None:
    """Ask for a look at what was left, and wait for it; None if it did not come in time."""
    async with systems.the_redis() as redis:
        scans = Scans(redis)
        entry_id = await scans.add(AttachmentId(""), "sweep")
        until = time.monotonic() + wait_seconds
        while await scans.waits(entry_id):
            if time.monotonic() > until:
                return None
            await asyncio.sleep(_POLL_SECONDS)
        return dict(await scans.swept())


async def _room(scans: Scans) -> None:
    """Until the queue is short enough for one more: new files are not to wait behind everything that there is."""
    while (await scans.depth()).entries >= _MOST_QUEUED:  # noqa: ASYNC110 - others shorten it
        await asyncio.sleep(_POLL_SECONDS)


async def _clean(store: Attachments, ids: Sequence[str]) -> AsyncGenerator[StoredAttachment]:
    if ids:
        for one in (await store.find([AttachmentId(each) for each in ids])).values():
            if one.status == "clean":
                yield one
        return
    after_ms, before = -1, set[AttachmentId]()
    while page := await store.with_status("clean", after_ms=after_ms, limit=_PAGE):
        new = [one for one in page if one.attachment_id not in before]
        for one in new:
            yield one
        # Files of the same millisecond may be cut apart by a page.
        before = {one.attachment_id for one in page}
        after_ms = page[-1].queued_ms - 1 if new and len(page) == _PAGE else page[-1].queued_ms


def _row(one: StoredAttachment) -> dict[str, object]:
    return {
        "attachment_id": one.attachment_id,
        "owner": one.owner_id,
        "name": one.name,
        "type": one.content_type,
        "size": one.size,
        "status": one.status,
        "reason": one.reason,
        "queued_at": rfc3339(one.queued_ms) if one.queued_ms else None,
        "message_id": one.message_id,
        "attempts": one.attempts,
    }


def _why(one: StoredAttachment) -> str:
    if one.attempts > _ATTEMPTS:
        return f"scans of it ended {one.attempts} times without a verdict"
    return "no verdict yet: is a consumer with the stage `scan` running, and the scanner? (`headrace doctor`)"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
