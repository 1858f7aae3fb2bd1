"""Each part of a running deployment is killed, frozen or emptied under load; afterwards the history must be clean."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.histories.client import Client
from tests.histories.records import Event
from tests.services import Server
from tests.system.scene import Scene, open_scene, seeded
from tests.system.stack import LEASE_SECONDS, PARTITIONS, Process, Stack, run_stack, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

Fault = Callable[[Scene, random.Random], Awaitable[None]]


async def kill_gateway(scene: Scene, rng: random.Random) -> None:
    await kill(scene, rng.choice(scene.stack.gateways), rng)


async def kill_consumer(scene: Scene, rng: random.Random) -> None:
    await kill(scene, rng.choice(scene.stack.consumers), rng)


async def kill(scene: Scene, process: Process, rng: random.Random) -> None:
    scene.fault(f"SIGKILL {process.name}")
    process.kill()
    await asyncio.sleep(rng.uniform(0, 1.5))
    process.start()


async def kill_redis(scene: Scene, rng: random.Random) -> None:
    await kill_server(scene, "redis", scene.stack.redis_server, rng.uniform(0, 1.0))


async def kill_server(scene: Scene, name: str, server: Server, seconds: float) -> None:
    scene.fault(f"SIGKILL {name}")
    server.kill()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.start)


async def flush(scene: Scene) -> None:
    scene.fault("FLUSHALL", loses_accepted=True)
    await scene.stack.redis.command("FLUSHALL")


async def heal(scene: Scene) -> None:
    await scene.stack.ready()
    scene.healed()


async def forget_devices(scene: Scene, count: int) -> None:
    """Some devices leave for good just after something of theirs was accepted: nobody will repeat it for them."""
    for client in scene.rng.sample([client for client in scene.clients if not client.dead], count):
        before = client.accepted
        await until(
            lambda client=client, before=before: _more(client.accepted, before),
            30,
            f"{client.device} gets no answer",
            interval_seconds=0.005,
        )
        await client.die()


async def _more(now: int, before: int) -> bool:
    return now > before


async def small_scene(scene: Scene) -> None:
    await scene.people(8)
    await scene.devices()
    await scene.converse(directs=8, groups=[3, 5, 8])


async def test_five_thousand_messages_survive_random_kills_of_every_part(tmp_path: Path) -> None:
    """≥ 5 000 messages, ≥ 20 devices; gateways, consumers and Redis are SIGKILLed at random, four times each (A1–A6, A9, B2, B5)."""
    rng = seeded()
    async with run_stack(tmp_path) as stack, open_scene(stack, rng) as scene:
        await scene.people(12)
        await scene.devices(each=2)
        await scene.converse(directs=14, groups=[3, 4, 5, 6, 8])
        faults: list[Fault] = [kill_gateway, kill_consumer, kill_redis] * 4
        rng.shuffle(faults)

        async def nemesis() -> None:
            for number, fault in enumerate(faults):
                await asyncio.sleep(rng.uniform(1.0, 3.0))
                await fault(scene, rng)
                if number % 4 == 0:
                    await forget_devices(scene, 1)

        await asyncio.gather(nemesis(), scene.talk(5_000, per_second=120))
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored >= 4_950
        assert report.figures.faults >= len(faults)


async def test_a_consumer_that_wakes_up_after_its_lease_changes_nothing(tmp_path: Path) -> None:
    """A4, B5, C4, C6: SIGSTOP in the middle of a write, SIGCONT past the lease; what it had in hand is not settled a second time."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        async with scene.talking(per_second=60):
            for zombie, heir in (stack.consumers, stack.consumers[::-1]):
                await asyncio.sleep(0.5)
                scene.fault(f"SIGSTOP {zombie.name} in the middle of a write")
                stack.mongodb_server.send(signal.SIGSTOP)
                await asyncio.sleep(0.5)  # its partitions begin writes that wait
                zombie.send(signal.SIGSTOP)
                stack.mongodb_server.send(signal.SIGCONT)
                written = len(zombie.lines())
                await until(partial(only_one_worker, stack), 10 * LEASE_SECONDS, f"{heir.name} has not taken over")
                zombie.send(signal.SIGCONT)
                await until(
                    partial(noticed, zombie, written), 10.0, f"{zombie.name} had nothing in hand, or settled it"
                )
                await until(partial(evenly_shared, stack), 30.0, f"{zombie.name} got no share again")
        await heal(scene)
        await scene.verdict(tmp_path)


async def evenly_shared(stack: Stack) -> bool:
    owners = (await stack.owners()).values()
    return all(sorted(Counter(held.values()).values()) == [PARTITIONS // 2] * 2 for held in owners)


async def only_one_worker(stack: Stack) -> bool:
    owners = await stack.owners()
    return all(len(held) == PARTITIONS and len(set(held.values())) == 1 for held in owners.values())


async def noticed(zombie: Process, since: int) -> bool:
    """Whether it says that a write which it had in hand was fenced, or is not its own to settle any more."""
    return any("fenced" in line or "outcome of a call is unknown" in line for line in zombie.lines()[since:])


async def test_a_restart_of_everything_keeps_every_message(tmp_path: Path) -> None:
    """All processes, Redis and the database are SIGKILLed at once; the same devices go on, and a new one sees it all."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        await scene.talk(200, per_second=80)
        scene.fault("SIGKILL everything")
        for process in (*stack.processes, stack.redis_server, stack.mongodb_server):
            process.kill()
        await asyncio.gather(
            *(asyncio.to_thread(server.start) for server in (stack.redis_server, stack.mongodb_server))
        )
        for process in stack.processes:
            process.start()
        await heal(scene)
        for number, user in enumerate(scene.users):
            scene.device(user, f"new-{number}")
        await scene.all_whole()
        await scene.talk(100, per_second=80)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored == 300


async def test_the_database_killed_under_load_costs_nothing_but_time(tmp_path: Path) -> None:
    """C6, B1: the stand-in for MongoDB is SIGKILLed twice; no attempt is counted, nothing is dead-lettered."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        talking = asyncio.create_task(scene.talk(600, per_second=50))
        for seconds in (0.0, 3.0):
            await asyncio.sleep(2.0)
            await kill_server(scene, "mongodb", stack.mongodb_server, seconds)
        await talking
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored == 600


async def test_a_flushed_redis_costs_resyncs_and_no_stored_message(tmp_path: Path) -> None:
    """A5, A6, C18, D6: FLUSHALL under load; clients hear of it, load the state, and repeat what was only accepted."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        talking = asyncio.create_task(scene.talk(500, per_second=50))
        for _ in range(2):
            await asyncio.sleep(3.0)
            await flush(scene)
        await talking
        await heal(scene)
        report = await scene.verdict(tmp_path, settle_seconds=30)
        assert report.figures.stored == 500
        assert report.figures.resyncs >= 2 * len(scene.clients), "not everybody was told"


async def test_a_frozen_redis_makes_sends_unknown_and_then_goes_on(tmp_path: Path) -> None:
    """SIGSTOP of Redis for five seconds: nobody is told a lie, and everything ends accepted."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        talking = asyncio.create_task(scene.talk(400, per_second=50))
        await asyncio.sleep(2.0)
        scene.fault("SIGSTOP redis")
        stack.redis_server.send(signal.SIGSTOP)
        await asyncio.sleep(5.0)
        stack.redis_server.send(signal.SIGCONT)
        await talking
        await heal(scene)
        await scene.verdict(tmp_path)


async def test_a_device_that_stops_reading_is_closed_and_delays_nobody(tmp_path: Path) -> None:
    """C9: its log is its buffer; it is closed as a slow consumer, and when it reads again it resumes from its position, whole."""
    async with run_stack(tmp_path, send_buffer_bytes="16384") as stack, open_scene(stack) as scene:
        await scene.people(4)
        await scene.devices()
        await scene.converse(groups=[4])
        sleeper = scene.device(scene.users[0], "sleeper")
        await scene.all_whole()
        scene.fault("a device stops reading")
        sleeper.reading.clear()
        began = len(scene.recorder.records)
        await scene.talk(400, per_second=100, text="x" * 8_000)
        others = [client for client in scene.clients if client is not sleeper]
        await until(partial(have_seen, others, 400), 5.0, "the others were held up")
        told = [
            record
            for record in scene.recorder.records[began:]
            if isinstance(record, Event) and record.device == "sleeper"
        ]
        assert len(told) < 400, "it was never behind"

        async def closed() -> bool:
            return sum([await stack.metric(gateway, "headrace_ws_closes_total") for gateway in stack.gateways]) >= 1

        await until(closed, 15.0, "the sleeper was not closed")
        sleeper.reading.set()
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored == 400
        assert report.figures.recovered >= 1, "the sleeper could not resume"


async def have_seen(clients: list[Client], messages: int) -> bool:
    return all(len(client.seen) == messages for client in clients)
