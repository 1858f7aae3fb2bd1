"""docker-compose.yml: for this machine alone, watched, run as the embedded services are, and reached by what its header exports."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from backplane.settings import load_settings
from cli import embedded
from cli.up.services import clamd

TEXT = (Path(__file__).parents[3] / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = {name: service for name, service in SERVICES.items() if "profiles" not in service}


def exports() -> dict[str, str]:
    words = [word for line in re.findall(r"#   export (.*)", TEXT) for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def test_there_is_every_outside_service() -> None:
    assert set(LASTING) == {"redis", "mongodb", "s3", "clamd"}


def test_nothing_listens_for_other_machines() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_service_is_watched_pinned_and_keeps_its_data() -> None:
    for name, service in LASTING.items():
        assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"]), name
        assert re.search(r":\d", service["image"]), name
        (volume,) = service["volumes"]
        assert volume.partition(":")[0] in COMPOSE["volumes"], name


def test_what_the_header_exports_leads_to_what_is_published() -> None:
    settings = load_settings(exports(), environment="development")
    ports = {port.split(":")[1] for service in LASTING.values() for port in service["ports"]}
    urls = (
        settings.redis_url.get_secret_value(),
        settings.mongodb_url.get_secret_value(),
        settings.s3_url,
        settings.scanner_url,
    )
    assert {re.findall(r":(\d+)", str(url))[0] for url in urls} == ports
    (identity,) = json.loads(COMPOSE["configs"]["s3"]["content"])["identities"]
    assert settings.s3_access_key is not None
    assert settings.s3_secret_key is not None
    keys = {
        "accessKey": settings.s3_access_key.get_secret_value(),
        "secretKey": settings.s3_secret_key.get_secret_value(),
    }
    assert identity["credentials"] == [keys]


def test_seaweedfs_is_as_closed_as_the_embedded_one(tmp_path: Path) -> None:
    own = set(shlex.split(SERVICES["s3"]["command"]))
    ports = embedded.SeaweedPorts(*range(20_000, 20_009))
    words = embedded.seaweedfs_command(tmp_path / "weed", tmp_path, ports)
    switches = {word for word in words if word.endswith(("=false", "=true", "=0"))}
    assert len(switches) >= 9
    assert switches <= own


def test_clamd_calls_clean_no_more_than_ours_does(tmp_path: Path) -> None:
    lines = clamd.configuration(tmp_path, tmp_path / "clamd.ctl", tmp_path).splitlines()
    ours = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    theirs = {name.removeprefix("CLAMD_CONF_"): value for name, value in SERVICES["clamd"]["environment"].items()}
    assert set(theirs) == {
        "AlertExceedsMax",
        "AlertEncrypted",
        "StreamMaxLength",
        "MaxFileSize",
        "MaxScanSize",
        "MaxFiles",
    }
    assert theirs.items() <= ours.items()
