"""The room for files: what is announced at once is decided together, in its order, and never takes more than there is."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest

from backplane.errors import Transient
from backplane.settings import load_settings
from backplane.store.attachments import StoredAttachment
from gateway.problems import Problem
from gateway.uploads import Uploads
from schemas.ids import AttachmentId, UserId

pytestmark = pytest.mark.anyio

QUOTA = 100


class Files:
    """The collection, in memory; every call lets others go on."""

    def __init__(self) -> None:
        self.stored: dict[AttachmentId, StoredAttachment] = {}
        self.sums = 0
        self.away = False
        self.together: asyncio.Barrier | None = None
        """Where two gateways meet that have both seen how much room there is."""

    async def used_bytes(self, owner_ids: Iterable[UserId]) -> dict[UserId, int]:
        self.sums += 1
        await asyncio.sleep(0)
        if self.away:
            raise Transient("MongoDB is away")
        used = {owner: sum(one.size for one in self.stored.values() if one.owner_id == owner) for owner in owner_ids}
        if self.together:
            await self.together.wait()
        return {owner: taken for owner, taken in used.items() if taken}

    async def get(self, attachment_id: AttachmentId) -> StoredAttachment | None:
        await asyncio.sleep(0)
        return self.stored.get(attachment_id)

    async def create(self, attachment: StoredAttachment) -> StoredAttachment:
        await asyncio.sleep(0)
        return self.stored.setdefault(attachment.attachment_id, attachment)

    async def discard(self, attachment_id: AttachmentId) -> None:
        await asyncio.sleep(0)
        del self.stored[attachment_id]


@pytest.fixture
def files() -> Files:
    return Files()


def gateway(files: Files) -> Uploads:
    settings = load_settings({}, environment="development", attachment_quota_bytes=QUOTA)
    return Uploads(settings, None, cast("Any", files), cast("Any", None))


def file(key: str, size: int, owner: str = "alice") -> StoredAttachment:
    return StoredAttachment(
        attachment_id=AttachmentId(key),
        owner_id=UserId(owner),
        name="a",
        content_type="text/plain",
        size=size,
        created_ms=1,
    )


async def announced(*calls: tuple[Uploads, StoredAttachment]) -> list[bool]:
    """Whether each was taken, of some at once."""
    answers = await asyncio.gather(*(uploads.announce(one) for uploads, one in calls), return_exceptions=True)
    for answer in answers:
        assert not isinstance(answer, Problem) or answer.body.code == "quota_exceeded"
    return [isinstance(answer, StoredAttachment) for answer in answers]


async def test_for_twenty_at_once_the_files_are_summed_up_a_few_times(files: Files) -> None:
    uploads = gateway(files)
    assert all(await announced(*((uploads, file(str(number), 5)) for number in range(20))))
    assert files.sums <= 4


async def test_as_many_are_taken_as_fit_in_their_order(files: Files) -> None:
    uploads = gateway(files)
    sizes = [40, 40, 30, 20, 1]
    assert await announced(*((uploads, file(str(number), size)) for number, size in enumerate(sizes))) == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert sum(one.size for one in files.stored.values()) == QUOTA


async def test_everybody_has_their_own_room(files: Files) -> None:
    uploads = gateway(files)
    assert all(await announced(*((uploads, file(owner, QUOTA, owner)) for owner in "abcd")))


async def test_of_two_gateways_that_do_not_fit_together_none_is_taken(files: Files) -> None:
    files.together = asyncio.Barrier(2)
    one, other = gateway(files), gateway(files)
    mine = file("small", 10, "bob")
    assert await announced((one, file("1", 60)), (other, file("2", 60))) == [False, False]
    assert not files.stored
    assert await announced((one, mine), (other, file("3", 60))) == [True, True], "who has room is not in anybody's way"


async def test_a_repeat_takes_no_more_room(files: Files) -> None:
    uploads = gateway(files)
    assert await announced(*[(uploads, file("same", 60))] * 3) == [True] * 3
    assert await announced(*[(uploads, file("same", 60)), (uploads, file("other", 40))] * 2) == [True] * 4
    assert len(files.stored) == 2


async def test_who_gives_up_is_not_in_the_way(files: Files) -> None:
    uploads = gateway(files)
    asking = [asyncio.create_task(uploads.announce(file(str(number), 10))) for number in range(4)]
    await asyncio.sleep(0)
    asking[0].cancel()
    asking[2].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(answer, StoredAttachment) for answer in answers] == [False, True, False, True]


async def test_while_the_database_is_away_nobody_is_told_that_there_is_room_or_none(files: Files) -> None:
    uploads = gateway(files)
    files.away = True
    answers = await asyncio.gather(*(uploads.announce(file(key, 1)) for key in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Transient] * 3
    files.away = False
    assert await announced((uploads, file("a", 1))) == [True]
