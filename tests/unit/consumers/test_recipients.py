"""Recipients are a function of the event, whenever the members were read (hole B9)."""

from hypothesis import given
from hypothesis import strategies as st

from backplane.store.conversations import StoredMember
from consumers.recipients import Audience, changes_members
from schemas.events import EventHeader
from schemas.ids import ConversationId, UserId
from schemas.names import Names

NAMES = Names(partitions=4, shards=4)
ROOM = ConversationId("room")


def member(name: str, *spans: tuple[int, int | None]) -> StoredMember:
    return StoredMember(conversation_id=ROOM, user_id=UserId(name), role="member", rev=1, spans=spans)


def header(rev: int, about: str | None = None) -> EventHeader:
    about_user = None if about is None else UserId(about)
    return EventHeader("message.created", f"e{rev}", ROOM, rev, 0, about=about_user)


def users(audience: Audience, event: EventHeader) -> set[str]:
    return {user for found in audience.of_event(event, NAMES).values() for user in found}


def test_who_left_still_gets_what_came_before_and_who_joined_does_not() -> None:
    """B9"""
    audience = Audience.of([member("x", (1, 90)), member("y", (91, None)), member("z", (1, None))], NAMES)
    assert users(audience, header(88)) == {"x", "z"}
    assert users(audience, header(90)) == {"z"}
    assert users(audience, header(91)) == {"y", "z"}


def test_the_one_it_is_about_hears_of_it_though_they_are_gone() -> None:
    audience = Audience.of([member("x", (1, 90)), member("z", (1, None))], NAMES)
    assert users(audience, header(90, about="x")) == {"x", "z"}


def test_everybody_is_grouped_by_the_shard_of_their_log() -> None:
    audience = Audience.of([member(f"u{number}", (1, None)) for number in range(50)], NAMES)
    for shard, found in audience.of_event(header(5), NAMES).items():
        assert {NAMES.shard_of(user) for user in found} == {shard}


def test_only_events_that_change_members_make_them_be_read_again() -> None:
    assert not changes_members(header(5))
    assert changes_members(header(5, about="x"))
    assert changes_members(EventHeader("conversation.created", "e", ROOM, 1, 0))


spans = st.lists(st.integers(1, 30), min_size=1, max_size=5, unique=True).map(sorted)


@given(st.lists(spans, min_size=1, max_size=5), st.integers(1, 35))
def test_the_quick_way_gives_what_the_spans_say(edges: list[list[int]], rev: int) -> None:
    members = [
        member(f"u{index}", *((joined, left) for joined, left in zip(found[::2], [*found[1::2], None], strict=False)))
        for index, found in enumerate(edges)
    ]
    assert users(Audience.of(members, NAMES), header(rev)) == {one.user_id for one in members if one.holds(rev)}
