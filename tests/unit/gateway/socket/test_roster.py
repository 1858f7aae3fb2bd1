"""Doorbells are subscribed once per user, and stay so while anybody of them is here."""

import asyncio
import random

import pytest

from backplane.errors import Transient
from gateway.socket.roster import Roster
from schemas.ids import UserId
from schemas.names import Names

pytestmark = pytest.mark.anyio
NAMES = Names(shards=4)
ANN, BOB = UserId("ann"), UserId("bob")


class Bell:
    """A Redis that takes its time: what is asked for happens later, in the order of asking."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.refuses = False
        self._line = asyncio.Lock()

    async def subscribe(self, channel: str) -> None:
        async with self._line:
            self.calls.append(("subscribe", channel))
            await asyncio.sleep(0)
            if self.refuses:
                raise Transient("away")
            self.heard.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        async with self._line:
            self.calls.append(("unsubscribe", channel))
            await asyncio.sleep(0)
            self.heard.discard(channel)


def seated(bell: Bell) -> Roster[int]:
    return Roster(NAMES, bell.subscribe, bell.unsubscribe)


async def test_two_connections_of_one_user_share_one_subscription():
    bell = Bell()
    roster = seated(bell)
    await roster.join(ANN, 1)
    await roster.join(ANN, 2)
    await roster.leave(ANN, 1)
    assert bell.calls == [("subscribe", NAMES.log(ANN))]
    assert list(roster) == [2]
    await roster.leave(ANN, 2)
    assert bell.calls[1:] == [("unsubscribe", NAMES.log(ANN))]
    assert roster.seat(NAMES.log(ANN)) is None
    assert len(roster) == 0


async def test_somebody_who_comes_while_the_last_one_leaves_is_heard():
    """D7"""
    bell = Bell()
    roster = seated(bell)
    await roster.join(ANN, 1)
    leaving = asyncio.create_task(roster.leave(ANN, 1))
    await asyncio.sleep(0)
    await roster.join(ANN, 2)
    await leaving
    assert bell.heard == {NAMES.log(ANN)}
    seat = roster.seat(NAMES.log(ANN))
    assert seat is not None
    assert seat.connections == [2]


async def test_a_connection_is_told_what_rings_before_its_subscription_is_acknowledged():
    roster = seated(Bell())
    joining = asyncio.create_task(roster.join(ANN, 1))
    await asyncio.sleep(0)
    seat = roster.seat(NAMES.log(ANN))
    assert seat is not None
    assert seat.connections == [1]
    await joining


async def test_a_subscription_that_failed_leaves_nobody_behind_and_may_be_tried_again():
    bell = Bell()
    roster = seated(bell)
    bell.refuses = True
    with pytest.raises(Transient):
        await roster.join(ANN, 1)
    assert len(roster) == 0
    bell.refuses = False
    await roster.join(ANN, 2)
    assert bell.heard == {NAMES.log(ANN)}


async def test_users_of_one_shard_are_swept_together():
    roster = seated(Bell())
    users = [UserId(f"user {n}") for n in range(40)]
    for n, user in enumerate(users):
        await roster.join(user, n)
    groups = roster.shards()
    assert sorted(seat.user for group in groups for seat in group) == sorted(users)
    assert all(len({NAMES.shard_of(seat.user) for seat in group}) == 1 for group in groups)
    assert len(groups) == 4


@pytest.mark.parametrize("seed", range(20))
async def test_any_coming_and_going_ends_with_exactly_those_heard_who_are_here(seed: int):
    """D7"""
    bell, draw = Bell(), random.Random(seed)
    roster = seated(bell)
    here = {(user, n): False for user in (ANN, BOB) for n in range(3)}

    async def come_and_go(user: UserId, n: int) -> None:
        for _ in range(draw.randrange(1, 6)):
            await roster.join(user, n)
            here[user, n] = True
            assert NAMES.log(user) in bell.heard
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            if draw.random() < 0.8:
                here[user, n] = False
                await roster.leave(user, n)
            else:
                return

    await asyncio.gather(*(come_and_go(user, n) for user, n in here))
    assert bell.heard == {NAMES.log(user) for user, n in here if here[user, n]}
    assert len(roster) == sum(here.values())
