import json
import time
from pathlib import Path

from click.testing import CliRunner

from cli.keys import command


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(command, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result.output


def kids(file: Path) -> dict[str, str]:
    return {key["status"]: key["kid"] for key in json.loads(file.read_text())["keys"]}


def test_a_file_of_keys_from_its_birth_through_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    run("generate", "--out", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "exists" in run("generate", "--out", file, code=1)
    before = kids(file)
    assert "not known everywhere" in run("rotate", file, code=1)
    assert kids(file) == before
    aged = json.loads(file.read_text())
    for key in aged["keys"]:
        key["created_at"] = int(time.time()) - 4000
    file.write_text(json.dumps(aged))
    run("rotate", file)
    after = kids(file)
    assert (after["current"], after["previous"]) == (before["next"], before["current"])
    assert file.stat().st_mode & 0o777 == 0o600
    run("rotate", file, "--force")
    assert kids(file)["current"] == after["next"]


def test_nothing_that_is_shown_holds_a_private_half(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    run("generate", "--out", file)
    secrets = [key["d"] for key in json.loads(file.read_text())["keys"]]
    shown = run("list", file) + run("list", file, "--json") + run("public", file)
    assert not [secret for secret in secrets if secret in shown]
    rows = [json.loads(line) for line in run("list", file, "--json").splitlines()]
    assert [(row["status"], row["signs"]) for row in rows] == [("current", True), ("next", False)]


def test_a_damaged_file_is_said_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("{")
    for verb in ("list", "rotate", "public"):
        assert "keys.json: the JWK Set can not be read" in run(verb, file, code=1)
