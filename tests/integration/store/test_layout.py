"""Redis' copy of the layout is MongoDB's, or nobody serves (hole C18)."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from backplane.layout import check_layout
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.mongo import LayoutMismatch, Store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def general(settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(settings)
    yield redis
    await redis.close()


async def test_a_flushed_copy_is_written_again_and_the_same_is_accepted(
    general: Redis, store: Store, settings: Settings
) -> None:
    """C18: `hr:layout` falls to FLUSHALL"""
    for _ in range(2):
        await check_layout(general, store, settings.names)
    copy = await general.command("GET", settings.names.layout())
    await general.command("DEL", settings.names.layout())
    await check_layout(general, store, settings.names)
    assert await general.command("GET", settings.names.layout()) == copy


async def test_another_layout_is_refused_though_redis_holds_no_copy(
    general: Redis, store: Store, settings: Settings
) -> None:
    """C18: the next start must not write another number of partitions"""
    with pytest.raises(LayoutMismatch, match="8 partitions"):
        await check_layout(general, store, replace(settings.names, partitions=8))
    assert await general.command("GET", settings.names.layout()) is None


async def test_the_redis_of_another_deployment_is_refused(general: Redis, store: Store, settings: Settings) -> None:
    await general.command("SET", settings.names.layout(), b'{"partitions":64,"shards":4}')
    with pytest.raises(LayoutMismatch, match="belonged to another deployment"):
        await check_layout(general, store, settings.names)
