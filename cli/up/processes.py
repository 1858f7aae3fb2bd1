"""Our own processes as `headrace up` runs them: their command lines, their settings, and how to see that they serve."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backplane.errors import Transient
from backplane.leases import Leases
from backplane.redis import Redis
from backplane.settings import PREFIX, Settings, load_settings
from cli.embedded import half_the_processors
from cli.up.child import BEHIND, Probe, Spec
from cli.up.folder import DataFolder
from cli.up.ports import LOCALHOST
from schemas.stages import SCAN, STAGES

Floor = tuple[Spec, ...]

DRAIN_SECONDS: Final = 3
"""A gateway's goodbyes; short, because on one machine there is no other gateway to go to."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `headrace up` was asked for."""

    data: Path
    port: int = 8000
    gateways: int = 1
    consumers: int = 1
    demo: bool = False
    verbose: bool = False

    @property
    def gateway_ports(self) -> range:
        """One port a gateway, the first one as asked for."""
        return range(self.port, self.port + self.gateways)

    @property
    def origins(self) -> tuple[str, ...]:
        """What browsers call our gateways."""
        return tuple(f"http://{host}:{port}" for port in self.gateway_ports for host in ("localhost", LOCALHOST))


def environment(environ: Mapping[str, str], folder: DataFolder, options: Options) -> dict[str, str]:
    """The settings that all processes share, but for where the services are. What the user set wins."""
    shared = {
        f"{PREFIX}ENVIRONMENT": "development",
        f"{PREFIX}LOG_FORMAT": "console",
        f"{PREFIX}LOG_LEVEL": "info" if options.verbose else "warning",
        f"{PREFIX}HOST": LOCALHOST,
        f"{PREFIX}DRAIN_SECONDS": str(DRAIN_SECONDS),
        f"{PREFIX}SCANS_AT_ONCE": str(scans_at_once()),
        # Pages of our own gateways upload to S3, which is another origin.
        f"{PREFIX}ALLOWED_ORIGINS": ",".join(options.origins),
        "PYTHONUNBUFFERED": "1",
    } | {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    if not {f"{PREFIX}SIGNING_KEY", f"{PREFIX}SIGNING_KEY_FILE"} & environ.keys():
        shared[f"{PREFIX}SIGNING_KEY_FILE"] = str(folder.signing_key())
    return shared


def scans_at_once() -> int:
    """As many as anywhere, but no more than there are processors to spare."""
    return min(Settings.model_fields["scans_at_once"].default, half_the_processors())


def floors(options: Options, environ: Mapping[str, str], folder: DataFolder) -> tuple[Floor, ...]:
    """Consumers first, gateways above them: whoever may send is sure that somebody works."""
    return (
        (
            *(_consumers(number, environ, folder) for number in range(1, options.consumers + 1)),
            *_scanner(environ, folder),
        ),
        tuple(_gateway(number, port, environ, folder) for number, port in enumerate(options.gateway_ports, 1)),
    )


def _gateway(number: int, port: int, environ: Mapping[str, str], folder: DataFolder) -> Spec:
    return Spec(
        name=f"gateway-{number}",
        # -P: a folder named `gateway` in the current directory must not be taken for ours.
        command=(sys.executable, "-P", "-m", "gateway"),
        folder=folder.path,
        ready=http_answers(port, "/health/ready"),
        environ={**environ, f"{PREFIX}PORT": str(port)},
    )


def _consumers(number: int, environ: Mapping[str, str], folder: DataFolder) -> Spec:
    return Spec(
        name=f"consumers-{number}",
        command=(sys.executable, "-P", "-m", "consumers", "--stages", ",".join(STAGES)),
        folder=folder.path,
        ready=partitions_owned(environ),
        environ=environ,
    )


def _scanner(environ: Mapping[str, str], folder: DataFolder) -> Floor:
    """Apart from the other stages, and behind them: looking through large files must not hold up a message."""
    if load_settings(environ).s3_url is None:  # nothing to scan: it would end at once
        return ()
    # Not waited for: what is uploaded before it is up is scanned then.
    command = (sys.executable, "-P", "-m", "consumers", "--stages", SCAN)
    return (Spec("scanner", command, folder.path, ready=None, environ=environ, nice=BEHIND),)


def partitions_owned(environ: Mapping[str, str]) -> Probe:
    """Whether every partition has an owner for every stage: from then on what is accepted is worked on."""

    async def ready() -> bool:
        settings = load_settings(environ)
        redis = await Redis.open(settings)
        try:
            for stage in STAGES.values():
                leases = Leases(redis, stage, worker_id="", lease_ms=0)  # looks, takes nothing
                if len(await leases.owners()) < settings.partitions:
                    return False
        except Transient:
            return False
        finally:
            await redis.close()
        return True

    return ready


def http_answers(port: int, path: str) -> Probe:
    """Whether a GET of `path` is answered with 200."""

    async def ready() -> bool:
        reader, writer = await asyncio.open_connection(LOCALHOST, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {LOCALHOST}:{port}\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in await reader.readline()
        finally:
            writer.close()

    return ready
