"""Each part of a running deployment is killed, frozen or emptied under load; afterwards the history must be clean."""

import asyncio
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import orjson
import pytest

from tests.histories.client import Client
from tests.histories.records import Connected, Event, Synced
from tests.system import faults
from tests.system.mixture import Mixture
from tests.system.scene import Scene, open_scene, seeded
from tests.system.stack import LEASE_SECONDS, PARTITIONS, Process, Stack, run_stack, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]


async def heal(scene: Scene) -> None:
    await scene.stack.ready()
    scene.healed()


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
        await asyncio.gather(nemesis(scene), scene.talk(5_000, per_second=120))
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored >= 4_950
        assert report.figures.faults == len(KILLS)
        assert report.figures.recovered > 0


async def test_changes_of_every_kind_survive_random_kills_of_every_part(tmp_path: Path) -> None:
    """The same with edits, deletions, reactions, pins, receipts and members who come and go (A1–A6, A10, B2, B5–B7, B9, B12, C11)."""
    rng = seeded()
    async with run_stack(tmp_path) as stack, open_scene(stack, rng) as scene:
        await scene.people(12)
        await scene.devices(each=2)
        await scene.converse(directs=14, groups=[3, 4, 5, 6, 8])
        mixture = Mixture(scene)
        await asyncio.gather(nemesis(scene), mixture.go_on(2_500, per_second=70))
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored >= 900
        assert report.figures.changes >= 700
        assert report.figures.faults == len(KILLS)


KILLS: tuple[faults.Fault, ...] = (faults.kill_gateway, faults.kill_consumer, faults.kill_redis, faults.cut_sockets) * 4


async def nemesis(scene: Scene) -> None:
    """Kill each part four times, in any order; now and then a device leaves for good."""
    for number, fault in enumerate(scene.rng.sample(KILLS, len(KILLS))):
        await asyncio.sleep(scene.rng.uniform(0.5, 2.5))
        await fault(scene, scene.rng)
        if number % 4 == 0:
            await faults.forget_device(scene, scene.rng)


async def test_a_consumer_that_wakes_up_after_its_lease_changes_nothing(tmp_path: Path) -> None:
    """A4, B5, C4, C6: SIGSTOP in the middle of a write, SIGCONT past the lease; what it had in hand is not settled a second time."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        async with scene.talking(per_second=60):
            for zombie, heir in (stack.consumers, stack.consumers[::-1]):
                await asyncio.sleep(0.5)
                # The first worker takes all partitions; until they are shared out, what is in hand may be handed over in order.
                await until(partial(evenly_shared, stack), 30.0, f"{zombie.name} got no share")
                scene.fault(f"SIGSTOP {zombie.name} in the middle of a write")
                stack.mongodb_server.send(signal.SIGSTOP)
                before = (await stack.owners())["persist"]
                own = {partition for partition, worker in before.items() if worker in workers_of(zombie)}
                await until(partial(has_in_hand, stack, own), 10.0, f"{zombie.name} gets nothing to do")
                zombie.send(signal.SIGSTOP)
                in_hand = own & await partitions_in_hand(stack)
                stack.mongodb_server.send(signal.SIGCONT)
                written = len(zombie.lines())
                await until(partial(only_one_worker, stack), 10 * LEASE_SECONDS, f"{heir.name} has not taken over")
                after = (await stack.owners())["persist"]
                torn = {partition for partition in in_hand if after[partition] != before[partition]}
                assert torn, f"{zombie.name} had nothing in hand"
                zombie.send(signal.SIGCONT)
                await until(partial(left, zombie, torn, written), 10.0, f"{zombie.name} has not left {torn}")
                # It was refused, saw by its own clock that its time was over, or saw that in the middle of a write whose outcome it
                # does not know (`Persist._definitely`); the heir has the partition by then. It did not just give back in order.
                assert {ends[0] for ends in endings(zombie, torn, written).values()} <= {"fenced", "lost", "open"}
                await until(partial(evenly_shared, stack), 30.0, f"{zombie.name} got no share again")
        await heal(scene)
        await scene.verdict(tmp_path)


async def evenly_shared(stack: Stack) -> bool:
    owners = (await stack.owners()).values()
    return all(sorted(Counter(held.values()).values()) == [PARTITIONS // 2] * 2 for held in owners)


async def only_one_worker(stack: Stack) -> bool:
    owners = await stack.owners()
    return all(len(held) == PARTITIONS and len(set(held.values())) == 1 for held in owners.values())


def workers_of(process: Process) -> set[str]:
    """The ids of its workers of persist, as it names them."""
    lines = [orjson.loads(line) for line in process.lines() if "took a partition" in line]
    return {line["worker"] for line in lines if line["stage"] == "persist"}


async def has_in_hand(stack: Stack, partitions: set[int]) -> bool:
    return bool(partitions & await partitions_in_hand(stack))


async def partitions_in_hand(stack: Stack) -> set[int]:
    """Where persist has taken intents that it has not settled."""
    names = stack.settings.names
    return {
        partition
        for partition in range(PARTITIONS)
        if (await stack.redis.command("XPENDING", names.intents(partition), "persist"))[0]
    }


async def left(zombie: Process, partitions: set[int], since: int) -> bool:
    """Whether it says, after that many lines, that it works on none of the partitions any more."""
    return partitions <= endings(zombie, partitions, since).keys()


def endings(process: Process, partitions: set[int], since: int) -> dict[int, list[str]]:
    """Why its tenures of persist on these partitions have ended, as it says after that many lines."""
    found: dict[int, list[str]] = {}
    for line in (orjson.loads(line) for line in process.lines()[since:] if "left a partition" in line):
        if line["stage"] == "persist" and line["partition"] in partitions:
            found.setdefault(line["partition"], []).append(line["because"])
    return found


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
        talking = asyncio.create_task(scene.talk(600, per_second=60))
        for _ in range(2):
            await asyncio.sleep(2.0)
            await faults.kill_mongodb(scene, scene.rng)
        await talking
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored == 600


async def test_a_flushed_redis_costs_resyncs_and_no_stored_message(tmp_path: Path) -> None:
    """A5, A6, C18, D6: FLUSHALL under load; clients hear of it, load the state, and repeat what was only accepted."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        talking = asyncio.create_task(scene.talk(500, per_second=60))
        for _ in range(2):
            await asyncio.sleep(2.0)
            await faults.flush_redis(scene, scene.rng)
            flushed = len(scene.recorder.records)
        await talking
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert report.figures.stored == 500
        resynced = {record.device for record in scene.recorder.records[flushed:] if isinstance(record, Synced)}
        assert resynced == {client.device for client in scene.clients}, "not everybody was told"


async def test_a_frozen_redis_makes_sends_unknown_and_then_goes_on(tmp_path: Path) -> None:
    """SIGSTOP of Redis for some seconds: nobody is told a lie, and everything ends accepted."""
    async with run_stack(tmp_path) as stack, open_scene(stack) as scene:
        await small_scene(scene)
        talking = asyncio.create_task(scene.talk(400, per_second=50))
        await asyncio.sleep(2.0)
        await faults.freeze_redis(scene, scene.rng)
        await talking
        await heal(scene)
        await scene.verdict(tmp_path)


async def test_a_device_that_stops_reading_is_closed_and_delays_nobody(tmp_path: Path) -> None:
    """C9: its log is its buffer; it is closed as a slow consumer, and when it reads again it resumes from its position, whole."""
    async with (
        run_stack(tmp_path, send_buffer_bytes="16384", slow_consumer_seconds="5") as stack,
        open_scene(stack) as scene,
    ):
        await scene.people(4)
        await scene.devices()
        await scene.converse(groups=[4])
        sleeper = scene.device(scene.users[0], "sleeper")
        await scene.all_whole()
        scene.fault("a device stops reading")
        sleeper.reading.clear()
        began = len(scene.recorder.records)
        # 10 MB in all: more than the kernel keeps for a socket.
        await scene.talk(400, per_second=100, text="☃" * 8_000)
        others = [client for client in scene.clients if client is not sleeper]
        await until(partial(have_seen, others, 400), 5.0, "the others were held up")
        told = [
            record
            for record in scene.recorder.records[began:]
            if isinstance(record, Event) and record.device == "sleeper"
        ]
        assert len(told) < 400, "it was never behind"

        async def closed() -> bool:
            return await stack.metric("headrace_ws_closes_total", 'reason="slow_consumer"') == 1

        await until(closed, 15.0, "the sleeper was not closed")
        sleeper.reading.set()

        async def resumed() -> bool:
            return any(isinstance(record, Connected) and record.recovered for record in scene.recorder.records[began:])

        await until(resumed, 15.0, "the sleeper has not resumed")
        await heal(scene)
        report = await scene.verdict(tmp_path)
        assert (report.figures.stored, report.figures.recovered) == (400, 1)


async def have_seen(clients: list[Client], messages: int) -> bool:
    return all(len(client.seen) == messages for client in clients)
