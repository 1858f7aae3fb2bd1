"""The table of consumer stages: which stream each reads, under which group, and what it may hold back.

A consumer group is named after its stage. `required` groups are never overtaken by trimming (hole B14).
"""

from typing import Final, Literal, NamedTuple

StageName = Literal["persist", "fanout"]
StreamKind = Literal["intents", "events"]
PartitionStream = Literal["intents", "events", "dead"]
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
}


def groups_of(stream: StreamKind) -> list[Stage]:
    """The stages that read a stream, required or not: what trimming has to respect."""
    return [stage for stage in STAGES.values() if stage.stream == stream]
