# ruff: noqa: ARG002 - the model takes what the real logs take
"""fanout on a model of the logs: order, shards that are away, and members read at the wrong time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from backplane.errors import Transient
from backplane.grants import Membership, Pair
from backplane.logs import Delivery
from backplane.store.conversations import StoredMember
from backplane.streams import Entry
from consumers.fanout import Fact, Fanout
from consumers.stages import Work
from schemas.events import EventHeader, EventName, encode_header
from schemas.ids import ConversationId, StreamId, UserId
from schemas.names import BODY_FIELD, HEADER_FIELD, Names

pytestmark = pytest.mark.anyio

NAMES = Names(partitions=1, shards=4)
ROOM = ConversationId("room")
USERS = [UserId(f"user-{number}") for number in range(12)]


@dataclass
class Around:
    """The claim, the logs and the members, as one tenure meets them."""

    people: dict[str, tuple[tuple[int, int | None], ...]] = field(default_factory=dict)
    away: Callable[[int], bool] = lambda _: False
    logs: dict[str, list[int]] = field(default_factory=dict)
    calls: list[tuple[str, object]] = field(default_factory=list)
    set_aside: set[int] = field(default_factory=set)
    alive: bool = True
    reads: int = 0

    async def append(self, partition: int, era: str, shard: int, deliveries: Sequence[Delivery]) -> int:
        if self.away(shard):
            raise Transient("away")
        self.calls.append(("append", shard))
        for delivery in deliveries:
            for user in delivery.users:
                self.logs.setdefault(user, []).append(delivery.event_id.ms)
        return len(deliveries)

    async def drop(self, users: Sequence[UserId]) -> None:
        self.calls.append(("drop", tuple(users)))

    async def renew_eras(self, shards: Sequence[int]) -> None:
        self.calls.append(("renew", tuple(shards)))

    async def skip_shards(self, partition: int, shards: Sequence[int]) -> None:
        self.calls.append(("skip", tuple(shards)))
        self.set_aside.update(shards)

    async def skipped_shards(self, partition: int) -> set[int]:
        return set(self.set_aside)

    async def unskip_shard(self, partition: int, shard: int) -> None:
        if self.away(shard):
            raise Transient("away")
        self.calls.append(("unskip", shard))
        self.set_aside.discard(shard)

    async def change(self, memberships: Sequence[Membership]) -> None:
        if any(self.away(NAMES.shard_of(membership.pair.user)) for membership in memberships):
            raise Transient("away")
        self.calls.append(("change", tuple(memberships)))

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        self.reads += 1
        return {
            key: [
                StoredMember(conversation_id=key, user_id=UserId(name), role="member", rev=1, spans=spans)
                for name, spans in self.people.items()
            ]
            for key in ids
        }

    async def confirm(self) -> None:
        pass

    async def pause(self, seconds: float) -> None:
        pass

    def trouble(self) -> None:
        pass

    def fanout(self, skip_seconds: float = 0.0) -> Fanout:
        return Fanout(NAMES, 0, self, logs=self, grants=self, conversations=self, skip_seconds=skip_seconds)


def work(
    number: int, name: EventName = "message.created", *, to: tuple[UserId, ...] = (), about: UserId | None = None
) -> Work[Fact]:
    header = EventHeader(name, f"e{number}", ROOM, number, 0, to=to, about=about)
    fields = {HEADER_FIELD: encode_header(header), BODY_FIELD: b"body"}
    return Work(Entry(StreamId(number, 0), fields), Fact(header, b"body"))


async def test_every_recipient_gets_every_event_in_order() -> None:
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    done = await around.fanout().handle("era", [work(number) for number in range(1, 6)])
    assert [settled.id.ms for settled in done] == [1, 2, 3, 4, 5]
    assert around.logs == {user: [1, 2, 3, 4, 5] for user in USERS}
    assert around.reads == 1


async def test_an_event_for_one_goes_to_that_one_and_reads_no_members() -> None:
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    await around.fanout().handle("era", [work(1, "message.rejected", to=(USERS[0],))])
    assert around.logs == {USERS[0]: [1]}
    assert around.reads == 0


async def test_members_are_read_again_after_an_event_that_changes_them() -> None:
    """B9"""
    around = Around(people={USERS[0]: ((1, None),)})
    fanout = around.fanout()
    await fanout.handle("era", [work(1, "conversation.created"), work(2)])
    await fanout.handle("era", [work(3)])
    assert around.reads == 1
    around.people[USERS[1]] = ((5, None),)
    await fanout.handle("era", [work(4), work(5, "conversation.created"), work(6)])
    assert around.logs == {USERS[0]: [1, 2, 3, 4, 5, 6], USERS[1]: [5, 6]}


async def test_a_shard_that_does_not_answer_is_asked_again_until_it_does() -> None:
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    refusals = iter([True, True, True, False])
    away = NAMES.shard_of(USERS[0])
    around.away = lambda shard: shard == away and next(refusals)
    await around.fanout(skip_seconds=60).handle("era", [work(1)])
    assert around.logs == {user: [1] for user in USERS}
    assert not around.set_aside


async def test_a_shard_away_for_too_long_is_noted_then_passed_over_and_gets_a_new_era_when_back() -> None:
    """B11"""
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    away = NAMES.shard_of(USERS[0])
    around.away = lambda shard: shard == away
    await around.fanout().handle("era", [work(1)])
    here = [user for user in USERS if NAMES.shard_of(user) != away]
    assert around.logs == {user: [1] for user in here}
    assert ("skip", (away,)) in around.calls
    # The next owner reads who is set aside, and finds the shard back.
    around.away = lambda _: False
    around.calls.clear()
    await around.fanout().handle("era", [work(2)])
    mine = [call for call in around.calls if call[1] == away]
    assert mine == [("unskip", away), ("append", away)]
    assert around.logs[USERS[0]] == [2]


async def test_when_the_tenure_is_over_nothing_is_passed_over() -> None:
    around = Around(people=dict.fromkeys(USERS, ((1, None),)), away=lambda _: True, alive=False)
    with pytest.raises(Transient):
        await around.fanout().handle("era", [work(1)])
    assert not around.set_aside


async def test_before_an_event_is_buried_its_recipients_resync() -> None:
    """A10"""
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    fanout = around.fanout()
    known = work(1)
    assert await fanout.give_up(known.entry, known.item) == ()
    dropped = {user for name, users in around.calls if name == "drop" for user in users}  # type: ignore[attr-defined]
    assert dropped == set(USERS)
    around.calls.clear()
    await fanout.give_up(known.entry, None)
    assert around.calls == [("renew", tuple(range(NAMES.shards)))]


def about(number: int, name: str, user: UserId) -> Work[Fact]:
    """An event about a member."""
    return work(number, cast("EventName", name), about=user)


async def test_a_removal_closes_the_grant_before_anybody_hears_of_it() -> None:
    """C19"""
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    await around.fanout().handle("era", [about(5, "member.left", USERS[0])])
    shard = NAMES.shard_of(USERS[0])
    mine = [call for call in around.calls if call == ("append", shard) or call[0] == "change"]
    assert mine == [("change", (Membership(Pair(USERS[0], ROOM), 5, allowed=False),)), ("append", shard)]


async def test_other_events_change_no_grant() -> None:
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    await around.fanout().handle("era", [work(1), about(2, "member.joined", USERS[0]), work(3, "conversation.created")])
    assert not [call for call in around.calls if call[0] == "change"]


async def test_an_event_is_not_told_while_its_grant_can_not_be_closed() -> None:
    """C19"""
    around = Around(people={USERS[0]: ((1, None),)}, away=lambda _: True, alive=False)
    with pytest.raises(Transient):
        await around.fanout(skip_seconds=60).handle("era", [about(5, "member.left", USERS[0])])
    assert around.logs == {}


async def test_a_removal_that_is_buried_closes_the_grant_all_the_same() -> None:
    """C19"""
    around = Around(people=dict.fromkeys(USERS, ((1, None),)))
    removal = about(5, "member.left", USERS[0])
    await around.fanout().give_up(removal.entry, removal.item)
    assert around.calls[0] == ("change", (Membership(Pair(USERS[0], ROOM), 5, allowed=False),))


@pytest.mark.parametrize("fields", [{}, {HEADER_FIELD: b"{}"}, {HEADER_FIELD: encode_header(work(1).item.header)}])
def test_what_is_no_event_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the decoder's
        Around().fanout().decode(Entry(StreamId(1, 0), fields))
