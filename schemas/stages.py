"""The table of consumer stages: which stream each reads, under which group, and what it may hold back.

A consumer group is named after its stage. `required` groups are never overtaken by trimming (hole B14).
"""

from typing import Final, Literal, NamedTuple

StageName = Literal["persist", "fanout", "receipts"]
StreamKind = Literal["intents", "events", "receipts"]
PartitionStream = Literal["intents", "events", "receipts", "dead"]
"""Every stream of a partition: those that stages read, and the dead letters."""


class Stage(NamedTuple):
    """One stage: what it is called and what it reads."""

    name: StageName
    stream: StreamKind
    required: bool
    reads: str


STAGES: Final[dict[StageName, Stage]] = {
    "persist": Stage("persist", "intents", True, "intents: decide, store in MongoDB, settle with the events"),
    "fanout": Stage("fanout", "events", True, "events: append to every recipient's log and ring the doorbell"),
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
