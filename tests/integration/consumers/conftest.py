"""A migrated deployment of a test's own, on real servers."""

from collections.abc import AsyncIterator

import pytest
import structlog

from backplane.settings import Settings
from tests.integration.consumers.deployment import Deployment


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """structlog's own default renders every local variable: minutes for an entry of 17 MB."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False),
        ]
    )


@pytest.fixture
async def deployment(settings: Settings) -> AsyncIterator[Deployment]:
    quick = settings.model_copy(
        update={"lease_seconds": 3.0, "mongodb_timeout_seconds": 2.0, "retry_seconds": 0.05, "max_attempts": 2}
    )
    deployment = await Deployment.open(quick)
    yield deployment
    await deployment.close()
