"""The owner of a partition cuts its stage's stream to the replay window, never what a required group still needs (hole B14)."""

import structlog

from backplane import telemetry
from backplane.errors import Fenced, Transient
from backplane.settings import Settings
from backplane.streams import Partition, Trimmed
from consumers.tenure import Tenure

log = structlog.get_logger(__name__)


async def keep_trimmed(partition: Partition, tenure: Tenure, settings: Settings) -> None:
    """Trim every `trim_seconds` until the tenure is over; what fails is done the next time."""
    while True:
        await tenure.pause(settings.trim_seconds)
        if not tenure.alive:
            return
        try:
            trimmed = await partition.trim(
                max_age_seconds=settings.stream_max_age_seconds, max_entries=settings.stream_max_entries
            )
        except Fenced:
            return
        except Transient as failure:
            log.warning("not trimmed this time", partition=partition.partition, error=str(failure))
        else:
            alarm(partition.partition, trimmed)


def alarm(partition: int, trimmed: Trimmed) -> None:
    """Say what was cut from under an optional stage: it was more than its `max_lag` behind, or does not run."""
    for stage, entries in trimmed.lost.items():
        telemetry.cut.labels(stage).inc(entries)
        log.error(
            "a stage was too far behind: entries that it had not handled are cut",
            stage=stage,
            partition=partition,
            entries=entries,
        )
