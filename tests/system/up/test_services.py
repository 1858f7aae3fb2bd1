"""Which services `headrace up` uses, what its folder remembers, and how it sees that they answer."""

import stat
import sys
from pathlib import Path

import orjson
import pytest

from cli import embedded, running
from cli.failures import Failure
from cli.up import ports
from cli.up.folder import DataFolder
from cli.up.output import Output
from cli.up.services.mongodb import mongodb
from cli.up.services.redis import redis
from cli.up.supervisor import Supervisor

pytestmark = pytest.mark.anyio

# A `mongod` that is the stand-in: it takes mongod's command line, so that everything but the set-up of the set is real.
MONGOD = """#!{python}
import os, sys
if "--version" in sys.argv:
    print("db version v7.0.14"); sys.exit()
value = lambda name: sys.argv[sys.argv.index(name) + 1]
os.execv("{stand_in}", ["{stand_in}", "--port", value("--port"), "--host", value("--bind_ip"), "--storage-path", value("--dbpath")])
"""


@pytest.fixture
def folder(tmp_path: Path):
    taken = DataFolder.take(tmp_path / "data")
    yield taken
    taken.release()


def test_a_url_in_the_settings_wins_and_is_shown_without_its_password(folder: DataFolder) -> None:
    service = redis({"HEADRACE_REDIS_URL": "redis://user:secret@example:6379/0"}, folder)
    assert service.spec is None
    assert service.url == "redis://user:secret@example:6379/0"
    assert service.shown_url == "redis://example:6379/0"


def test_a_url_may_come_from_a_file(folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("mongodb://example/\n")
    service = mongodb({"HEADRACE_MONGODB_URL_FILE": str(tmp_path / "url")}, folder)
    assert service.spec is None
    assert service.url == "mongodb://example/"
    with pytest.raises(Failure, match=r"HEADRACE_MONGODB_URL_FILE: .*nowhere can not be read \(No such file"):
        mongodb({"HEADRACE_MONGODB_URL_FILE": str(tmp_path / "nowhere")}, folder)


async def test_the_folder_keeps_its_programs_and_ports(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer Redis could read an older one's data, but not the other way round: what made the data goes on."""
    first = redis({}, folder)
    other = tmp_path / "redis-server"
    other.write_text("#!/bin/sh\necho 'Redis server v=7.0.15'\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert embedded.redis_program() == other
    again = redis({}, folder)
    assert again.spec is not None
    assert first.spec is not None
    assert again.spec.command == first.spec.command


async def test_a_mongod_on_path_is_run_as_a_replica_set_in_a_folder_of_its_own(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mongod = tmp_path / "mongod"
    mongod.write_text(MONGOD.format(python=sys.executable, stand_in=embedded.mongodb_stand_in()))
    mongod.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    service = mongodb({}, folder)
    assert service.spec is not None
    assert service.spec.command[0] == str(mongod)
    assert "--replSet" in service.spec.command
    assert service.spec.folder == folder.path / "mongodb"
    assert service.origin == "mongod 7.0.14"
    output = Output(hidden=("mongodb", "up"))
    supervisor = Supervisor(output.say)
    try:
        await supervisor.start(service.spec)
    finally:
        await supervisor.stop()


def test_the_folder_and_what_is_secret_in_it_are_their_owner_s_alone(folder: DataFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.signing_key().stat().st_mode) == 0o600


def test_the_signing_key_is_made_once(folder: DataFolder) -> None:
    assert folder.signing_key().read_bytes() == folder.signing_key().read_bytes()
    assert b"PRIVATE KEY" in folder.signing_key().read_bytes()


def test_a_damaged_memory_is_told(folder: DataFolder) -> None:
    (folder.path / "choices.json").write_text("{")
    with pytest.raises(Failure, match=r"choices.json is damaged; remove it"):
        folder.choice("redis")


def test_ports_are_kept_out_of_the_range_of_outgoing_connections() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < low for port in (ports.CHOICE[0], ports.CHOICE[-1]))


def test_only_a_living_up_lends_its_settings(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in running.URLS:
        monkeypatch.delenv(name, raising=False)
    folder.services_path.write_bytes(orjson.dumps({"HEADRACE_REDIS_URL": "redis://127.0.0.1:1/0"}))
    with pytest.MonkeyPatch.context() as lent:
        lent.setenv("HEADRACE_REDIS_URL", "redis://mine/0")
        assert not running.adopt(folder.path), "the user's own environment goes first"
    folder.release()
    assert not running.adopt(folder.path), "nobody runs there"
