"""What `headrace dead` asks and does."""

from collections.abc import Awaitable, Callable, Sequence

from backplane import history
from backplane.redis import Redis
from backplane.streams import Entry
from cli import output
from cli.asking import systems
from cli.asking.entries import original, source_of, stage_of, summary
from cli.places import Reference

Work = Callable[[Redis, Reference], Awaitable[dict[str, object]]]


async def ls(partition: int | None, stage: str | None, count: int) -> tuple[list[output.Row], int]:
    """The newest `count` dead letters, newest first, and how many there are."""
    async with systems.the_redis() as redis:
        found = [
            (at, entry) for at in systems.partitions(redis, partition) for entry in await _dead_of(redis, at, stage)
        ]
    newest = sorted(found, key=lambda one: one[1].id, reverse=True)[:count]
    return [summary("dead", at, entry) for at, entry in newest], len(found)


async def _dead_of(redis: Redis, partition: int, stage: str | None) -> list[Entry]:
    key = redis.names.dead(partition)
    pages = history.pages(redis, key, history.FIRST, history.LAST)
    return [entry async for page in pages for entry in page if stage in {None, stage_of(entry)}]


async def one(reference: Reference, *, bodies: bool) -> output.Row | None:
    """One dead letter; None if it is not there."""
    async with systems.the_redis() as redis:
        systems.partitions(redis, reference.partition)
        entry = await history.one(redis, redis.names.dead(reference.partition), reference.entry_id)
    return summary("dead", reference.partition, entry, bodies=bodies) if entry else None


async def each(
    work: Work, references: Sequence[Reference], partition: int | None, stage: str | None
) -> list[output.Row]:
    """Do `work` to the named ones, or to all of a partition and stage; a row for each, with its `outcome`."""
    async with systems.the_redis() as redis:
        if not references:
            references = [
                Reference(at, entry.id)
                for at in systems.partitions(redis, partition)
                for entry in await _dead_of(redis, at, stage)
            ]
        return [{"entry": str(reference), **await work(redis, reference)} for reference in references]


async def retry(redis: Redis, reference: Reference) -> dict[str, object]:
    """Append first, delete then: killed in between it is sent twice, and the stages know it by its `intent_id`."""
    key = redis.names.dead(reference.partition)
    entry = await history.one(redis, key, reference.entry_id)
    if entry is None:
        return {"outcome": "not there"}
    source = source_of(entry)
    if source is None:
        return {"outcome": f"this version has no stage {stage_of(entry)!r}"}
    target = redis.names.stream(source, reference.partition)
    [new] = await history.append_again(redis, target, [original(entry)])
    await history.remove(redis, key, reference.entry_id)
    return {"outcome": "sent again", "as": f"{source} {new}"}


async def drop(redis: Redis, reference: Reference) -> dict[str, object]:
    """Delete one."""
    key = redis.names.dead(reference.partition)
    gone = await history.remove(redis, key, reference.entry_id)
    return {"outcome": "dropped" if gone else "not there"}
