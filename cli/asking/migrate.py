"""What `headrace migrate` asks and does."""

from backplane.layout import check_layout
from cli.asking import systems


async def check() -> list[str]:
    """Change nothing.

    Raises:
        LayoutMismatch: something is missing, or the layout is another.
    """
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store, systems.the_redis(settings):  # the latter compares Redis' copy
        await store.check(settings.names)
    return []


async def migrate() -> list[str]:
    """Create what is missing, in MongoDB and of Redis' copy; returns what was done, in words."""
    settings = systems.settings_for_looking()
    async with systems.the_store(settings) as store:
        done = await store.migrate(settings.names)
        async with systems.the_redis(settings) as redis:
            await check_layout(redis, store, settings.names)
    return done
