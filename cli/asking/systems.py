"""The systems that a looking command asks, opened with this process' settings and closed behind it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import click

from backplane.layout import check_copy
from backplane.redis import Redis
from backplane.settings import Settings, load_settings
from backplane.store.mongo import Store


def settings_for_looking() -> Settings:
    """This process' settings; without the secrets that only a serving process needs.

    Raises:
        SettingsError: they are wrong.
    """
    return load_settings(environment="development")


@asynccontextmanager
async def the_redis(settings: Settings | None = None) -> AsyncGenerator[Redis]:
    """The deployment's Redis.

    Raises:
        LayoutMismatch: the settings name other partitions than the deployment has; every answer would be wrong.
        Transient: it is away.
    """
    redis = await Redis.open(settings or settings_for_looking())
    try:
        await check_copy(redis, redis.names)
        yield redis
    finally:
        await redis.close()


@asynccontextmanager
async def the_store(settings: Settings | None = None) -> AsyncGenerator[Store]:
    """The deployment's MongoDB; it may turn out to be away at the first question."""
    store = await Store.open(settings or settings_for_looking())
    try:
        yield store
    finally:
        await store.close()


def partitions(redis: Redis, only: int | None) -> list[int]:
    """All partitions, or the one that was asked for.

    Raises:
        BadParameter: the deployment has no such partition.
    """
    count = redis.names.partitions
    if only is not None and only >= count:
        raise click.BadParameter(f"there is no partition {only}; the deployment has 0 to {count - 1}")
    return list(range(count)) if only is None else [only]
