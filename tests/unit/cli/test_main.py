"""The command line as a person meets it: help, errors in one line, exit codes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from cli.main import NOUNS
from cli.up import ports
from cli.up.folder import DataFolder


def headrace(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env=clean | environ,
    )


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys\nfrom cli.main import main\nsys.argv = ['headrace', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'pymongo', 'redis', 'pydantic', 'rich', 'asyncio'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in NOUNS:
        assert f"\n  {name} " in done.stdout


def test_help_answers_soon() -> None:
    durations: list[float] = []
    for _ in range(3):
        started = time.monotonic()
        headrace("--help")
        durations.append(time.monotonic() - started)
    assert min(durations) < 1.0  # 0.2 s on an idle machine


def test_an_unknown_command_is_wrong_usage() -> None:
    done = headrace("fly")
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_told_all_at_once_without_a_traceback(tmp_path: Path) -> None:
    done = headrace("config", "check", cwd=tmp_path, HEADRACE_PORT="seven", HEADRACE_SHARDS="0")
    assert done.returncode == 2
    assert "HEADRACE_PORT" in done.stderr
    assert "HEADRACE_SHARDS" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = headrace("--debug", "config", "check", cwd=tmp_path, HEADRACE_PORT="seven")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_config_masks_secrets_and_says_where_values_come_from(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("0123456789abcdefghijklmnopqrstuvwxyz\n")
    done = headrace(
        "config",
        "show",
        cwd=tmp_path,
        HEADRACE_ENVIRONMENT="development",
        HEADRACE_REDIS_URL="redis://:hunter2@127.0.0.1:6379/0",
        HEADRACE_OPS_TOKEN_FILE=str(secret),
    )
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout
    assert "0123456789" not in done.stdout
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert lines["HEADRACE_REDIS_URL"][1:] == ["********", "environment"]
    assert lines["HEADRACE_OPS_TOKEN"][1:] == ["********", "file", str(secret)]
    assert lines["HEADRACE_PORT"][1:] == ["8000", "default"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -P -m cli.main config show | true"
    done = subprocess.run(
        ["bash", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"HEADRACE_ENVIRONMENT": "development"},
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_unknown_stages_are_refused_before_anything_runs() -> None:
    done = headrace("consumers", "--stages", "persist,fly")
    assert done.returncode == 2
    assert "fly; there are: persist, receipts, fanout, webhooks, scan" in done.stderr


def test_a_folder_of_the_same_name_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "consumers").mkdir()
    (tmp_path / "consumers" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = headrace("consumers", cwd=tmp_path, HEADRACE_PORT="seven")
    assert done.returncode == 2
    assert "HEADRACE_PORT" in done.stderr


def test_the_data_folder_may_be_named_before_the_command_or_in_the_environment(tmp_path: Path) -> None:
    taken = DataFolder.take(tmp_path / "here")
    before = headrace("--data", str(taken.path), "up", "--port", str(ports.choose()))
    inside = headrace("up", "--port", str(ports.choose()), cwd=tmp_path, HEADRACE_DATA="here")
    taken.release()
    assert "is in use by another" in before.stderr
    assert "is in use by another" in inside.stderr
