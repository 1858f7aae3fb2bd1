"""What `headrace migrate` asks and does."""

from backplane.layout import check_layout
from cli import buckets
from cli.asking import systems


async def check() -> list[str]:
    """Change nothing.

    Raises:
        LayoutMismatch: something is missing in MongoDB, or the layout is another.
        Failure: a bucket is missing.
    """
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store, systems.the_redis(settings):  # the latter compares Redis' copy
        await store.check(settings.names)
    await buckets.check(settings)
    return []


async def migrate() -> list[str]:
    """Create what is missing, in MongoDB, of Redis' copy and in S3; returns what was done, in words."""
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store:
        done = await store.migrate(settings.names)
        async with systems.the_redis(settings) as redis:
            await check_layout(redis, store, settings.names)
    return done + await buckets.make(settings)
