"""Real services for tests, on free ports, in temporary folders."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cli import embedded
from cli.up import ports


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process that can be killed, stopped, continued and started again on the same folder and port."""

    def __init__(self, command: Callable[[Path, int], list[str]], folder: Path, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.environ: Mapping[str, str] = {}
        self.folder, self.port, self.command = folder, port or free_port(), command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(self.folder, self.port),
                env={**os.environ, **self.environ},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(
            f"{self.command(self.folder, self.port)[0]} did not come up:\n{(self.folder / 'output.log').read_text()[-2000:]}"
        )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.kill()
        self.start()


def redis_server(folder: Path) -> Server:
    program = embedded.redis_program()
    assert program is not None, "no Redis or Valkey: install the `embedded` extra"
    # Without its own fsyncs each write is with the kernel before it is answered, so a killed server has forgotten nothing. With `everysec` a
    # slow disk holds writes back for up to two seconds, which no test of ours is about.
    keep = ["--appendfsync", "no"]
    return Server(lambda data, port: [*embedded.redis_command(program, data, port), *keep], folder)


class SeaweedServer(Server):
    """SeaweedFS; killed, it leaves sockets in /tmp, named after its ports, wherever its data are."""

    def __init__(self, program: Path, folder: Path, inner: embedded.SeaweedPorts) -> None:
        super().__init__(lambda data, _: embedded.seaweedfs_command(program, data, inner), folder, port=inner.s3)
        self.inner = inner
        self.environ = embedded.seaweedfs_environ()

    def kill(self) -> None:
        super().kill()
        for left in embedded.seaweedfs_sockets((*self.inner, self.inner.admin_grpc)):
            left.unlink(missing_ok=True)


def seaweedfs_server(folder: Path) -> SeaweedServer:
    """S3; `embedded.seaweedfs_keys` has the keys. It listens a little before it serves: `tests/objects.py` waits for that."""
    program = embedded.seaweedfs_program()
    assert program is not None, "no SeaweedFS: install the `embedded` extra"
    inner = embedded.SeaweedPorts.choose(lambda taken: ports.choose(taken=taken), ports.is_free)
    return SeaweedServer(program, folder, inner)


def mongodb_server(folder: Path) -> Server:
    program = embedded.mongodb_stand_in()
    assert program is not None, "no MongoDB-wire server: install the `embedded` extra"
    return Server(lambda data, port: embedded.mongodb_stand_in_command(program, data, port), folder)


EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The harmless file that every scanner must find; in two halves, so that none finds it here."""


def clamd_program() -> str | None:
    """An installed one, or the one that `.ci/clamd` unpacked."""
    unpacked = Path(__file__).parents[1] / ".tools" / "clamav"
    return shutil.which(
        "clamd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(unpacked)])
    )


def clamd_server(folder: Path, **options: str) -> Server | None:
    """clamd with one signature, that of EICAR, on a TCP port and on the UNIX socket `clamd.ctl` of its folder; None where there is none."""
    program = clamd_program()
    if program is None:
        return None

    def command(data: Path, port: int) -> list[str]:
        (data / "signatures").mkdir(exist_ok=True)
        (data / "signatures" / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
        lines = {
            "Foreground": "yes",
            "LocalSocket": str(data / "clamd.ctl"),
            "TCPSocket": str(port),
            "TCPAddr": "127.0.0.1",
            "DatabaseDirectory": str(data / "signatures"),
            "TemporaryDirectory": str(data),
            "AlertExceedsMax": "yes",
            "AlertEncrypted": "yes",
            "MaxThreads": "4",
        } | options
        (data / "clamd.conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        return [program, "-c", str(data / "clamd.conf")]

    return Server(command, folder)
