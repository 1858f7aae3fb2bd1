"""The data folder of `headrace up`: everything that must survive a restart, readable by its owner alone.

lock               held while an `up` runs here; holds its process id
choices.json       which programs and ports were chosen: data of one program are rarely readable to another
signing-key.pem    signs access tokens, so that they survive a restart and all gateways agree
services.json      the URLs of what runs, for other commands (cli/running.py); there only while `up` runs
demo.json          the demo's people and their passwords
redis/ mongodb-…/ seaweedfs/ clamd/  the services' own
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Final, Self

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.failures import Failure

DEFAULT: Final = Path(".headrace")


class DataFolder:
    """A data folder that this process holds, from `take` to `release` or its death."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> Self:
        """Create the folder if need be, and lock it.

        Raises:
            Failure: another `up` holds it, or it can not be written.
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (path / "lock").open("a+", encoding="ascii")
        except OSError as failure:
            raise Failure(f"the data folder {path} can not be used: {failure.strerror}") from failure
        if not _locked(lock):
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise Failure(
                f"the data folder {path} is in use by another `headrace up` (process {owner}); "
                "stop that one, or choose another folder with --data"
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return cls(path, lock)

    def release(self) -> None:
        """Let go of the folder."""
        self.services_path.unlink(missing_ok=True)
        self._lock.close()

    def sub(self, name: str) -> Path:
        """A folder inside, made if need be."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @property
    def services_path(self) -> Path:
        """Where the URLs of what runs are told."""
        return self.path / "services.json"

    @property
    def demo_path(self) -> Path:
        """Where the demo's people are kept."""
        return self.path / "demo.json"

    def signing_key(self) -> Path:
        """The file of the key that signs access tokens; made on the first call."""
        path = self.path / "signing-key.pem"
        if not path.exists():
            key = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_private(path, key)
        return path

    def choice(self, name: str) -> str | None:
        """What was chosen under a name in an earlier run."""
        return self._choices().get(name)

    def choices(self, *, ending: str) -> dict[str, str]:
        """All choices of earlier runs and this one whose names end so."""
        return {name: value for name, value in self._choices().items() if name.endswith(ending)}

    def choose(self, name: str, value: str) -> None:
        """Remember a choice for later runs."""
        write_private(self.path / "choices.json", json.dumps(self._choices() | {name: value}, indent=2).encode())

    def _choices(self) -> dict[str, str]:
        path = self.path / "choices.json"
        try:
            return orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError as failure:
            raise Failure(f"{path} is damaged; remove it and start again") from failure


def _locked(file: IO[str]) -> bool:
    """Lock a file. The kernel lets go of it when this process ends, however it ends: there are no stale locks."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)  # perhaps another command only looks whether somebody holds it (cli/running.py)
        else:
            return True
    return False


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone from its first byte."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
