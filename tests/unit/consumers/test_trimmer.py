import structlog

from backplane import telemetry
from backplane.streams import Trimmed
from consumers.trimmer import alarm


def test_b14_what_is_cut_from_under_an_optional_stage_is_counted_and_logged_as_an_error() -> None:
    """B14"""
    before = telemetry.cut.labels("webhooks")._value.get()
    with structlog.testing.capture_logs() as logs:
        alarm(3, Trimmed(10, {"webhooks": 7}))
        alarm(3, Trimmed(10, {}))
    assert telemetry.cut.labels("webhooks")._value.get() == before + 7
    assert [(line["log_level"], line["stage"], line["partition"], line["entries"]) for line in logs] == [
        ("error", "webhooks", 3, 7)
    ]
