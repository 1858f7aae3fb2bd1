"""The same running copy of a client has one connection, on whichever gateway."""

import asyncio

import pytest

from gateway.socket.replacement import announcement
from schemas.ids import UserId
from tests.integration.gateway.socket.rig import Client, Rig, serving, until

pytestmark = pytest.mark.anyio

COPY = {"device_id": "d", "instance_id": "i"}


async def test_a_copy_that_connects_to_another_gateway_replaces_itself(rig: Rig):
    """D1"""
    async with serving(rig.settings) as other:
        old, _ = await rig.connected("ann", **COPY)
        tab, _ = await rig.connected("ann", device_id="d", instance_id="another tab")
        new, _ = await other.connected("ann", **COPY)
        code, said = await old.end()
        assert (code, said and said["reconnect"]) == (4505, False)
        await rig.append("ann")
        assert await new.events(1) == await tab.events(1) == [1]


@pytest.mark.parametrize("count", [2, 5])
async def test_of_those_that_connect_at_once_exactly_one_stays(rig: Rig, count: int):
    """D1"""
    async with serving(rig.settings) as other:
        alive: list[Client] = []
        for round_ in range(8):
            came = await asyncio.gather(
                *((rig, other)[(n + round_) % 2].connected("ann", **COPY) for n in range(count))
            )
            alive += [client for client, _ in came]
            ends = {asyncio.create_task(client.end()): client for client in alive}
            while len(ends) > 1:
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED, timeout=20)
                assert done, "more than one stays"
                assert [task.result()[0] for task in done] == [4505] * len(done)
                for task in done:
                    del ends[task]
            assert ends, "somebody stays"
            (waiting,) = ends
            alive = [ends[waiting]]
            await rig.append("ann")
            await until(lambda: len(rig.hub) + len(other.hub) == 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert (await alive[0].send())["ok"] is True


async def test_an_announcement_changes_nothing_for_others_and_is_no_doubt(rig: Rig):
    ann, _ = await rig.connected("ann", **COPY)
    nameless, _ = await rig.connected("ann", device_id="d")
    await rig.logs.ring(UserId("ann"), announcement("of another copy", "c"))
    await rig.append("ann")
    assert await ann.events(1) == await nameless.events(1) == [1]
    assert (await nameless.send())["ok"] is True
