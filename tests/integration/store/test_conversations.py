"""Conversations and members in a real database: creation survives a crash at any point, lists are exact and stable."""

import anyio
import pytest

from backplane.store.conversations import Counters, StoredConversation, StoredMember
from backplane.store.mongo import Store
from tests.integration.store.shapes import a_conversation, a_member, a_message, new_id

pytestmark = pytest.mark.anyio


async def begin(store: Store, *people: str, created_ms: int = 1, **fields: object) -> StoredConversation:
    conversation = a_conversation(new_id(), created_ms=created_ms, **fields)
    members = [a_member(conversation.conversation_id, person) for person in people]
    return await store.conversations.create(conversation, members)


async def test_what_was_created_is_found_with_all_its_members(store: Store) -> None:
    conversation = a_conversation(new_id(), kind="direct", title="Ångström", last_message_id=new_id())
    members = [
        a_member(conversation.conversation_id, "ada", role="owner"),
        a_member(conversation.conversation_id, "bob", spans=((1, 5), (9, 12)), read_seq=7, delivered_seq=8),
    ]
    assert await store.conversations.create(conversation, members) == conversation
    here = conversation.conversation_id
    missing = new_id()
    assert await store.conversations.find([here, missing]) == {here: conversation}
    found = await store.conversations.members([here, missing])
    assert sorted(found[here], key=lambda member: member.user_id) == members
    assert found[missing] == []
    assert await store.conversations.member(here, "bob") == members[1]
    assert await store.conversations.member(here, "eve") is None


async def test_members_of_more_conversations_than_one_query_takes(store: Store) -> None:
    created = [await begin(store, "ada", "bob") for _ in range(51)]
    found = await store.conversations.members([conversation.conversation_id for conversation in created])
    assert {len(members) for members in found.values()} == {2}
    assert len(found) == 51


async def test_a_creation_killed_before_its_last_write_is_whole_after_the_next_try(store: Store) -> None:
    """B12: the members are there, the conversation that carries the dedup key is not"""
    conversation = a_conversation(new_id())
    here = conversation.conversation_id
    members = [a_member(here, person) for person in ("ada", "bob", "eve")]
    await store.conversations.create(conversation, members[:1])  # as far as the members: one of three was written …
    await store.database["conversations"].delete_one({"_id": here})  # … and the conversation was not
    assert await store.conversations.find([here]) == {}
    assert await store.lists.of_user("ada", after=None, limit=10) == ([], None)
    assert await store.conversations.create(conversation, members) == conversation
    assert len((await store.conversations.members([here]))[here]) == 3


async def test_a_repeat_changes_nothing_and_shows_who_was_first(store: Store) -> None:
    """B12"""
    conversation = a_conversation(new_id(), title="first")
    here = conversation.conversation_id
    await store.conversations.create(conversation, [a_member(here, "ada", read_seq=0)])
    raised = Counters(conversation_id=here, rev=4, last_seq=3, last_message_id=None)
    await store.conversations.raise_counters([raised])
    late = a_conversation(here, title="second")
    stored = await store.conversations.create(late, [a_member(here, "ada", role="owner")])
    assert (stored.title, stored.intent_id, stored.rev) == ("first", conversation.intent_id, 4)
    assert (await store.conversations.member(here, "ada")) == a_member(here, "ada")


async def test_of_two_creations_at_once_both_are_told_the_same_one(store: Store) -> None:
    """B12: two direct chats race"""
    here = new_id()
    told: list[str] = []

    async def create(kind: str) -> None:
        stored = await store.conversations.create(a_conversation(here, kind=kind), [a_member(here, "ada")])
        told.append(stored.intent_id)

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(create, "direct")
    assert len(told) == 6
    assert len(set(told)) == 1


async def test_counters_only_rise(store: Store) -> None:
    """C7; a zombie's late write is void"""
    conversation = await begin(store, "ada")
    here = conversation.conversation_id
    last = new_id()
    await store.conversations.raise_counters([Counters(conversation_id=here, rev=7, last_seq=5, last_message_id=last)])
    await store.conversations.raise_counters([Counters(conversation_id=here, rev=6, last_seq=4, last_message_id="old")])
    await store.conversations.raise_counters([Counters(conversation_id=here, rev=8, last_seq=5, last_message_id=None)])
    await store.conversations.raise_counters(
        [Counters(conversation_id=new_id(), rev=9, last_seq=9, last_message_id=None)]
    )
    await store.conversations.raise_counters([])
    stored = (await store.conversations.find([here]))[here]
    assert (stored.rev, stored.last_seq, stored.last_message_id) == (8, 5, last)


async def walk(store: Store, person: str, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        page, cursor = await store.lists.of_user(person, after=cursor, limit=limit)
        pages.append([conversation.conversation_id for conversation in page])
        if cursor is None:
            return pages


async def test_a_list_is_newest_creation_first_and_cut_exactly_also_among_equal_times(store: Store) -> None:
    created = [await begin(store, "ada", created_ms=ms) for ms in (5, 3, 3, 3, 9, 1_795_000_000_000)]
    await begin(store, "bob")
    expected = sorted(created, key=lambda one: (one.created_ms, one.conversation_id), reverse=True)
    ids = [conversation.conversation_id for conversation in expected]
    assert await walk(store, "ada", 2) == [ids[0:2], ids[2:4], ids[4:6]]
    assert await walk(store, "ada", 100) == [ids]
    assert await walk(store, "nobody", 5) == [[]]


async def test_a_list_stands_still_while_new_conversations_and_messages_come(store: Store) -> None:
    created = [await begin(store, "ada", created_ms=ms) for ms in range(1, 7)]
    first, cursor = await store.lists.of_user("ada", after=None, limit=3)
    await begin(store, "ada", created_ms=100)
    await store.conversations.raise_counters(
        [Counters(conversation_id=created[0].conversation_id, rev=9, last_seq=8, last_message_id=None)]
    )
    second, _ = await store.lists.of_user("ada", after=cursor, limit=3)
    seen = [conversation.conversation_id for conversation in [*first, *second]]
    assert seen == [conversation.conversation_id for conversation in reversed(created)]


@pytest.mark.parametrize("cursor", ["", "x", "Zm9v", "AAAA====", "ÿ", "MDAwMDAwMDAwMDAwMDAxOg"])
async def test_what_is_no_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await store.lists.of_user("ada", after=cursor, limit=3)


async def test_a_person_sees_the_last_message_and_what_is_unread(store: Store) -> None:
    conversation = a_conversation(new_id())
    here = conversation.conversation_id
    await store.conversations.create(conversation, [a_member(here, "ada"), a_member(here, "bob", read_seq=1)])
    said = [a_message(here, seq) for seq in (1, 2, 3)]
    await store.messages.insert(said)
    await store.conversations.raise_counters(
        [Counters(conversation_id=here, rev=4, last_seq=3, last_message_id=said[2].message_id)]
    )
    for_bob = await store.lists.one_of_user(here, "bob")
    assert for_bob is not None
    assert (for_bob.unread_count, for_bob.read_seq, for_bob.last_seq) == (2, 1, 3)
    assert for_bob.last_message is not None
    assert for_bob.last_message.seq == 3
    assert [(member.user_id, member.read_seq, member.joined_rev) for member in for_bob.members] == [
        ("ada", 0, 1),
        ("bob", 1, 1),
    ]
    for_ada = await store.lists.one_of_user(here, "ada")
    assert for_ada is not None
    assert for_ada.unread_count == 0, "who wrote the last message has nothing unread"
    page, _ = await store.lists.of_user("bob", after=None, limit=10)
    assert page == [for_bob]
    assert await store.lists.one_of_user(here, "eve") is None


async def test_who_left_keeps_the_span_and_sees_the_conversation_no_more(store: Store) -> None:
    """B9"""
    conversation = a_conversation(new_id())
    here = conversation.conversation_id
    gone = a_member(here, "bob", spans=((2, 5), (8, 9)))
    await store.conversations.create(conversation, [a_member(here, "ada"), gone])
    stored = await store.conversations.member(here, "bob")
    assert stored == gone
    assert [rev for rev in range(12) if stored.holds(rev)] == [2, 3, 4, 8]
    assert await store.lists.one_of_user(here, "bob") is None
    assert await store.lists.of_user("bob", after=None, limit=5) == ([], None)
    for_ada = await store.lists.one_of_user(here, "ada")
    assert for_ada is not None
    assert [member.user_id for member in for_ada.members] == ["ada"]


def test_a_member_without_spans_is_none() -> None:
    assert not StoredMember(conversation_id="c", user_id="u", role="member", rev=1, spans=()).current
