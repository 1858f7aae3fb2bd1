"""`headrace up` with real services and processes: what a person gets, keeps, and is told when it does not work."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.up import ports
from cli.up.folder import DataFolder
from tests.conftest import mongodb_url, redis_url
from tests.services import Server
from tests.system.up.conftest import Up, kept, settings_of, store

Start = Callable[..., Up]


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def sign_in(port: int, username: str, password: str) -> str:
    body = json.dumps({"username": username, "password": password}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/auth/login", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["access_token"]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_demo_survives_the_death_of_a_gateway_of_the_supervisor_and_of_everything(up: Start, tmp_path: Path) -> None:
    port = ports.choose()
    first = up("--port", str(port), "--demo")
    first.until("Stop:  Ctrl-C")
    assert is_ready(port)
    demo = json.loads((first.data / "demo.json").read_text())
    assert [user["username"] for user in demo["users"]] == ["alice", "bob", "carol"]
    assert demo["url"] == f"http://127.0.0.1:{port}"
    for user in demo["users"]:
        assert user["password"] in first.output
    assert demo["conversations"][0]["conversation_id"] in first.output
    assert (first.data / "demo.json").stat().st_mode & 0o077 == 0
    assert (first.data / "signing-key.pem").stat().st_mode & 0o077 == 0

    # Another command, in another terminal, finds the services without being told any URL.
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "--data", str(first.data), "config", "show"],
        check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert f"{port}" in next(line for line in shown.stdout.splitlines() if line.startswith("HEADRACE_PORT "))

    gateway = next(pid for pid, command in first.children().items() if "-m gateway" in command)
    os.kill(gateway, signal.SIGKILL)
    first.until("gateway-1 died (SIGKILL); starting it again in 0.5 s")
    until(lambda: is_ready(port))

    store(settings_of(first.data), "an attachment")
    children = first.children()
    assert len(children) == 6
    first.send(signal.SIGKILL)
    first.wait()
    until(lambda: not any(is_running(pid) for pid in children))

    second = up("--port", str(port), "--demo")
    second.until("Stop:  Ctrl-C")
    assert json.loads((second.data / "demo.json").read_text()) == demo
    sign_in(port, "alice", demo["users"][0]["password"])
    assert kept(settings_of(second.data), "an attachment")
    children = second.children()
    stopped = time.monotonic()
    second.send(signal.SIGTERM)
    assert second.wait() == 0, second.output
    assert time.monotonic() - stopped < 15
    assert not any(is_running(pid) for pid in children)
    assert not (second.data / "services.json").exists()


@pytest.mark.slow
def test_given_services_are_used_and_not_started_and_gateways_take_the_next_ports(
    up: Start, redis: Server, mongodb: Server, tmp_path: Path
) -> None:
    port = next(one for one in iter(ports.choose, None) if ports.is_free(one + 1))
    name = f"up{os.getpid()}"
    running = up(
        "--port", str(port), "--gateways", "2", "--consumers", "2",
        HEADRACE_REDIS_URL=redis_url(redis), HEADRACE_MONGODB_URL=mongodb_url(mongodb),
        HEADRACE_S3_URL="", HEADRACE_NAMESPACE=name, HEADRACE_MONGODB_DATABASE=name, HEADRACE_PARTITIONS="4", HEADRACE_SHARDS="4",
    )  # fmt: skip
    running.until("Stop:  Ctrl-C")
    assert "given by HEADRACE_REDIS_URL" in running.output
    assert "given by HEADRACE_MONGODB_URL" in running.output
    assert sorted(command.split(" -m ")[1].split()[0] for command in running.children().values()) == [
        "consumers", "consumers", "gateway", "gateway",
    ]  # fmt: skip
    assert is_ready(port)
    assert is_ready(port + 1)
    children = running.children()
    stopped = time.monotonic()
    running.send(signal.SIGINT)
    assert running.wait() == 0, running.output
    assert time.monotonic() - stopped < 15
    assert not any(is_running(pid) for pid in children)


def test_a_port_in_use_is_told_before_anything_starts(up: Start) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        running = up("--port", str(port))
        assert running.wait() == 1
    assert running.output == f"Error: port {port} is in use; stop what uses it, or choose another with --port"
    assert not running.data.exists()


def test_a_data_folder_in_use_is_told_with_its_owner(up: Start, tmp_path: Path) -> None:
    folder = DataFolder.take(tmp_path / "data")
    running = up("--port", str(ports.choose()))
    assert running.wait() == 1
    folder.release()
    assert f"is in use by another `headrace up` (process {os.getpid()})" in running.output
    assert len(running.lines) == 1


def test_a_service_that_does_not_come_up_is_told_with_the_end_of_its_log(up: Start, tmp_path: Path) -> None:
    broken = tmp_path / "data" / "redis" / "appendonlydir"
    broken.mkdir(parents=True)
    (broken / "appendonly.aof.manifest").write_text("this is no manifest\n")
    running = up("--port", str(ports.choose()))
    assert running.wait() == 1
    assert "Error: redis ended at once (exit 1); its last lines:" in running.output
    assert "AOF" in running.output
    assert "Traceback" not in running.output
    assert not running.children()


def test_wrong_settings_are_told_all_at_once(up: Start) -> None:
    running = up("--port", str(ports.choose()), HEADRACE_SHARDS="0", HEADRACE_LEASE_SECONDS="soon")
    assert running.wait() == 2
    assert "HEADRACE_SHARDS" in running.output
    assert "HEADRACE_LEASE_SECONDS" in running.output
    assert "Traceback" not in running.output


def test_a_given_service_that_does_not_answer_is_told(up: Start) -> None:
    away = f"redis://:hunter2@127.0.0.1:{ports.choose()}/0"
    running = up("--port", str(ports.choose()), HEADRACE_REDIS_URL=away)
    assert running.wait(60) == 3
    assert "Error: Redis, as HEADRACE_REDIS_URL names it, does not answer" in running.output
    assert "hunter2" not in running.output
    assert "Traceback" not in running.output


def test_an_interrupted_start_leaves_nothing_behind(up: Start) -> None:
    running = up("--port", str(ports.choose()))
    running.until("starting redis, mongodb, seaweedfs")
    stopped = time.monotonic()
    running.send(signal.SIGINT)
    assert running.wait() == 0, running.output
    assert time.monotonic() - stopped < 15
    assert "Headrace" not in running.output
    assert not running.children()
