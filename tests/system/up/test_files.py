"""What `headrace up` starts for attachments: SeaweedFS, and clamd where there is one."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backplane.errors import Transient
from backplane.scanner import Clean, Infected, Scanner, parse_address
from backplane.settings import Settings, load_settings
from cli import embedded
from cli.up import ports, processes
from cli.up.folder import DataFolder
from cli.up.processes import Options
from cli.up.services import choice
from cli.up.services import clamd as scanning
from cli.up.services import seaweedfs as storing
from tests.conftest import mongodb_url, redis_url
from tests.objects import stream
from tests.services import EICAR, Server, clamd_program
from tests.system.up.conftest import Up, kept, settings_of, store
from tests.system.up.test_up import is_ready, until

Start = Callable[..., Up]

CLAMD = clamd_program()
"""A real one; asked before a test puts another one on PATH."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    taken = DataFolder.take(tmp_path / "data")
    yield taken
    taken.release()


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH, with a clamd that only says its version, and a clamconf that names `tools/signatures`."""
    folder = tmp_path / "tools"
    (folder / "signatures").mkdir(parents=True)
    program(folder / "clamd", "echo ClamAV 1.4.6/27450/Thu Nov 26 09:30:00 2026")
    program(folder / "clamconf", f"echo 'Database directory: {folder / 'signatures'}'")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def test_the_seaweedfs_of_a_folder_keeps_its_ports_and_keys(folder: DataFolder) -> None:
    first, again = (storing.seaweedfs({}, folder) for _ in range(2))
    assert first.spec is not None
    assert again.spec is not None
    assert first.spec.command == again.spec.command
    assert first.environ == again.environ
    assert set(first.environ) == {storing.S3_URL, *storing.S3_KEYS}
    assert first.origin.startswith("SeaweedFS 4.")


def test_one_port_in_use_moves_all_of_them(folder: DataFolder) -> None:
    first = storing.seaweedfs({}, folder)
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(first.url.rpartition(":")[2])))
        other.listen()
        assert storing.seaweedfs({}, folder).url != first.url


def test_no_two_services_get_one_port(folder: DataFolder) -> None:
    services = choice.choose({scanning.SCANNER_URL: ""}, folder)
    kept = ",".join(folder.choices(ending="-port").values()).split(",")
    assert len(kept) == len(set(kept)) == 12
    assert [spec.name for spec in services.specs] == ["redis", "mongodb", "seaweedfs"]


def test_files_are_scanned_apart_and_behind_the_rest(folder: DataFolder) -> None:
    """Else large files would hold up messages; see tests/system/test_large_files.py."""
    services = choice.choose({scanning.SCANNER_URL: ""}, folder)
    environ = services.settle({"HEADRACE_ENVIRONMENT": "development"})
    (consumers, scanner), _ = processes.floors(Options(folder.path), environ, folder)
    assert "scan" not in consumers.command[-1].split(",")
    assert (scanner.command[-1], consumers.nice) == ("scan", 0)
    assert scanner.nice > 0
    without, _ = processes.floors(Options(folder.path), environ | {"HEADRACE_S3_URL": ""}, folder)
    assert [spec.name for spec in without] == ["consumers-1"]


@pytest.mark.parametrize(("processors", "share"), [(1, 1), (2, 1), (6, 3), (64, 4)])
def test_files_keep_half_of_the_processors_busy_at_most(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, processors: int, share: int
) -> None:
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    environ = processes.environment({}, folder, Options(folder.path))
    assert environ["HEADRACE_SCANS_AT_ONCE"] == str(share)
    spec = storing.seaweedfs({}, folder).spec
    assert spec is not None
    assert spec.environ == {"GOMAXPROCS": str(max(1, processors // 2))}
    monkeypatch.setenv("GOMAXPROCS", "7")
    assert embedded.seaweedfs_environ() == {"GOMAXPROCS": "7"}
    wished = {"HEADRACE_SCANS_AT_ONCE": "7"}
    assert processes.environment(wished, folder, Options(folder.path))["HEADRACE_SCANS_AT_ONCE"] == "7"


def test_keys_that_are_settled_win_over_a_file_of_the_user_s(folder: DataFolder, tmp_path: Path) -> None:
    environ = {f"{storing.S3_KEYS[0]}_FILE": str(tmp_path / "key"), "HEADRACE_ENVIRONMENT": "development"}
    services = choice.choose(environ | {scanning.SCANNER_URL: ""}, folder)
    settings = load_settings(services.settle(environ))
    assert settings.s3_access_key is not None
    assert settings.s3_access_key.get_secret_value() == embedded.seaweedfs_keys(folder.path / "seaweedfs")[0]


def test_a_store_that_is_given_is_used_and_its_keys_stay_off_the_disk(folder: DataFolder) -> None:
    url = {"HEADRACE_S3_URL": "https://s3.example"}
    keys = {"HEADRACE_S3_ACCESS_KEY": "ak", "HEADRACE_S3_SECRET_KEY": "sk"}
    service = storing.seaweedfs(url | keys, folder)
    assert (service.spec, service.shown_url) == (None, "https://s3.example")
    assert choice.secret(url | keys) == {*url, *keys}
    assert choice.secret(url | {f"{name}_FILE": "key" for name in keys}) == frozenset()
    assert choice.secret({}) == frozenset()


def test_an_empty_url_asks_for_no_store_and_no_scanner(folder: DataFolder, tools: Path) -> None:
    (tools / "signatures" / "daily.cvd").touch()
    for service in (
        storing.seaweedfs({storing.S3_URL: ""}, folder),
        scanning.clamd({scanning.SCANNER_URL: ""}, folder),
    ):
        assert (service.url, service.spec) == ("", None)
    assert load_settings({storing.S3_URL: "", "HEADRACE_ENVIRONMENT": "development"}).s3_url is None


def test_without_seaweedfs_everything_else_goes_on(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "seaweedfs_program", lambda: None)
    service = storing.seaweedfs({}, folder)
    assert (service.url, service.spec, service.environ) == ("", None, {})
    assert "attachments are off" in service.origin


def test_without_a_clamd_it_is_said_what_to_install(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "clamd_program", lambda: None)
    service = scanning.clamd({}, folder)
    assert (service.url, service.spec, service.environ, service.origin) == ("", None, {}, scanning.NONE)


def test_a_clamd_without_signatures_is_none(folder: DataFolder, tools: Path) -> None:
    assert scanning.clamd_program() == tools / "clamd"
    assert scanning.clamd({}, folder).origin == scanning.NO_SIGNATURES
    (tools / "signatures" / "freshclam.dat").touch()
    assert scanning.clamd({}, folder).environ == {}
    (tools / "signatures" / "daily.cld").touch()
    service = scanning.clamd({}, folder)
    assert service.spec is not None
    assert service.spec.ready is None, "nobody waits for it"
    assert service.environ == {scanning.SCANNER_URL: f"unix://{folder.path}/clamd/clamd.ctl"}
    assert service.origin.startswith("clamd 1.4.6, starting")


def test_a_socket_that_would_be_too_deep_is_in_a_private_folder_the_same_each_time(tmp_path: Path, tools: Path) -> None:
    (tools / "signatures" / "main.cvd").touch()
    folder = DataFolder.take(tmp_path / ("d" * 100))
    first, again = (scanning.clamd({}, folder).url for _ in range(2))
    assert first == again
    place = Path(str(parse_address(first)))
    assert len(os.fsencode(place)) <= scanning.LONGEST_SOCKET
    assert place.parent.stat().st_mode & 0o777 == 0o700
    place.parent.chmod(0o777)
    other = Path(str(parse_address(scanning.clamd({}, folder).url)))
    assert other != place, "others could put a socket of theirs there"
    folder.release()
    for one in (place, other):
        one.parent.rmdir()


def stored(settings: Settings, key: str) -> bool:
    with contextlib.suppress(Transient):
        store(settings, key)
        return True
    return False


def verdict(settings: Settings, content: bytes) -> object:
    async def run() -> object:
        scanner = await Scanner.open(settings)
        assert scanner is not None
        with contextlib.suppress(Transient):
            return await scanner.scan(stream(content))

    return asyncio.run(run())


def given(redis: Server, mongodb: Server) -> dict[str, str]:
    name = f"files{os.getpid()}"
    return {
        "HEADRACE_REDIS_URL": redis_url(redis), "HEADRACE_MONGODB_URL": mongodb_url(mongodb),
        "HEADRACE_NAMESPACE": name, "HEADRACE_MONGODB_DATABASE": name, "HEADRACE_PARTITIONS": "4", "HEADRACE_SHARDS": "4",
    }  # fmt: skip


def child(running: Up, program: str) -> int:
    return next(pid for pid, command in running.children().items() if f"/{program} " in command)


def test_attachments_have_a_store_and_a_scanner_that_come_back_when_they_are_killed(
    up: Start, redis: Server, mongodb: Server, tools: Path
) -> None:
    if CLAMD is None:
        pytest.skip("clamd is not installed (Debian: apt-get install clamav-daemon)")
    (tools / "signatures" / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    (tools / "clamd").unlink()
    (tools / "clamd").symlink_to(CLAMD)
    environ = given(redis, mongodb) | {"PATH": os.environ["PATH"]}
    port = ports.choose()
    running = up("--port", str(port), **environ, HEADRACE_SCANNER_URL=None)
    running.until("Stop:  Ctrl-C")
    settings = settings_of(running.data)
    assert "SeaweedFS 4." in running.until(f"  {settings.s3_url}  ")
    assert "clamd 1." in running.until(f"  {settings.scanner_url}  ")
    store(settings, "first")
    until(lambda: verdict(settings, b"hello") == Clean())
    assert isinstance(verdict(settings, EICAR), Infected)
    for name in ("weed", "clamd"):
        os.kill(child(running, name), signal.SIGKILL)
    running.until("seaweedfs died (SIGKILL); starting it again in 0.5 s")
    running.until("clamd died (SIGKILL); starting it again in 0.5 s")
    assert is_ready(port), "nobody needs them to chat"
    until(lambda: stored(settings, "second"))
    until(lambda: isinstance(verdict(settings, EICAR), Infected))
    assert kept(settings, "first")
    running.send(signal.SIGTERM)
    assert running.wait() == 0, running.output


def test_without_a_scanner_a_line_says_how_to_get_one(up: Start, redis: Server, mongodb: Server, tools: Path) -> None:
    environ = given(redis, mongodb) | {"PATH": os.environ["PATH"]}
    running = up("--port", str(ports.choose()), **environ, HEADRACE_SCANNER_URL=None, HEADRACE_S3_URL="")
    running.until("Stop:  Ctrl-C")
    assert scanning.NO_SIGNATURES in running.output
    told = json.loads((running.data / "services.json").read_text())
    assert scanning.SCANNER_URL not in told
    assert not any("weed" in command for command in running.children().values())


def test_a_given_store_that_is_away_or_refuses_is_told(up: Start, redis: Server, mongodb: Server) -> None:
    away = {
        "HEADRACE_S3_URL": f"http://127.0.0.1:{ports.choose()}",
        "HEADRACE_S3_ACCESS_KEY": "ak",
        "HEADRACE_S3_SECRET_KEY": "hunter2",
    }
    running = up("--port", str(ports.choose()), **given(redis, mongodb), **away)
    assert running.wait() == 3
    assert "Error: S3, as HEADRACE_S3_URL names it, does not answer" in running.output
    assert "hunter2" not in running.output
    assert "Traceback" not in running.output
