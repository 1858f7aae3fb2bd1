from collections.abc import AsyncIterator

import pytest

from backplane.settings import Settings
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


def with_limits(**limits: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("limits", [limits], ids=[""])
