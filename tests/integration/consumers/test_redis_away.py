"""Redis is killed and comes back: what was accepted is handled, and whoever was connected resyncs rather than missing something."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs
from pydantic import SecretStr

from backplane.errors import Transient
from schemas.ids import IntentId, UserId
from schemas.intents import SendMessage
from tests.conftest import redis_url
from tests.integration.consumers.deployment import Deployment, a_send, identifier, until
from tests.services import Server, redis_server

pytestmark = pytest.mark.anyio

ANN, BEN = UserId("ann"), UserId("ben")


@pytest.fixture
async def own_redis(deployment: Deployment, tmp_path: Path) -> AsyncIterator[tuple[Deployment, Server]]:
    """The same MongoDB, and a Redis that this test may kill."""
    server = redis_server(tmp_path)
    server.start()
    own = await Deployment.open(deployment.settings.model_copy(update={"redis_url": SecretStr(redis_url(server))}))
    yield own, server
    await own.close()
    server.kill()


async def test_after_a_redis_restart_everything_accepted_is_stored_once_and_clients_resync(
    own_redis: tuple[Deployment, Server],
) -> None:
    """A4, A5, A6, B5"""
    deployment, server = own_redis
    room = await deployment.room(ANN, BEN)
    before = (await deployment.logs.open(BEN)).position
    sends = [a_send(room, ANN, f"number {number}") for number in range(600)]
    async with deployment.consumers():
        await deployment.send(*sends[:300])

        async def has(count: int) -> bool:
            return len(await deployment.messages(room)) >= count

        async def is_idle() -> bool:
            return await deployment.unfinished() == 0

        await until(lambda: has(1))
        server.restart()
        # A Redis that was killed may have forgotten its newest intents; whoever sent them sends them again.
        for sent in sends[:300]:
            await until(lambda sent=sent: is_taken(deployment, sent))
        await until(lambda: has(300), 60)
        await until(is_idle, 60)
        after = (await deployment.logs.open(BEN)).position
        assert after.epoch != before.epoch
        await deployment.send(*sends[300:])
        await until(lambda: has(600), 60)

        async def all_heard() -> bool:
            return len(await deployment.log(BEN, after)) >= 300

        await until(all_heard, 60)
    assert [found.client_msg_id for found in await deployment.messages(room)] == [sent.client_msg_id for sent in sends]
    assert await deployment.dead() == []


async def is_taken(deployment: Deployment, sent: SendMessage) -> bool:
    """Send it again, as a client's outbox does."""
    try:
        await deployment.send(structs.replace(sent, intent_id=IntentId(identifier())))
    except Transient:
        return False
    return True
