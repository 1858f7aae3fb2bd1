"""Who owns what: even shares, quick hand-over, take-over from the dead, and no harm from the paused."""

import asyncio
import contextlib
import signal
import time

import pytest
from pydantic import SecretStr

from backplane.store.mongo import Store
from consumers.process import make_worker
from schemas.ids import UserId
from tests.integration.consumers.deployment import Deployment, a_send, until
from tests.services import free_port

pytestmark = pytest.mark.anyio

ANN, BEN = UserId("ann"), UserId("ben")


async def test_two_workers_share_evenly_and_give_back_at_once(deployment: Deployment) -> None:
    """D4"""
    stop = asyncio.Event()
    first = deployment.worker("persist")
    running = asyncio.create_task(first.run(stop))
    await until(lambda: _are(deployment, [4]))
    async with deployment.consumers("persist") as (second,):
        await until(lambda: _are(deployment, [2, 2]))
        assert not set(first.partitions) & set(second.partitions)
        stop.set()
        await running
        left_at = time.monotonic()
        owners = await deployment.owners()
        assert len(owners) == 2, "what the first had is free the moment it has stopped"
        await until(lambda: _are(deployment, [4]))
        # Far sooner than by letting leases run out one after the other; generous for a noisy machine.
        assert time.monotonic() - left_at < 2 * deployment.settings.lease_seconds
    assert await deployment.owners() == {}


async def test_a_killed_worker_s_partitions_are_taken_over_with_what_it_had_begun(deployment: Deployment) -> None:
    """A1, B1: nothing is lost, nothing doubled, and nothing counts as an attempt for good."""
    room = await deployment.room(ANN, BEN)
    head = (await deployment.logs.open(BEN)).position
    sends = [a_send(room, ANN, f"number {number}") for number in range(600)]
    with deployment.process(batch_entries=7) as doomed:
        await deployment.send(*sends[:30])
        await until(lambda: _stored(deployment, room, 21))
        await deployment.send(*sends[30:400])
        doomed.kill()
        doomed.wait()
    assert len(await deployment.messages(room)) < 400, "killed in the middle of its work"
    async with deployment.consumers():
        await deployment.send(*sends[400:])
        await until(lambda: _stored(deployment, room, 600))
        await until(lambda: _done(deployment))
    assert [found.intent_id for found in await deployment.messages(room)] == [sent.intent_id for sent in sends]
    seqs = [event["data"]["seq"] for event in await deployment.log(BEN, head) if event["event"] == "message.created"]
    assert sorted(set(seqs)) == list(range(1, 601)), "everybody hears of everything"
    assert await deployment.attempts() == 0


async def test_a_paused_process_does_no_harm_when_it_goes_on(deployment: Deployment) -> None:
    """A4, B5, B8: its token is old; what it still writes is fenced or refused by an index."""
    room = await deployment.room(ANN, BEN)
    head = (await deployment.logs.open(BEN)).position
    sends = [a_send(room, ANN, f"number {number}") for number in range(400)]
    with deployment.process(batch_entries=5) as zombie:
        await deployment.send(*sends[:200])
        await until(lambda: _stored(deployment, room, 10))
        zombie.send_signal(signal.SIGSTOP)
        async with deployment.consumers():
            # Takes over once the lease has run out.
            await until(lambda: _stored(deployment, room, 200))
            zombie.send_signal(signal.SIGCONT)
            await deployment.send(*sends[200:])
            await until(lambda: _stored(deployment, room, 400))
            await until(lambda: _done(deployment))
            assert zombie.poll() is None, "it steps back and goes on living"
            zombie.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(zombie.wait), 30)
            assert zombie.returncode == 0
    assert [found.intent_id for found in await deployment.messages(room)] == [sent.intent_id for sent in sends]
    created = [event for event in await deployment.log(BEN, head) if event["event"] == "message.created"]
    seqs = [event["data"]["seq"] for event in created]
    assert sorted(set(seqs)) == list(range(1, 401))
    assert len({event["event_id"] for event in created}) == 400, "an event that is emitted again has the same id"


async def test_a_worker_cut_off_from_mongodb_leaves_its_partitions_to_the_others(deployment: Deployment) -> None:
    """B11: its leases are renewed all the while, so nobody could take them."""
    cut_off_settings = deployment.settings.model_copy(
        update={"mongodb_url": SecretStr(f"mongodb://127.0.0.1:{free_port()}"), "mongodb_timeout_seconds": 0.3}
    )
    store = await Store.open(cut_off_settings)
    cut_off = make_worker("persist", cut_off_settings, deployment.redis, store, stalled_seconds=2.0)
    stop = asyncio.Event()
    running = asyncio.create_task(cut_off.run(stop))
    await until(lambda: _are(deployment, [4]))
    async with deployment.consumers("persist") as (healthy,):
        await until(lambda: _are(deployment, [2, 2]))
        rooms = [deployment.group_in(partition, ANN, BEN) for partition in range(4)]
        await deployment.send(*rooms, *(a_send(room.conversation_id, ANN) for room in rooms))

        async def all_stored() -> bool:
            return all([await deployment.messages(room.conversation_id) for room in rooms])

        await until(all_stored, 60)
        assert healthy.partitions == [0, 1, 2, 3]
        assert cut_off.partitions == []
    stop.set()
    await running
    await store.close()
    assert await deployment.dead() == []


async def _are(deployment: Deployment, shares: list[int]) -> bool:
    return await deployment.shares() == shares


async def _stored(deployment: Deployment, room: str, count: int) -> bool:
    found = await deployment.messages(room)  # type: ignore[arg-type]
    return len(found) >= count


async def _done(deployment: Deployment) -> bool:
    return await deployment.unfinished() == 0
