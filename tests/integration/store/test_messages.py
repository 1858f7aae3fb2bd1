"""Messages in a real database: what was numbered is stored as a prefix, repeats are refused by the indexes, pages are exact."""

import asyncio

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backplane.errors import Permanent, Transient, Unknown
from backplane.store.messages import StoredMessage, as_message
from backplane.store.mongo import Store
from tests.integration.store.shapes import a_message, a_void, new_id

pytestmark = pytest.mark.anyio


async def test_what_was_inserted_is_found_whole_by_id(store: Store) -> None:
    here = new_id()
    reply = a_message(
        here, 2, reply_to=new_id(), thread_root_id=new_id(), mentions=("bob", "eve"), edited_ms=1_795_000_000_999
    )
    written = [a_message(here, 1), reply, a_void(here, 3)]
    assert await store.messages.insert(written) == 3
    found = await store.messages.find([*(message.message_id for message in written), new_id()])
    assert found == {message.message_id: message for message in written}


async def test_more_ids_than_one_query_takes_are_all_found(store: Store) -> None:
    here = new_id()
    written = [a_message(here, seq) for seq in range(1, 121)]
    await store.messages.insert(written)
    ids = [message.message_id for message in written]
    assert set(await store.messages.find(ids + ids)) == set(ids)
    assert await store.messages.find([]) == {}


async def test_a_resend_in_another_conversation_is_another_message(store: Store) -> None:
    """A7"""
    key = new_id()
    assert await store.messages.insert([a_message(new_id(), 1, client_msg_id=key)]) == 1
    assert await store.messages.insert([a_message(new_id(), 1, client_msg_id=key)]) == 1


async def test_a_conversation_takes_two_voids(store: Store) -> None:
    """A8"""
    here = new_id()
    assert await store.messages.insert([a_void(here, 1), a_void(here, 2)]) == 2
    found = await store.messages.unraised(here, 0)
    assert [(message.seq, message.void, message.sender_id) for message in found] == [(1, True, None), (2, True, None)]


async def test_an_insert_stops_at_the_first_refusal_so_that_a_prefix_is_stored(store: Store) -> None:
    """A9, C4: the first E11000 ends it, and its place tells which document to look at"""
    here = new_id()
    taken = a_message(here, 3)
    await store.messages.insert([taken])
    batch = [a_message(here, seq) for seq in (1, 2, 3, 4)]
    assert await store.messages.insert(batch) == 2
    assert [message.message_id for message in await store.messages.unraised(here, 0)] == [
        batch[0].message_id,
        batch[1].message_id,
        taken.message_id,
    ]


@pytest.mark.parametrize("same", ["number", "revision", "key", "id"])
async def test_each_unique_index_refuses_alone(store: Store, same: str) -> None:
    """C4"""
    here = new_id()
    first = a_message(here, 1)
    await store.messages.insert([first])
    clash = {
        "number": a_message(here, 1, rev=2),
        "revision": a_message(here, 2, rev=1),
        "key": a_message(here, 2, client_msg_id=first.client_msg_id),
        "id": a_message(here, 2, message_id=first.message_id),
    }[same]
    assert await store.messages.insert([clash, a_message(here, 9)]) == 0
    assert await store.messages.unraised(here, 0) == [first]


async def test_the_identical_batch_again_is_told_from_a_foreign_number_by_its_key(store: Store) -> None:
    """C4, C6: same document = done, another `intent_id` = repeat, none = somebody else's number"""
    here = new_id()
    batch = [a_message(here, 1), a_message(here, 2)]
    await store.messages.insert(batch)
    assert await store.messages.insert(batch) == 0
    assert (await store.messages.find([batch[0].message_id]))[batch[0].message_id].intent_id == batch[0].intent_id
    foreign = a_message(here, 2)
    assert await store.messages.insert([foreign]) == 0
    assert await store.messages.find([foreign.message_id]) == {}


async def test_of_writers_racing_for_the_same_numbers_the_store_keeps_one_prefix(store: Store) -> None:
    """B5, C4: zombies"""
    here = new_id()
    counts: list[int] = []

    async def write() -> None:
        counts.append(await store.messages.insert([a_message(here, seq) for seq in range(1, 11)]))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(write)
    assert sum(counts) == 10
    assert [message.seq for message in await store.messages.unraised(here, 0)] == list(range(1, 11))


async def test_a_document_that_mongodb_can_not_take_is_permanent(store: Store) -> None:
    here = new_id()
    with pytest.raises(Permanent):
        await store.messages.insert([a_message(here, 1, text="x" * 17_000_000)])


async def test_a_refusal_costs_only_the_caller_whose_document_it_is(store: Store) -> None:
    """C4: partitions that write at the same time share commands, and nothing else."""
    taken, unfit = new_id(), new_id()
    await store.messages.insert([a_message(taken, 2)])
    others = [new_id() for _ in range(6)]
    batches = [[a_message(here, seq) for seq in (1, 2, 3)] for here in (*others[:3], taken, *others[3:])]
    batches.insert(5, [a_message(unfit, 1, text="x" * 17_000_000)])
    answers = await asyncio.gather(*(store.messages.insert(batch) for batch in batches), return_exceptions=True)
    assert isinstance(answers.pop(5), Permanent)
    assert answers[:4] == [3, 3, 3, 1]
    # Who shared a command with the unfit one may be told of their own documents, stored a moment before: never of more.
    assert set(answers[4:]) <= {0, 3}
    assert [message.seq for message in await store.messages.unraised(taken, 0)] == [1, 2]
    assert [len(await store.messages.unraised(here, 0)) for here in (*others, unfit)] == [3] * 6 + [0]


async def test_the_tail_is_what_a_crash_left_above_the_counter(store: Store) -> None:
    here = new_id()
    written = [a_message(here, seq) for seq in range(1, 8)]
    await store.messages.insert(written)
    await store.messages.insert([a_message(new_id(), 9)])
    assert await store.messages.unraised(here, 4) == written[4:]
    assert await store.messages.unraised(here, 7) == []


@pytest.mark.parametrize("ask", [{}, {"after_seq": 0}, {"since_rev": 0}])
async def test_pages_end_at_the_conversations_own_counters(store: Store, ask: dict[str, int]) -> None:
    """C7: a batch whose last write is still to come is not seen half"""
    here = new_id()
    await store.messages.insert([a_message(here, seq) for seq in range(1, 6)])
    page = await store.messages.page(here, **ask, last_seq=3, rev=3, limit=10)
    assert [message.seq for message in page] == [1, 2, 3]


@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(1, 40), max_size=30),
    visible=st.integers(0, 30),
    ask=st.sampled_from(["before_seq", "after_seq", "since_rev", None]),
    at=st.integers(0, 300),
    limit=st.integers(1, 12),
)
async def test_a_page_is_what_plain_python_would_cut(
    *, store: Store, gaps: list[int], visible: int, ask: str | None, at: int, limit: int
) -> None:
    here, rev = new_id(), 0
    written: list[StoredMessage] = []
    for seq, gap in enumerate(gaps, 1):
        rev += gap
        written.append(a_message(here, seq, rev=rev))
    if written:
        await store.messages.insert(written)
    last_seq = min(visible, len(written))
    end = written[last_seq - 1].rev if last_seq else 0
    seen = [message for message in written if message.seq <= last_seq]
    match ask:
        case "after_seq":
            expected = [message for message in seen if message.seq > at][:limit]
        case "since_rev":
            expected = [message for message in seen if message.rev > at][:limit]
        case _:
            expected = [message for message in seen if ask is None or message.seq < at][-limit:]
    page = await store.messages.page(here, **({ask: at} if ask else {}), last_seq=last_seq, rev=end, limit=limit)
    assert page == expected


async def test_nothing_of_a_deleted_or_void_message_is_shown() -> None:
    shown = as_message(a_message(new_id(), 1, text="secret", deleted_ms=1_795_000_000_000))
    assert shown.content is None
    assert shown.deleted_at == "2026-11-18T11:06:40.000Z"
    assert as_message(a_void(new_id(), 2)).content is None


async def test_without_mongodb_reads_are_transient_and_writes_too_when_nothing_was_sent(dead_store: Store) -> None:
    with pytest.raises(Transient):
        await dead_store.messages.find([new_id()])
    with pytest.raises(Transient) as caught:
        await dead_store.messages.insert([a_message(new_id(), 1)])
    assert not isinstance(caught.value, Unknown)
