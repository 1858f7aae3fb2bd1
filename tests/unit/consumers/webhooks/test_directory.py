"""The directory is never older than the call that asked for it, and reads no more than it must."""

import pytest

from backplane.store.webhooks import StoredWebhook
from consumers.webhooks.directory import Directory
from schemas.ids import UserId

pytestmark = pytest.mark.anyio


class Source:
    def __init__(self) -> None:
        self.token, self.webhooks, self.reads = "", [], 0

    def add(self, owner: str) -> None:
        self.token += "x"
        self.webhooks.append(
            StoredWebhook(
                webhook_id=self.token,
                owner_id=UserId(owner),
                url="",
                secret="",
                created_ms=0,
                active_ms=0,
                enabled=True,
            )
        )

    async def changed(self) -> str:
        return self.token

    async def enabled(self) -> list[StoredWebhook]:
        self.reads += 1
        return list(self.webhooks)


async def test_a_change_is_seen_by_the_next_call() -> None:
    source = Source()
    directory = Directory(source)
    assert await directory.current() == {}
    source.add("ann")
    assert set(await directory.current()) == {"ann"}
    source.add("ann")
    source.add("ben")
    assert {owner: len(found) for owner, found in (await directory.current()).items()} == {"ann": 2, "ben": 1}


async def test_without_a_change_nothing_is_read_again() -> None:
    source = Source()
    directory = Directory(source)
    for _ in range(10):
        await directory.current()
    assert source.reads == 1


async def test_a_change_during_the_read_is_not_missed() -> None:
    """What is read may be newer than its token: then it is read once more."""
    source = Source()

    class Moving(Source):
        async def enabled(self) -> list[StoredWebhook]:
            found = list(source.webhooks)
            if not source.reads:
                source.add("ann")
            source.reads += 1
            return found

        async def changed(self) -> str:
            return source.token

    directory = Directory(Moving())
    assert await directory.current() == {}
    assert set(await directory.current()) == {"ann"}
