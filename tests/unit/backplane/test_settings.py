"""Configuration errors: all of them at once, each with its variable, and none that is only the echo of another."""

from pathlib import Path

import pytest

from backplane.settings import SettingsError, load_settings

STRONG = "0123456789abcdef0123456789abcdef"


def faults(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings({f"HEADRACE_{name}": value for name, value in environ.items()})
    return str(caught.value).splitlines()


def test_faults_of_single_settings_and_of_several_together_come_at_once() -> None:
    found = faults(PORT="seven", SHARDS="0", OPS_TOKEN="short", LEASE_SECONDS="1", S3_URL="ftp://files")
    named = ["SHARDS:", "PORT:", "LEASE_SECONDS ", "OPS_TOKEN ", "S3_URL ", "S3_ACCESS_KEY "]
    assert [line[: len("HEADRACE_" + name)] for line, name in zip(found, named, strict=True)] == [
        f"HEADRACE_{name}" for name in named
    ]
    assert all("(e.g. " in line for line in found[:5])


def test_a_rule_says_nothing_of_a_setting_that_is_wrong_by_itself(tmp_path: Path) -> None:
    """Its default would be judged: nobody has asked for 10 s, nor for production, nor left the key out."""
    assert [line.partition(":")[0] for line in faults(LEASE_SECONDS="ten", MONGODB_TIMEOUT_SECONDS="20")] == [
        "HEADRACE_LEASE_SECONDS"
    ]
    assert [line.partition(":")[0] for line in faults(ENVIRONMENT="developmnt", OPS_TOKEN="short")] == [
        "HEADRACE_ENVIRONMENT"
    ]
    gone = str(tmp_path / "gone")
    s3 = {"S3_URL": "https://s3.example", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY_FILE": gone}
    assert [line.partition(":")[0] for line in faults(**s3)] == ["HEADRACE_S3_SECRET_KEY_FILE"]


def test_files_that_can_not_be_read_are_told_with_everything_else(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    found = faults(SIGNING_KEY_FILE=str(tmp_path / "gone"), OPS_TOKEN_FILE=str(binary), PORT="0", LEASE_SECONDS="5")
    assert [line.split(maxsplit=1)[0].strip(":") for line in found] == [
        "HEADRACE_OPS_TOKEN_FILE",
        "HEADRACE_SIGNING_KEY_FILE",
        "HEADRACE_PORT",
        "HEADRACE_LEASE_SECONDS",
    ]


@pytest.mark.parametrize("url", ["http://redis", "redis", "redis://["])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    assert faults(REDIS_URL=url)[0].startswith("HEADRACE_REDIS_URL must begin with redis://")


@pytest.mark.parametrize("token", ["short", STRONG[:31], "a" * 64, "abcdefg" * 9])
def test_a_weak_ops_token_is_refused_outside_development(token: str) -> None:
    (found,) = faults(OPS_TOKEN=token)
    assert found.startswith("HEADRACE_OPS_TOKEN is weak")
    assert token not in found.replace("OPS_TOKEN", "")
    assert load_settings({"HEADRACE_OPS_TOKEN": token, "HEADRACE_ENVIRONMENT": "development"}).ops_token
    assert load_settings({"HEADRACE_OPS_TOKEN": STRONG}).ops_token
