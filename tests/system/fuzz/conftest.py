"""One gateway and one consumer as real processes, whose tests are plain functions: hypothesis drives, a runner keeps the loop."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.system.stack import Stack, run_stack

PATIENT = {
    "heartbeat_seconds": "25",  # nothing is heard of a socket while hypothesis thinks about the next example
    "sweep_seconds": "30",  # else a message whose doorbell was lost would be in time
    "slow_consumer_seconds": "30",
    "bots_per_owner": "100000",
    "webhooks_per_owner": "100000",
    "webhooks_allow_private": "true",
}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stack(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    opened = run_stack(tmp_path_factory.mktemp("fuzz"), gateways=1, consumers=1, **PATIENT)
    stack = runner.run(opened.__aenter__())
    yield stack
    runner.run(opened.__aexit__(None, None, None))


def thrown(examples: int, *, alike: bool) -> settings:
    """So many examples, the same ones each time if `alike`; none is shrunk, because what it met does not come again."""
    return settings(
        max_examples=examples,
        derandomize=alike,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
