"""`headrace migrate` and `headrace doctor` on what attachments need: a real object store, a real clamd."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from backplane.settings import Settings
from cli import embedded
from tests.integration.cli.conftest import Deployment
from tests.integration.cli.test_doctor import doctor
from tests.objects import opened, settings_for, when_it_serves
from tests.services import SeaweedServer, clamd_server, free_port, seaweedfs_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    server = seaweedfs_server(tmp_path_factory.mktemp("s3"))
    server.start()

    async def wait(settings: Settings) -> None:
        async with opened(settings) as objects:
            await when_it_serves(objects)

    asyncio.run(wait(settings_for(server)))
    yield server
    server.kill()


@pytest.fixture
def store(s3: SeaweedServer) -> dict[str, str]:
    """The environment of a deployment with an object store, whose buckets are not there yet."""
    settings = settings_for(s3)
    access, secret = embedded.seaweedfs_keys(s3.folder)
    return {
        "HEADRACE_S3_URL": str(settings.s3_url),
        "HEADRACE_S3_ACCESS_KEY": access,
        "HEADRACE_S3_SECRET_KEY": secret,
        "HEADRACE_S3_BUCKET": settings.s3_bucket,
        "HEADRACE_S3_QUARANTINE_BUCKET": settings.s3_quarantine_bucket,
    }


def test_migrate_makes_the_buckets_once_and_its_check_misses_them(
    deployment: Deployment, store: dict[str, str]
) -> None:
    deployment.json("migrate")
    refused = deployment.run("migrate", "--check", **store)
    assert refused.returncode == 1
    assert "there is no bucket" in refused.stderr
    assert doctor(deployment, 1, **store)["s3"]["fix"] == "`headrace migrate`"
    made = deployment.run("migrate", **store)
    assert made.returncode == 0
    assert f"made the bucket {store['HEADRACE_S3_BUCKET']}" in made.stdout
    assert f"made the bucket {store['HEADRACE_S3_QUARANTINE_BUCKET']}" in made.stdout
    assert deployment.run("migrate", **store).stdout == ""
    assert deployment.run("migrate", "--check", **store).returncode == 0
    rows = doctor(deployment, 0, **store)
    assert rows["s3"]["is"] == "ok"
    assert rows["s3 TLS"]["is"] == "ok"
    assert rows["scanner"]["is"] == "warning", "there are attachments, and nothing to scan them with"


def test_wrong_keys_are_told_without_a_traceback(deployment: Deployment, store: dict[str, str]) -> None:
    wrong = store | {"HEADRACE_S3_SECRET_KEY": "hunter2"}
    deployment.json("migrate")
    for command in (["migrate"], ["migrate", "--check"]):
        done = deployment.run(*command, **wrong)
        assert done.returncode == 1, command
        assert "unexpected" not in done.stderr
        assert "hunter2" not in done.stderr
    assert "HEADRACE_S3_SECRET_KEY" in doctor(deployment, 1, **wrong)["s3"]["fix"]


def test_a_store_that_is_away_is_exit_code_3(deployment: Deployment, store: dict[str, str]) -> None:
    away = store | {"HEADRACE_S3_URL": f"http://127.0.0.1:{free_port()}"}
    done = deployment.run("migrate", **away)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert doctor(deployment, 1, **away)["s3"]["is"] == "error"


def test_a_scanner_that_is_away_is_an_error_and_the_rest_is_looked_at(deployment: Deployment, tmp_path: Path) -> None:
    deployment.json("migrate")
    rows = doctor(deployment, 1, HEADRACE_SCANNER_URL=f"unix://{tmp_path}/clamd.ctl")
    assert rows["scanner"]["is"] == "error"
    assert rows["mongodb layout"]["is"] == "ok"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"StreamMaxLength": "30M", "MaxFileSize": "30M"}, set[str]()),
        ({"StreamMaxLength": "2M"}, {"scanner size"}),
        ({"AlertExceedsMax": "no", "AlertEncrypted": "no"}, {"scanner limits", "scanner encryption"}),
    ],
    ids=["in order", "too small", "careless"],
)
def test_a_scanner_is_judged_by_what_it_does(
    deployment: Deployment, tmp_path: Path, options: dict[str, str], wrong: set[str]
) -> None:
    clamd = clamd_server(tmp_path / "clamd", **options)
    if clamd is None:
        pytest.skip("clamd is not installed (Debian: apt-get install clamav-daemon)")
    deployment.json("migrate")
    clamd.start()
    try:
        rows = doctor(deployment, 1 if wrong else 0, HEADRACE_SCANNER_URL=f"tcp://127.0.0.1:{clamd.port}")
    finally:
        clamd.kill()
    scanner = {what: row["is"] for what, row in rows.items() if what.startswith("scanner")}
    assert set(scanner) == {
        f"scanner{more}" for more in ("", " test file", " signatures", " limits", " encryption", " size")
    }
    assert {what for what, level in scanner.items() if level != "ok"} == wrong
    assert "one's own" in rows["scanner signatures"]["seen"]
