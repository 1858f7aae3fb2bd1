"""What is too old is found by an index, by each conversation's own days and by the deployment's."""

import pytest

from backplane.settings import Settings
from backplane.store.conversations import Counters
from backplane.store.expiry import AT_ONCE, DAY_MS, Due
from backplane.store.mongo import Store
from tests.integration.store.shapes import a_conversation, a_message, new_id

pytestmark = pytest.mark.anyio

NOW = 100 * DAY_MS


async def fill(store: Store, *days_ago: float, retention_days: int = 0, expired_seq: int = 0) -> str:
    """A conversation with one message of each age."""
    here = new_id()
    stored = a_conversation(here, retention_days=retention_days, expired_seq=expired_seq)
    await store.conversations.create(stored, [])
    made = [NOW - round(days * DAY_MS) for days in days_ago]
    await store.messages.insert([a_message(here, seq + 1, created_ms=ms) for seq, ms in enumerate(made)])
    left = made[expired_seq:]
    counters = Counters(
        conversation_id=here,
        rev=len(made) + 1,
        last_seq=len(made),
        last_message_id=None,
        oldest_ms=left[0] if left else 0,
    )
    await store.conversations.raise_counters([counters])
    return here


async def due(store: Store, keep_days: int = 0, limit: int = 100) -> dict[str, Due]:
    return {one.conversation_id: one for one in await store.expiry.due(NOW, keep_days, limit=limit)}


async def test_a_conversation_s_own_days_count_and_nobody_else_s(store: Store) -> None:
    week = await fill(store, 9, 8, 6, 1, retention_days=7)
    month = await fill(store, 40, 20, retention_days=30)
    await fill(store, 20, 10, retention_days=30)
    await fill(store, 90)
    found = await due(store)
    assert {key: (one.after_seq, one.up_to_seq) for key, one in found.items()} == {week: (0, 2), month: (0, 1)}
    assert found[week].oldest_ms == NOW - 9 * DAY_MS


async def test_the_deployment_s_days_count_everywhere_and_the_shorter_wins(store: Store) -> None:
    plain = await fill(store, 20, 9)
    longer = await fill(store, 15, 9, retention_days=30)
    shorter = await fill(store, 8, 2, 1, retention_days=3)
    found = await due(store, keep_days=10)
    assert {key: one.up_to_seq for key, one in found.items()} == {plain: 1, longer: 1, shorter: 1}


async def test_it_goes_on_where_it_was_left_and_at_most_so_far_at_once(store: Store) -> None:
    here = await fill(store, *[50] * (AT_ONCE + 20), expired_seq=10)
    assert (await due(store, keep_days=1))[here][1:3] == (10, 10 + AT_ONCE)


async def test_no_more_than_asked_for(store: Store) -> None:
    for _ in range(5):
        await fill(store, 5)
    assert len(await due(store, keep_days=1, limit=3)) == 3


async def test_conversations_from_before_there_was_retention_are_looked_at_once(
    store: Store, settings: Settings
) -> None:
    here, empty = await fill(store, 5), await fill(store)
    conversations = store.database["conversations"]
    await conversations.update_many({}, {"$unset": {"oldest_ms": ""}})
    await conversations.drop_index("retention_days__oldest_ms")
    await store.migrate(settings.names)
    found = await due(store, keep_days=1)
    assert {key: (one.up_to_seq, one.oldest_ms) for key, one in found.items()} == {here: (1, 1)}
    assert empty not in found


async def test_its_queries_use_an_index(store: Store) -> None:
    for filter_ in (
        {"retention_days": {"$gt": 0, "$lte": 3650}},
        {"retention_days": 7, "oldest_ms": {"$gt": 0, "$lte": NOW}},
        {"retention_days": None, "oldest_ms": {"$gt": 0, "$lte": NOW}},
    ):
        plan = await store.database.command("explain", {"find": "conversations", "filter": filter_})
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), filter_
