"""The table of consumer stages: which stream each reads, under which group, and what it may hold back.

A consumer group is named after its stage. `required` groups are never overtaken by trimming; an optional one holds a stream back
only for as long as it is at most `max_lag` entries behind, and is cut and alarmed beyond (hole B14).
"""

from typing import Final, Literal, NamedTuple

StageName = Literal["persist", "receipts", "fanout", "webhooks"]
StreamKind = Literal["intents", "events", "receipts"]
Replayed = Literal["intents", "receipts"]
"""What gateways add: appended again, the stages do it again."""
PartitionStream = Literal["intents", "events", "receipts", "dead"]
"""Every stream of a partition: those that stages read, and the dead letters."""


class Stage(NamedTuple):
    """One stage: what it is called and what it reads."""

    name: StageName
    stream: StreamKind
    required: bool
    reads: str
    max_lag: int | None = None
    """Entries of a partition that an optional stage may be behind before it is cut; None for a required one: no limit."""


Runnable = Literal["persist", "receipts", "fanout", "webhooks", "scan"]
"""What a consumer process can run: the table's stages, and the one without partitions."""
SCAN: Final = "scan"
"""Files are scanned in no order, by whoever is free (hole D8)."""

STAGES: Final[dict[StageName, Stage]] = {
    "persist": Stage("persist", "intents", True, "intents: decide, store in MongoDB, settle with the events"),
    "fanout": Stage("fanout", "events", True, "events: append to every recipient's log and ring the doorbell"),
    "webhooks": Stage(
        "webhooks", "events", False, "events: park what webhooks want in MongoDB, and send it", max_lag=100_000
    ),
    "receipts": Stage("receipts", "receipts", True, "marks: merge, raise in MongoDB, settle with the events"),
}


def groups_of(stream: StreamKind) -> list[Stage]:
    """The stages that read a stream, required or not: what trimming has to respect."""
    return [stage for stage in STAGES.values() if stage.stream == stream]


def work_of(stream: StreamKind) -> list[Stage]:
    """The required stages that have to do with what a gateway adds to a stream: its readers, and those of the events that come of it.

    If one of them is behind, nothing is added. So a flood of marks holds up marks alone, and never a message.
    """
    return [stage for stage in STAGES.values() if stage.required and stage.stream in {stream, "events"}]
