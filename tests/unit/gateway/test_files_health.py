"""What an operator is called for, by how files are."""

import pytest
from msgspec.structs import replace

from gateway.files_health import LATE_SECONDS, OLD_SIGNATURES_SECONDS, FilesReport, alerts

WELL = FilesReport(
    object_store_up=True, scanner_up=True, signatures_age_seconds=3600, queue_entries=3, queue_age_seconds=1.0
)


def test_nobody_is_called_while_all_is_well() -> None:
    assert alerts(WELL) == []
    assert alerts(replace(WELL, signatures_age_seconds=None, queue_entries=None, queue_age_seconds=None)) == []
    assert (
        alerts(replace(WELL, signatures_age_seconds=OLD_SIGNATURES_SECONDS, queue_age_seconds=float(LATE_SECONDS)))
        == []
    )


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (replace(WELL, object_store_up=False), "object store does not answer"),
        (replace(WELL, scanner_up=None), "no consumer with the stage `scan`"),
        (replace(WELL, scanner_up=False), "scanner does not answer"),
        (replace(WELL, signatures_age_seconds=5 * 86_400.0), "signatures are 5 days old"),
        (replace(WELL, queue_age_seconds=301.0), "waits for its scan since 301 s"),
    ],
)
def test_each_trouble_has_its_sentence(report: FilesReport, said: str) -> None:
    (alert,) = alerts(report)
    assert said in alert
