"""Grants in Redis: ordered by rev, under the era of their shard."""

from collections.abc import AsyncIterator

import pytest

from backplane.grants import GRANT_SECONDS, Grants, Membership, Pair
from backplane.redis import Redis
from backplane.settings import Settings
from schemas.ids import ConversationId, UserId

pytestmark = pytest.mark.anyio

PAIR = Pair(UserId("ann"), ConversationId("room"))


@pytest.fixture
async def client(redis_settings: Settings) -> AsyncIterator[Redis]:
    redis = await Redis.open(redis_settings)
    yield redis
    await redis.close()


@pytest.fixture
def grants(client: Redis) -> Grants:
    return Grants(client)


async def allowed(grants: Grants) -> bool | None:
    return (await grants.held([PAIR]))[0].allowed


async def note(grants: Grants, rev: int, allowed: bool, era: str | None = None) -> bool | None:
    era = (await grants.held([PAIR]))[0].era if era is None else era
    return await grants.note(Membership(PAIR, rev, allowed), era)


async def test_nothing_is_held_until_it_is_noted_and_it_dies_in_time(client: Redis, grants: Grants) -> None:
    assert await allowed(grants) is None
    assert await note(grants, 3, allowed=True) is True
    assert await allowed(grants) is True
    assert 0 < await client.command("TTL", client.names.may(*PAIR)) <= GRANT_SECONDS


async def test_c19_what_was_read_before_a_removal_opens_nothing_after_it(grants: Grants) -> None:
    await grants.change([Membership(PAIR, 5, allowed=False)])
    assert await note(grants, 3, allowed=True) is False, "and whoever wrote it is told what counts"
    assert await allowed(grants) is False
    await grants.change([Membership(PAIR, 3, allowed=False)])
    assert await note(grants, 7, allowed=True) is True
    await grants.change([Membership(PAIR, 5, allowed=False)])
    assert await allowed(grants) is True, "an event that comes again changes nothing"


async def test_a_key_of_another_kind_is_overwritten(client: Redis, grants: Grants) -> None:
    """A removal must come through: nothing else of its shard may wait for a broken key."""
    await client.command("LPUSH", client.names.may(*PAIR), "x")
    assert await allowed(grants) is None
    await grants.change([Membership(PAIR, 5, allowed=False)])
    assert await allowed(grants) is False


async def test_c19_grants_of_another_era_are_void_and_so_is_what_was_read_under_it(
    client: Redis, grants: Grants
) -> None:
    """A server that forgot a removal, or was passed over by it, has another era."""
    assert await note(grants, 3, allowed=True) is True
    old = (await grants.held([PAIR]))[0].era
    names = client.names
    await client.command("SET", names.era(names.shard_tag(names.shard_of(PAIR.user))), "another")
    assert await allowed(grants) is None
    assert await note(grants, 3, allowed=True, era=old) is None
    assert await allowed(grants) is None
    assert await note(grants, 2, allowed=True) is True, "what another era held orders nothing"


async def test_many_are_read_at_once(grants: Grants) -> None:
    pairs = [Pair(UserId(f"user {n}"), ConversationId("room")) for n in range(600)]
    await grants.change([Membership(pair, 1, n % 2 == 0) for n, pair in enumerate(pairs)])
    assert [held.allowed for held in await grants.held(pairs)] == [True, False] * 300
