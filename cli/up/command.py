"""`headrace up`: the order of things, from the lock to the last line.

Exit codes: 0 after a stop that was asked for, 1 if something did not come up or had to be killed, 2 for wrong settings,
3 if a service that the settings name does not answer.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click
import orjson

from backplane.settings import PREFIX, Settings, load_settings
from backplane.store.mongo import Store
from cli import buckets
from cli.failures import FAILED, Failure
from cli.up import demo, ports, processes, report
from cli.up.child import NotReady
from cli.up.folder import DEFAULT, DataFolder, write_private
from cli.up.output import Output
from cli.up.processes import Floor, Options
from cli.up.services import choice, seaweedfs
from cli.up.supervisor import SELF, Supervisor

Plan = Callable[[Options, Mapping[str, str], DataFolder], tuple[Floor, ...]]
"""Which processes to run above the services, floor by floor."""

MOST_PROCESSES: Final = 16

HIDDEN: Final = ("redis", "mongodb", "seaweedfs", "clamd")
"""Whose lines only `--verbose` shows."""

SECRETS: Final = frozenset({f"{PREFIX}SIGNING_KEY", f"{PREFIX}OPS_TOKEN"})
"""What a user gave us in the environment is not for the disk."""


@click.command
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT,
    show_default=True,
    help="Folder of all data.",
)
@click.option(
    "--port",
    type=click.IntRange(1024, 65000),
    default=8000,
    show_default=True,
    envvar=f"{PREFIX}PORT",
    help="Port of the first gateway; the next ones follow.",
)
@click.option(
    "--gateways", type=click.IntRange(1, MOST_PROCESSES), default=1, show_default=True, help="How many gateways."
)
@click.option(
    "--consumers",
    type=click.IntRange(1, MOST_PROCESSES),
    default=1,
    show_default=True,
    help="How many consumer processes.",
)
@click.option("--demo", is_flag=True, help="Make alice, bob, carol and a group, and print their passwords.")
@click.option("--verbose", is_flag=True, help="Show more: what the services and our own processes say.")
def command(**options: object) -> None:
    """Run everything on this machine: Redis, MongoDB, S3 and clamd where no URL names them, consumers and gateways.

    Services that HEADRACE_REDIS_URL, HEADRACE_MONGODB_URL, HEADRACE_S3_URL and HEADRACE_SCANNER_URL name are used and not
    started; where one of the latter two is set and empty, there is none, and no attachments. clamd is started if it is
    installed and has signatures. Everything listens on 127.0.0.1. Data stay in one folder. Ctrl-C stops everything in
    order; twice, at once.

    Examples:  headrace up --demo    headrace up --gateways 2 --consumers 2 --port 9000
    """
    asked = Options(**options)  # pyright: ignore[reportArgumentType] click has checked the types
    output = Output(hidden=() if asked.verbose else HIDDEN)
    sys.exit(asyncio.run(run(asked, output)))


async def run(options: Options, output: Output, plan: Plan = processes.floors) -> int:
    """Bring everything up, wait for a signal, take everything down; the exit code.

    Raises:
        Failure: something is wrong with what was asked for, or did not come up; whatever ran has been stopped.
    """
    _check_ports(options)
    folder = DataFolder.take(options.data)
    supervisor = Supervisor(output.say)
    stop = asyncio.Event()
    _on_signals(lambda: supervisor.hurry() if stop.is_set() else stop.set())
    clean = True
    try:
        rising = asyncio.create_task(_rise(options, output, folder, supervisor, plan))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({rising, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if rising.done():
            rising.result()
            await stopping
        rising.cancel()
        await asyncio.gather(rising, return_exceptions=True)
        output.say(SELF, "stopping; Ctrl-C again to kill")
    except NotReady as failure:
        raise Failure(str(failure)) from failure
    finally:
        stop.set()  # from here on a signal means: hurry
        clean = await supervisor.stop()
        seaweedfs.tidy(folder)
        folder.release()
    output.say(SELF, "stopped")
    return 0 if clean else FAILED


async def _rise(options: Options, output: Output, folder: DataFolder, supervisor: Supervisor, plan: Plan) -> None:
    """Services, then indexes and buckets, then our processes, then the demo; each step needs the ones before."""
    shared = processes.environment(os.environ, folder, options)
    services = choice.choose(shared, folder)
    environ = services.settle(shared)
    settings = load_settings(environ)  # all faults at once, before anything starts
    await _start(services.specs, output, supervisor)
    await choice.check_given(os.environ, settings)
    await _migrate(settings, output, verbose=options.verbose)
    floors = plan(options, environ, folder)
    for floor in floors:
        await _start(floor, output, supervisor)
    private = SECRETS | choice.secret(os.environ)
    told = {name: value for name, value in environ.items() if name not in private}
    write_private(folder.services_path, orjson.dumps(told | {f"{PREFIX}PORT": str(options.port)}))
    people = await _demo(options, output, folder) if options.demo else []
    report.show(output, options, folder.path, report.started(options, services, floors), people)


async def _start(floor: Floor, output: Output, supervisor: Supervisor) -> None:
    if floor:
        output.say(SELF, f"starting {', '.join(spec.name for spec in floor)}")
    await supervisor.start(*floor)


async def _migrate(settings: Settings, output: Output, *, verbose: bool) -> None:
    """What `headrace migrate` does."""
    store = await Store.open(settings)
    try:
        steps = await store.migrate(settings.names)
    finally:
        await store.close()
    if steps:
        output.say(SELF, f"prepared the database in {len(steps)} steps")
    steps += await buckets.make(settings)
    for step in steps if verbose else ():
        output.say(SELF, step)


async def _demo(options: Options, output: Output, folder: DataFolder) -> list[tuple[str, ...]]:
    try:
        return await demo.set_up(folder, f"http://{ports.LOCALHOST}:{options.port}")
    except demo.DemoFailed as failure:
        output.say(SELF, f"no demo: {failure}")
        return []


def _check_ports(options: Options) -> None:
    for port in options.gateway_ports:
        if not ports.is_free(port):
            raise Failure(f"port {port} is in use; stop what uses it, or choose another with --port")


def _on_signals(act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, act)
