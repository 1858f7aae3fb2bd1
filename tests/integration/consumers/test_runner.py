"""What can not be handled, and what is away: neighbours go on, nobody waits in silence, nothing is counted wrongly."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from backplane.errors import Transient
from backplane.leases import Leases
from backplane.streams import Entry, Partition, Settled
from consumers.runner import Runner
from consumers.stages import Work
from consumers.tenure import Tenure
from schemas.events import Event
from schemas.ids import ConversationId, UserId
from schemas.intents import encode_intent
from schemas.names import BODY_FIELD, HEADER_FIELD, INTENT_FIELD
from schemas.stages import STAGES, StageName
from tests.conftest import mongodb_url
from tests.integration.consumers.deployment import Deployment, a_send, until
from tests.services import Server, mongodb_server

pytestmark = pytest.mark.anyio

ANN, BEN = UserId("ann"), UserId("ben")


async def test_poison_of_every_shape_is_buried_and_its_neighbours_are_not(deployment: Deployment) -> None:
    """A10, B1"""
    group = deployment.group_in(0, ANN, BEN)
    elsewhere = deployment.group_in(1, ANN, BEN)
    room = group.conversation_id
    head = (await deployment.logs.open(ANN)).position
    good = a_send(room, ANN, "before")
    encoded = encode_intent(good)
    shapes: list[tuple[bytes, ...]] = [
        (INTENT_FIELD, b""),
        (INTENT_FIELD, b"\xff\xfe\x00"),
        (INTENT_FIELD, b"not json"),
        (INTENT_FIELD, b"null"),
        (INTENT_FIELD, b"[" * 5000),
        (INTENT_FIELD, b"{}"),
        (INTENT_FIELD, encoded[:-5]),
        (INTENT_FIELD, encoded.replace(b"message.send", b"message.sing")),
        (INTENT_FIELD, encoded.replace(b'"text":"before"', b'"text":17')),
        (INTENT_FIELD, encoded.replace(b'"at_ms":', b'"at_ms":9999')),
        (INTENT_FIELD, encoded.replace(b'"at_ms":', b'"at_ms":-')),
        (INTENT_FIELD, encoded.replace(b'"text":"before"', b'"text":"\\ud800"')),
        (INTENT_FIELD, encoded.replace(room.encode(), elsewhere.conversation_id.encode())),
        (b"x", b"y"),
        (b"", b""),
    ]
    too_large = a_send(room, ANN, "x" * 17_000_000)
    await deployment.send(group, good)
    for words in shapes:
        await deployment.add_raw(0, *words)
    await deployment.send(too_large, a_send(room, ANN, "after"))
    async with deployment.consumers():

        async def all_done() -> bool:
            return await deployment.unfinished() == 0 and len(await deployment.dead()) == len(shapes) + 1

        await until(all_done, 60)
        texts = [found.text for found in await deployment.messages(room)]
        assert texts == ["before", "after"]
        refused = [event for event in await deployment.log(ANN, head) if event["event"] == "message.rejected"]
    # Wherever an entry still shows whose it was, they hear of it; the one too large was refused by MongoDB itself.
    assert {event["data"]["error"]["code"] for event in refused} == {"internal_error"}
    assert too_large.client_msg_id in {event["data"]["client_msg_id"] for event in refused}
    assert len(refused) == 6  # unknown type, wrong text, two impossible times, wrong partition, too large
    for entry in await deployment.dead():
        assert entry[b"stage"] == b"persist"
        assert entry[b"error"]
    assert await deployment.attempts() == 0


async def test_an_event_that_can_not_be_read_makes_its_recipients_resync(deployment: Deployment) -> None:
    """A10: their logs are void before it is buried."""
    await deployment.logs.open(ANN)
    room = await deployment.room(ANN, BEN)
    await deployment.redis.command("XADD", deployment.names.events(0), "*", HEADER_FIELD, b"?", BODY_FIELD, b"?")
    async with deployment.consumers():

        async def buried() -> bool:
            return len(await deployment.dead()) == 1 and await deployment.unfinished() == 0

        await until(buried)
    assert (await deployment.dead())[0][b"stage"] == b"fanout"
    assert await deployment.logs.heads([ANN]) == [None]
    assert len(await deployment.events()) == 1
    assert room


async def test_an_entry_trimmed_while_pending_is_alarmed_and_stops_nothing(deployment: Deployment) -> None:
    group = deployment.group_in(0, ANN, BEN)
    await deployment.send(group)
    async with deployment.consumers("persist"):
        await until(lambda: _done(deployment, "persist"))
    lost, kept = a_send(group.conversation_id, ANN, "lost"), a_send(group.conversation_id, ANN, "kept")
    await deployment.send(lost, kept)
    stream = deployment.names.intents(0)
    taken = await deployment.redis.command(
        "XREADGROUP", "GROUP", "persist", "owner", "COUNT", 10, "STREAMS", stream, ">"
    )
    await deployment.redis.command("XDEL", stream, taken[0][1][0][0])
    async with deployment.consumers("persist"):
        await until(lambda: _done(deployment, "persist"))
    assert [found.text for found in await deployment.messages(group.conversation_id)] == ["kept"]
    assert await deployment.dead() == []


async def test_pending_entries_of_a_process_that_dies_on_one_are_told_apart(deployment: Deployment) -> None:
    """B1: the entry that kills its process each time is buried; its neighbours' counts are cleared."""
    group = deployment.group_in(0, ANN, BEN)
    await deployment.send(group)
    async with deployment.consumers("persist"):
        await until(lambda: _done(deployment, "persist"))
    innocent, killer = a_send(group.conversation_id, ANN, "innocent"), a_send(group.conversation_id, ANN, "killer")
    await deployment.send(innocent, killer)
    stream = deployment.names.intents(0)
    taken = await deployment.redis.command(
        "XREADGROUP", "GROUP", "persist", "owner", "COUNT", 10, "STREAMS", stream, ">"
    )
    # As its predecessors have left it: counted before each try, never cleared.
    attempts = deployment.names.attempts(0, "persist")
    await deployment.redis.command("HSET", attempts, taken[0][1][1][0], deployment.settings.max_attempts)
    async with deployment.consumers("persist"):
        await until(lambda: _done(deployment, "persist"))
    assert [found.text for found in await deployment.messages(group.conversation_id)] == ["innocent"]
    assert len(await deployment.dead()) == 1
    assert await deployment.attempts() == 0


@pytest.fixture
async def own_mongodb(deployment: Deployment, tmp_path: Path) -> AsyncIterator[tuple[Deployment, Server]]:
    """The same Redis, and a MongoDB-wire server that this test may stop."""
    server = mongodb_server(tmp_path)
    server.start()
    settings = deployment.settings.model_copy(
        update={"mongodb_url": SecretStr(mongodb_url(server)), "mongodb_timeout_seconds": 0.5}
    )
    own = await Deployment.open(settings)
    yield own, server
    await own.close()
    server.kill()


async def test_while_mongodb_is_away_no_attempt_is_counted_and_afterwards_everything_is_stored(
    own_mongodb: tuple[Deployment, Server],
) -> None:
    """B1, C6"""
    deployment, server = own_mongodb
    room = await deployment.room(ANN, BEN)
    sends = [a_send(room, ANN, f"number {number}") for number in range(60)]
    async with deployment.consumers():
        await deployment.send(*sends[:20])
        await until(lambda: _stored(deployment, room, 20))
        server.send(signal.SIGSTOP)
        await deployment.send(*sends[20:40])
        await nothing_is_given_up(deployment, 6 * deployment.settings.mongodb_timeout_seconds)
        server.send(signal.SIGCONT)
        await until(lambda: _stored(deployment, room, 40), 60)
        server.kill()
        await deployment.send(*sends[40:])
        await nothing_is_given_up(deployment, 3.0)
        server.start()
        await until(lambda: _stored(deployment, room, 60), 60)
        await until(lambda: _done(deployment))
    assert [found.intent_id for found in await deployment.messages(room)] == [sent.intent_id for sent in sends]
    assert await deployment.dead() == []
    assert await deployment.attempts() == 0


async def test_what_a_flushed_stream_has_lost_after_it_was_stored_is_loaded_by_who_is_concerned(
    own_mongodb: tuple[Deployment, Server],
) -> None:
    """A6: everybody has a new log and has loaded the state, and only then the write in hand lands, whose event nobody can emit."""
    deployment, server = own_mongodb
    room = await deployment.room(ANN, BEN)
    async with deployment.consumers():
        await until(lambda: _done(deployment))
        server.send(signal.SIGSTOP)
        await deployment.send(a_send(room, ANN))
        await until(lambda: _in_hand(deployment, room))
        await flush(deployment)
        for user in (ANN, BEN):
            await deployment.logs.open(user)
        server.send(signal.SIGCONT)
        await until(lambda: _stored(deployment, room, 1))
        await until(lambda: _no_log(deployment, ANN, BEN))


async def _in_hand(deployment: Deployment, room: ConversationId) -> bool:
    pending = await deployment.redis.command(
        "XPENDING", deployment.names.intents(deployment.names.partition_of(room)), "persist"
    )
    return pending[0] == 1


async def flush(deployment: Deployment) -> None:
    """FLUSHALL, for this deployment alone."""
    keys = await deployment.redis.command("KEYS", f"{deployment.names.namespace}:*")
    await deployment.redis.command("DEL", *keys)


async def _no_log(deployment: Deployment, *users: UserId) -> bool:
    return await deployment.logs.heads(users) == [None] * len(users)


async def test_a_failing_intent_holds_back_its_own_conversation_alone(deployment: Deployment) -> None:
    """C16: what was sent after it comes after it, though it is tried again several times."""
    ours, others = deployment.group_in(0, ANN, BEN), deployment.group_in(0, ANN, BEN)
    bad = a_send(ours.conversation_id, ANN, "x" * 17_000_000)
    behind = a_send(ours.conversation_id, ANN, "behind")
    aside = a_send(others.conversation_id, ANN, "aside")
    await deployment.send(ours, others, bad, behind, aside)
    async with deployment.consumers("persist"):
        await until(lambda: _done(deployment, "persist"), 60)
    told = [
        header.event_id
        for header, _ in await deployment.events()
        if header.event in {"message.created", "message.rejected"}
    ]
    events = {
        found.text: f"{found.conversation_id}.{found.rev}"
        for room in (ours, others)
        for found in await deployment.messages(room.conversation_id)
    }
    assert told.index(events["aside"]) < told.index(bad.intent_id) < told.index(events["behind"])


async def _done(deployment: Deployment, *stages: StageName) -> bool:
    return await deployment.unfinished(*stages) == 0


async def _stored(deployment: Deployment, room: str, count: int) -> bool:
    return len(await deployment.messages(room)) >= count  # type: ignore[arg-type]


async def nothing_is_given_up(deployment: Deployment, seconds: float) -> None:
    """Look on for long enough that every entry was tried more often than `max_attempts`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert await deployment.dead() == []
        assert await deployment.unfinished("persist")
        await asyncio.sleep(0.1)


class Narrow:
    """A stage whose database answers in time only for few entries at once."""

    def __init__(self, limit: int) -> None:
        self.limit, self.asked, self.done = limit, list[int](), list[bytes]()

    def decode(self, entry: Entry) -> bytes:
        return entry.fields[b"number"]

    def lane(self, item: bytes) -> bytes:
        return item

    async def handle(self, era: str, works: Sequence[Work[bytes]]) -> list[Settled]:
        del era
        self.asked.append(len(works))
        if len(works) > self.limit:
            raise Transient("operation exceeded time limit")
        self.done += [work.item for work in works]
        return [Settled(work.entry.id) for work in works]

    async def give_up(self, entry: Entry, item: bytes | None) -> Sequence[Event]:
        raise AssertionError((entry, item))

    async def forsake(self, works: Sequence[Work[bytes]]) -> None:
        raise AssertionError(works)

    async def after(self, done: Sequence[Settled]) -> None: ...


async def test_a_batch_that_is_too_much_for_the_time_limit_is_halved_until_it_is_not(deployment: Deployment) -> None:
    """B11: and none of it counts as an attempt."""
    for number in range(24):
        await deployment.add_raw(0, "number", str(number))
    settings = deployment.settings.model_copy(update={"batch_entries": 32})
    leases = Leases(deployment.redis, STAGES["persist"], "worker", lease_ms=int(settings.lease_seconds * 1000))
    asked_at = time.monotonic()
    token = await leases.acquire(0)
    assert token is not None
    tenure = Tenure(leases, 0, token, lease_seconds=settings.lease_seconds, asked_at=asked_at)
    stage = Narrow(limit=8)
    partition = Partition(deployment.redis, STAGES["persist"], 0, token)
    running = asyncio.create_task(Runner(partition, tenure, stage, settings).run())
    keeping = asyncio.create_task(tenure.keep())

    async def all_done() -> bool:
        return len(stage.done) == 24

    await until(all_done)
    tenure.end()
    await asyncio.gather(running, keeping)
    assert stage.asked[:3] == [24, 16, 8]
    assert stage.done == [str(number).encode() for number in range(24)]
    assert await deployment.attempts() == 0
    assert await deployment.dead() == []
