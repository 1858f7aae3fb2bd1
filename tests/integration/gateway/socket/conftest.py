from collections.abc import AsyncIterator

import pytest

from backplane.settings import Settings
from backplane.store.mongo import Store
from tests.integration.gateway.socket.rig import Rig, serving


@pytest.fixture
def limits() -> dict[str, object]:
    """Settings of a test that are not the usual ones; override by parametrising."""
    return {}


@pytest.fixture
async def rig(redis_settings: Settings, limits: dict[str, object]) -> AsyncIterator[Rig]:
    settings = redis_settings.model_copy(update={"drain_seconds": 0.1, "resync_spread_ms": 100} | limits)
    async with serving(settings) as rig:
        yield rig


@pytest.fixture
async def live(settings: Settings, limits: dict[str, object]) -> AsyncIterator[Rig]:
    """A rig whose store is there: for what needs members."""
    async with serving(await _migrated(settings, limits)) as rig:
        yield rig


@pytest.fixture
async def pair(settings: Settings, limits: dict[str, object]) -> AsyncIterator[tuple[Rig, Rig]]:
    """Two gateways of one deployment."""
    settings = await _migrated(settings, limits)
    async with serving(settings) as one, serving(settings) as other:
        yield one, other


async def _migrated(settings: Settings, limits: dict[str, object]) -> Settings:
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    return settings.model_copy(update={"drain_seconds": 0.1, "resync_spread_ms": 100} | limits)


def with_limits(**limits: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("limits", [limits], ids=[""])
