"""The clamd.conf that `headrace up` writes."""

from pathlib import Path

from backplane.settings import Settings
from cli.up.services.clamd import configuration
from consumers.inspection.budget import Limits

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def options() -> dict[str, str]:
    text = configuration(Path("/data/clamd"), Path("/data/clamd/clamd.ctl"), Path("/var/lib/clamav"))
    return dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def size(name: str) -> int:
    value = options()[name]
    return int(value[:-1]) * UNITS[value[-1]]


def test_it_listens_for_this_user_alone() -> None:
    assert options()["LocalSocketMode"] == "600"
    assert not any(name.startswith("TCP") for name in options())


def test_it_calls_nothing_clean_that_it_did_not_look_at() -> None:
    assert options()["AlertExceedsMax"] == options()["AlertEncrypted"] == "yes"


def test_it_looks_into_all_that_is_let_through_to_it() -> None:
    """Of a member of an archive that is over `MaxFileSize` clamd says nothing, whatever it is told to alert of."""
    limits, largest = Limits(), Settings.model_fields["attachment_max_bytes"].default
    assert size("StreamMaxLength") > 2 * largest
    assert min(size("MaxFileSize"), size("MaxScanSize")) > 1.5 * limits.total_bytes
    assert int(options()["MaxFiles"]) > limits.entries
