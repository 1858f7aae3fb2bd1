"""A channel of ephemera is subscribed once, and stays so while anybody here wants to hear it."""

import asyncio
import random
from collections.abc import Awaitable

import pytest

from backplane.errors import Transient
from gateway.socket.interest import Interest

pytestmark = pytest.mark.anyio


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


def interest_in(bell: Bell) -> Interest[str]:
    return Interest(bell.subscribe, bell.unsubscribe)


async def settled(interest: Interest[str], *works: Awaitable[None]) -> None:
    """All of these, and every subscription that nobody wants is given up."""
    await asyncio.gather(*works)
    for _ in range(1000):
        if not interest._leaving:
            return
        await asyncio.sleep(0)
    pytest.fail("it does not settle")


async def test_two_listeners_share_one_subscription_and_the_last_one_takes_it_along():
    bell = Bell()
    interest = interest_in(bell)
    await interest.join("room", "ann")
    await interest.join("room", "bob")
    assert list(interest.members("room")) == ["ann", "bob"]
    interest.leave("room", "ann")
    assert bell.calls == [("subscribe", "room")]
    interest.leave("room", "bob")
    assert list(interest.members("room")) == []
    await settled(interest)
    assert bell.calls[1:] == [("unsubscribe", "room")]
    assert len(interest) == 0


async def test_leaving_what_one_never_joined_does_nothing():
    bell = Bell()
    interest = interest_in(bell)
    interest.leave("room", "ann")
    await interest.join("room", "bob")
    interest.leave("room", "ann")
    await settled(interest)
    assert bell.calls == [("subscribe", "room")]


async def test_a_subscription_that_failed_leaves_nobody_behind_and_may_be_tried_again():
    bell = Bell()
    interest = interest_in(bell)
    bell.refuses = True
    with pytest.raises(Transient):
        await interest.join("room", "ann")
    await settled(interest)
    assert len(interest) == 0
    bell.refuses = False
    await interest.join("room", "ann")
    assert bell.heard == {"room"}


async def test_somebody_who_comes_while_the_last_one_leaves_is_heard():
    """D7"""
    bell = Bell()
    interest = interest_in(bell)
    await interest.join("room", "ann")
    interest.leave("room", "ann")
    await asyncio.sleep(0)
    await settled(interest, interest.join("room", "bob"))
    assert bell.heard == {"room"}
    assert list(interest.members("room")) == ["bob"]


async def test_who_leaves_before_the_subscription_is_acknowledged_leaves_nothing_behind():
    bell = Bell()
    interest = interest_in(bell)
    joining = asyncio.create_task(interest.join("room", "ann"))
    await asyncio.sleep(0)
    interest.leave("room", "ann")
    await settled(interest, joining)
    assert bell.heard == set()
    assert len(interest) == 0


@pytest.mark.parametrize("seed", range(20))
async def test_any_coming_and_going_ends_with_exactly_those_channels_heard_that_somebody_wants(seed: int):
    """D7"""
    bell, draw = Bell(), random.Random(seed)
    interest = interest_in(bell)
    here = {(channel, name): False for channel in ("room", "other") for name in ("ann", "bob", "eve")}

    async def come_and_go(channel: str, name: str) -> None:
        for _ in range(draw.randrange(1, 6)):
            await interest.join(channel, name)
            here[channel, name] = True
            assert channel in bell.heard
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            if draw.random() < 0.8:
                here[channel, name] = False
                interest.leave(channel, name)
            else:
                return

    await settled(interest, *(come_and_go(channel, name) for channel, name in here))
    assert bell.heard == {channel for channel, name in here if here[channel, name]}
