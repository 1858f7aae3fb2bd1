"""A migrated store in a database of the test's own; one that is away."""

from collections.abc import AsyncIterator

import pytest

from backplane.settings import Settings, load_settings
from backplane.store.mongo import Store
from tests.services import free_port


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.open(settings)
    await store.migrate(settings.names)
    yield store
    await store.close()


@pytest.fixture
async def dead_store() -> AsyncIterator[Store]:
    """A store whose MongoDB is not there."""
    settings = load_settings(
        {},
        environment="development",
        mongodb_url=f"mongodb://127.0.0.1:{free_port()}/",
        mongodb_timeout_seconds=0.5,
    )
    store = await Store.open(settings)
    yield store
    await store.close()
