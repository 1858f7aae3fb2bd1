"""S3 for attachments: given by a URL, or the embedded SeaweedFS. Without either there are no attachments; everything else works."""

import asyncio
from collections.abc import Mapping
from typing import Final

from backplane.errors import Permanent, Transient
from backplane.objects.s3 import Objects
from backplane.settings import PREFIX, load_settings
from cli import embedded
from cli.up import ports
from cli.up.child import BEHIND, Probe, Spec
from cli.up.folder import DataFolder
from cli.up.ports import LOCALHOST
from cli.up.services.outside import INSTALL, Service, given, settle, taken

NAME: Final = "seaweedfs"
S3_URL: Final = PREFIX + "S3_URL"
S3_KEYS: Final = (PREFIX + "S3_ACCESS_KEY", PREFIX + "S3_SECRET_KEY")
_PORTS: Final = f"{NAME}-port"


def seaweedfs(environ: Mapping[str, str], folder: DataFolder) -> Service:
    """The object store to use. A URL that is set and empty asks for none."""
    url = given(environ, S3_URL)
    if url == "":
        return Service("s3", "", f"none: {S3_URL} is empty, and attachments are off", {S3_URL: ""})
    if url is not None:
        return Service("s3", url, f"given by {S3_URL}", {S3_URL: url})
    program = embedded.seaweedfs_program()
    if program is None:
        return Service("s3", "", f"none: attachments are off; {INSTALL}")
    data = folder.sub(NAME)
    listening = _ports(folder)
    url = f"http://{LOCALHOST}:{listening.s3}"
    settled = {S3_URL: url} | dict(zip(S3_KEYS, embedded.seaweedfs_keys(data), strict=True))
    command = tuple(embedded.seaweedfs_command(program, data, listening))
    probe = buckets_can_be_made(listening.s3, settle(environ, settled))
    spec = Spec(NAME, command, data, probe, environ=embedded.seaweedfs_environ(), ready_seconds=60.0, nice=BEHIND)
    return Service("s3", url, f"SeaweedFS {embedded.version_of(program)}".strip(), settled, spec)


def tidy(folder: DataFolder) -> None:
    """Remove what SeaweedFS leaves outside of the folder; when it has ended."""
    for left in embedded.seaweedfs_sockets(_kept_ports(folder)):
        left.unlink(missing_ok=True)


def buckets_can_be_made(at: int, environ: Mapping[str, str]) -> Probe:
    """Whether the buckets are there, made on the way: it listens a little before it can make any."""

    async def ready() -> bool:
        _, writer = await asyncio.open_connection(LOCALHOST, at)
        writer.close()
        objects = await Objects.open(load_settings(environ))
        try:
            await objects.ensure_buckets()
        except (Transient, Permanent):
            return False
        finally:
            await objects.close()
        return True

    return ready


def _ports(folder: DataFolder) -> embedded.SeaweedPorts:
    """The same ports as last time, if all of them are free."""
    others = taken(folder, NAME)
    if before := _kept_ports(folder):
        kept = embedded.SeaweedPorts(*before[: len(embedded.SeaweedPorts._fields)])
        if all(ports.is_free(one) and one not in others for one in (*kept, kept.admin_grpc)):
            return kept
    found = embedded.SeaweedPorts.choose(lambda own: ports.choose(taken={*others, *own}), ports.is_free)
    folder.choose(_PORTS, ",".join(map(str, (*found, found.admin_grpc))))
    return found


def _kept_ports(folder: DataFolder) -> list[int]:
    return [int(one) for one in (folder.choice(_PORTS) or "").split(",") if one]
