"""What can be broken in a running deployment, one function each; every fault is written into the history first."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.services import Server
from tests.system.scene import Scene
from tests.system.stack import Process, until

Fault = Callable[[Scene, random.Random], Awaitable[None]]


async def kill_gateway(scene: Scene, rng: random.Random) -> None:
    """SIGKILL the gateway with the most devices."""
    busiest = Counter(client.address for client in scene.clients if not client.dead).most_common(1)[0][0]
    await _kill(scene, scene.stack.gateways[scene.stack.addresses.index(busiest)], rng)


async def kill_consumer(scene: Scene, rng: random.Random) -> None:
    """SIGKILL one consumer process, with all its stages."""
    await _kill(scene, rng.choice(scene.stack.consumers), rng)


async def _kill(scene: Scene, process: Process, rng: random.Random) -> None:
    async with scene.turns[process.name]:
        scene.fault(f"SIGKILL {process.name}")
        process.kill()
        await asyncio.sleep(rng.uniform(0, 1.5))
        process.start()


async def kill_redis(scene: Scene, rng: random.Random) -> None:
    """SIGKILL Redis; its append-only file brings everything back that was answered."""
    await _kill_server(scene, "redis", scene.stack.redis_server, rng.uniform(0, 1.0))


async def kill_mongodb(scene: Scene, rng: random.Random) -> None:
    """SIGKILL the database."""
    await _kill_server(scene, "mongodb", scene.stack.mongodb_server, rng.choice([0.0, 3.0]))


async def _kill_server(scene: Scene, name: str, server: Server, seconds: float) -> None:
    async with scene.turns[name]:
        scene.fault(f"SIGKILL {name}")
        server.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)


async def freeze_redis(scene: Scene, rng: random.Random) -> None:
    """SIGSTOP Redis for a while."""
    await _freeze(scene, "redis", scene.stack.redis_server, rng.uniform(3.0, 6.0))


async def freeze_mongodb(scene: Scene, rng: random.Random) -> None:
    """SIGSTOP the database past the limit of every call."""
    await _freeze(scene, "mongodb", scene.stack.mongodb_server, rng.uniform(3.0, 6.0))


async def freeze_consumer(scene: Scene, rng: random.Random) -> None:
    """SIGSTOP one consumer process past its leases."""
    consumer = rng.choice(scene.stack.consumers)
    await _freeze(scene, consumer.name, consumer, rng.uniform(3.5, 6.0))


async def freeze_gateway(scene: Scene, rng: random.Random) -> None:
    """SIGSTOP one gateway: its devices find out by their own deadline, or go on with it."""
    gateway = rng.choice(scene.stack.gateways)
    await _freeze(scene, gateway.name, gateway, rng.uniform(1.0, 6.0))


async def _freeze(scene: Scene, name: str, process: Server | Process, seconds: float) -> None:
    async with scene.turns[name]:
        scene.fault(f"SIGSTOP {name} for {seconds:.1f} s")
        process.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send(signal.SIGCONT)


async def flush_redis(scene: Scene, rng: random.Random) -> None:
    """FLUSHALL: Redis forgets everything, and nobody is disconnected."""
    del rng
    async with scene.turns["redis"]:  # it is there, and answers
        scene.fault("FLUSHALL", loses_accepted=True)
        await scene.stack.redis.command("FLUSHALL")


async def cut_sockets(scene: Scene, rng: random.Random) -> None:
    """Half of the devices lose their sockets without a goodbye."""
    scene.fault("sockets cut")
    for client in rng.sample(scene.clients, len(scene.clients) // 2):
        client.cut()


async def stop_gateway(scene: Scene, rng: random.Random) -> None:
    """A deploy: SIGTERM to a gateway, which leaves in order, and its successor."""
    await _replace(scene, rng.choice(scene.stack.gateways))


async def stop_consumer(scene: Scene, rng: random.Random) -> None:
    """A deploy: SIGTERM to a consumer, which leaves in order, and its successor."""
    await _replace(scene, rng.choice(scene.stack.consumers))


async def _replace(scene: Scene, process: Process) -> None:
    async with scene.turns[process.name]:
        scene.fault(f"SIGTERM {process.name}")
        in_order = process.up
        code = await process.terminate()
        # One that is only being started may not know yet what SIGTERM means.
        assert code == 0 or (not in_order and code == -signal.SIGTERM), f"{process.name}: exit code {code}"
        process.start()


async def forget_device(scene: Scene, rng: random.Random) -> None:
    """A device leaves for good just after something of its own was accepted: nobody will repeat it."""
    living = [client for client in scene.clients if not client.dead and client.reading.is_set()]
    client = rng.choice(living)
    before = client.accepted
    scene.say(client)  # whether or not the talk is over by now

    async def accepted_more() -> bool:
        return client.accepted > before

    await until(accepted_more, 30, f"{client.device} gets nothing accepted", interval_seconds=0.005)
    await client.die()
