"""Lists and the whole state cost the same few queries however much there is, and each of them is one range of one index."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from backplane.settings import Settings
from backplane.store.conversations import Counters
from backplane.store.indexes import INDEXES
from backplane.store.marks import Key, Levels, Raise
from backplane.store.mongo import Store
from schemas.names import LAYOUT
from tests.integration.store.shapes import a_conversation, a_member, a_message, new_id

pytestmark = pytest.mark.anyio

READS = {"find", "aggregate", "getMore", "count", "distinct"}


@dataclass
class Queries(CommandListener):
    """The reads that the driver sends, as commands."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in READS:
            self.sent.append(dict(event.command))

    def succeeded(self, event: object) -> None: ...

    def failed(self, event: object) -> None: ...


@pytest.fixture
async def watched(store: Store, settings: Settings) -> AsyncIterator[tuple[Store, Queries]]:
    queries = Queries()
    client: AsyncMongoClient = AsyncMongoClient(settings.mongodb_url.get_secret_value(), event_listeners=[queries])
    yield Store(client, client[settings.mongodb_database]), queries
    await client.close()


async def fill(store: Store, rooms: int, messages: int = 3, **mentions: int) -> list[str]:
    """Conversations of ada and bob, in which bob has spoken; `ada=2`: the second message mentions her."""
    made: list[str] = []
    for ms in range(1, rooms + 1):
        conversation = a_conversation(new_id(), created_ms=ms)
        here = conversation.conversation_id
        await store.conversations.create(conversation, [a_member(here, "ada"), a_member(here, "bob")])
        said = [
            a_message(here, seq, sender_id="bob", mentions=tuple(who for who, at in mentions.items() if at == seq))
            for seq in range(1, messages + 1)
        ]
        await store.messages.insert(said)
        last = said[-1].message_id
        await store.conversations.raise_counters(
            [Counters(conversation_id=here, rev=messages + 1, last_seq=messages, last_message_id=last)]
        )
        made.append(here)
    return made


@pytest.mark.parametrize("rooms", [1, 40])
async def test_a_list_and_a_state_cost_fewer_than_five_queries(
    store: Store, watched: tuple[Store, Queries], rooms: int
) -> None:
    await fill(store, rooms, messages=35, ada=2)
    reader, queries = watched
    page, _ = await reader.lists.of_user("ada", after=None, limit=50)
    assert len(page) == min(rooms, 25)
    assert len(queries.sent) == 3
    queries.sent.clear()
    async with reader.fresh():
        await reader.users.with_blocks("ada")
        state, _ = await reader.lists.state_of_user("ada", after=None, limit=50, newest=30)
    assert [len(newest) for _, newest in state] == [30] * min(rooms, 25)
    assert len(queries.sent) == 5  # what `sync` asks
    assert {conversation.mention_count for conversation, _ in state} == {1}


async def test_fresh_reads_wait_for_the_time_of_a_linearizable_one(
    store: Store, watched: tuple[Store, Queries]
) -> None:
    """C5"""
    await fill(store, 3, messages=35, ada=2)
    reader, queries = watched
    async with reader.fresh():
        await reader.users.with_blocks("ada")
        await reader.lists.state_of_user("ada", after=None, limit=2, newest=30)
    first, *others = queries.sent
    assert (first["find"], first["readConcern"]["level"]) == (LAYOUT, "linearizable")
    assert "afterClusterTime" not in first["readConcern"], "servers refuse it there"
    assert len(others) == 4
    assert len({bytes(one["lsid"]["id"]) for one in others}) == 1
    times = [one["readConcern"]["afterClusterTime"] for one in others]
    assert times == sorted(times)
    queries.sent.clear()
    await reader.users.with_blocks("ada")
    assert "afterClusterTime" not in queries.sent[0].get("readConcern", {})


async def test_every_query_of_a_list_a_state_and_a_page_uses_an_index(
    store: Store, watched: tuple[Store, Queries]
) -> None:
    room, *_ = await fill(store, 3, messages=40, ada=2)
    reader, queries = watched
    _, cursor = await reader.lists.of_user("ada", after=None, limit=2)
    await reader.lists.of_user("ada", after=cursor, limit=2)
    await reader.lists.state_of_user("ada", after=None, limit=2, newest=30)
    await reader.lists.one_of_user(room, "ada")
    await reader.messages.page(room, last_seq=40, rev=41, limit=20)
    await reader.messages.page(room, since_rev=3, last_seq=40, rev=41, limit=20)
    await reader.marks.threads_of(room, "ada")
    await reader.marks.of_thread(room, "root")
    await reader.marks.members([Key(room, "ada")])
    await reader.marks.threads([Key(room, "ada", "root")])
    await reader.users.with_blocks("ada")
    seen = list(queries.sent)
    assert len(seen) > 15
    for command in seen:
        for collection, filter_ in _asked(command):
            assert _served(collection, filter_), command
            plan = await store.database.command("explain", {"find": collection, "filter": filter_})
            assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), command


def _asked(command: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What a command looks up: its own filter, and that of each collection which it joins."""
    if "find" in command:
        return [(command["find"], command["filter"])]
    first, *rest = command["pipeline"]
    joined = [stage["$lookup"] for stage in rest if "$lookup" in stage]
    return [(command["aggregate"], first["$match"]), *((one["from"], {one["foreignField"]: "x"}) for one in joined)]


def _served(collection: str, filter_: Mapping[str, Any]) -> bool:
    """Whether the fields are the first ones of an index, a range on the last alone; the stand-in's own `explain` is a guess."""
    if list(filter_) == ["_id"]:
        return True
    ranges = [name for name, value in filter_.items() if isinstance(value, dict) and "$in" not in value]
    for index in INDEXES:
        first = index.fields[: len(filter_)]
        if index.collection == collection and set(first) == set(filter_) and ranges in ([], [first[-1]]):
            return True
    return False


async def test_mentions_are_counted_above_what_was_read_also_in_private(store: Store) -> None:
    room, other = await fill(store, 2, messages=40, ada=5, all=7, bob=9)
    seen = await store.lists.one_of_user(room, "ada")
    assert seen is not None
    assert (seen.unread_count, seen.mention_count) == (40, 2)
    await raise_to(store, room, Levels(5, 5))
    page, _ = await store.lists.of_user("ada", after=None, limit=5)
    assert {one.conversation_id: one.mention_count for one in page} == {room: 1, other: 2}
    await raise_to(store, room, Levels(0, 0, 7))
    page, _ = await store.lists.of_user("ada", after=None, limit=5)
    assert {one.conversation_id: (one.unread_count, one.mention_count) for one in page} == {
        room: (33, 0),
        other: (40, 2),
    }
    for_bob = await store.lists.one_of_user(room, "bob")
    assert for_bob is not None
    assert (for_bob.unread_count, for_bob.mention_count) == (0, 0), "the last message is bob's own"


async def raise_to(store: Store, room: str, levels: Levels) -> None:
    assert await store.marks.raise_to([Raise(Key(room, "ada"), levels, "1", "1", member_rev=1)])


async def test_messages_stored_before_they_had_keys_are_still_in_the_state(store: Store) -> None:
    room, *_ = await fill(store, 1, messages=35)
    await store.database["messages"].update_many({"conversation_id": room}, {"$unset": {"found_by": ""}})
    [(_, newest)], _ = await store.lists.state_of_user("ada", after=None, limit=5, newest=30)
    assert [message.seq for message in newest] == list(range(6, 36))


async def test_levels_only_rise_and_only_on_the_membership_as_it_was_read(store: Store) -> None:
    """C11"""
    room, *_ = await fill(store, 1)
    await raise_to(store, room, Levels(3, 2, 1))
    await raise_to(store, room, Levels(1, 3, 0))
    member = await store.conversations.member(room, "ada")
    assert member is not None
    assert (member.delivered_seq, member.read_seq, member.private_read_seq) == (3, 3, 1)
    assert not await store.marks.raise_to([Raise(Key(room, "ada"), Levels(9, 9, 9), "2", "", member_rev=7)])
    assert not await store.marks.raise_to([Raise(Key(room, "eve"), Levels(9, 9, 9), "2", "", member_rev=1)])
    assert await store.conversations.member(room, "ada") == member
    assert await store.conversations.member(room, "eve") is None
    thread = Key(room, "ada", "root")
    for levels in (Levels(5, 4), Levels(2, 6)):
        assert await store.marks.raise_to([Raise(thread, levels, "1", "", member_rev=1)])
    stored = (await store.marks.threads([thread]))[thread]
    assert (stored.delivered_seq, stored.read_seq, stored.conversation_id) == (5, 6, room)
