"""`headrace smoke` against everything that `headrace up` starts; and replay on a deployment that is alive."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import free_port

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def headrace(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "--data", str(folder), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
        env=ENVIRON | environ,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a running `headrace up --demo`."""
    folder = tmp_path_factory.mktemp("up") / "data"
    output = folder.parent / "output.log"
    command = [
        sys.executable,
        "-P",
        "-m",
        "cli.main",
        "up",
        "--data",
        str(folder),
        "--port",
        str(free_port()),
        "--demo",
    ]
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=ENVIRON)
    try:
        deadline = time.monotonic() + 90
        while "Stop:" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        yield folder
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


def smoke(folder: Path, *arguments: str) -> dict[str, object]:
    done = headrace(folder, "smoke", "--timeout", "60", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_one_message_goes_from_end_to_end_with_the_demos_credentials(up: Path) -> None:
    first, second = smoke(up), smoke(up)
    assert first["conversation_id"] == second["conversation_id"], "probing again leaves one conversation, not many"
    assert second["seq"] == int(str(first["seq"])) + 1
    assert {"accepted_ms", "delivered_ms", "found_ms"} <= set(first)


@pytest.mark.slow
def test_a_replay_on_a_living_deployment_stores_nothing_twice(up: Path) -> None:
    """A1, A2: what is found stored is emitted again, and is the same"""
    before = int(str(smoke(up)["seq"]))
    done = headrace(up, "replay", "--all", "--execute", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sent"] > 0
    assert smoke(up)["seq"] == before + 1
    assert headrace(up, "dead", "ls", "--json").stdout == ""


@pytest.mark.slow
def test_a_new_account_is_made_when_asked_for(up: Path) -> None:
    url = json.loads((up / "demo.json").read_text())["url"]
    given = ("--url", url, "--user", "probe", "--password", "correct horse battery")
    assert headrace(up, "smoke", *given).returncode == 1
    assert smoke(up, *given, "--register")["user"] == "probe"
    assert smoke(up, *given, "--register")["user"] == "probe"


def test_a_gateway_that_is_away_is_exit_code_3_and_nobody_to_sign_in_is_2(tmp_path: Path) -> None:
    done = headrace(tmp_path, "smoke", "--url", "http://127.0.0.1:1", "--user", "a", HEADRACE_SMOKE_PASSWORD="b" * 12)
    assert done.returncode == 3
    assert headrace(tmp_path, "smoke").returncode == 2
