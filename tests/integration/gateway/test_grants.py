"""Who may watch: Redis and the store together, however slowly the store is read."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from backplane import grants
from backplane.errors import Transient
from backplane.grants import Membership, Pair
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.conversations import StoredMember
from backplane.store.mongo import Store
from gateway.grants import Grants
from schemas.ids import ConversationId, UserId
from schemas.names import MEMBERS
from tests.integration.store.shapes import a_conversation, a_member, new_id

pytestmark = pytest.mark.anyio

ANN, EVE = UserId("ann"), UserId("eve")


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.open(settings)
    await store.migrate(settings.names)
    yield store
    await store.close()


@pytest.fixture
async def held(settings: Settings) -> AsyncIterator[grants.Grants]:
    redis = await Redis.open(settings)
    yield grants.Grants(redis)
    await redis.close()


@pytest.fixture
async def room(store: Store) -> ConversationId:
    room = ConversationId(new_id())
    await store.conversations.create(a_conversation(room), [a_member(room, ANN)])
    return room


async def change(store: Store, room: ConversationId, user: UserId, rev: int, spans: list[list[int | None]]) -> None:
    key = {"conversation_id": room, "user_id": user}
    await store.database[MEMBERS].update_one(key, {"$set": {"rev": rev, "spans": spans, "role": "member"}}, upsert=True)


class Slow:
    """The real members, read by somebody to whom something happens before they can use it."""

    def __init__(self, store: Store, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._store, self._meanwhile, self.reads = store, meanwhile, 0

    async def member(self, conversation_id: ConversationId, user_id: UserId) -> StoredMember | None:
        found = await self._store.conversations.member(conversation_id, user_id)
        self.reads += 1
        if self.reads == 1:
            await self._meanwhile()
        return found


async def test_the_store_is_asked_once_and_strangers_are_refused(
    store: Store, held: grants.Grants, room: ConversationId
) -> None:
    """C19"""

    async def nothing() -> None:
        pass

    members = Slow(store, nothing)
    may = Grants(held, members).may
    assert [await may(Pair(ANN, room)) for _ in range(3)] == [True, True, True]
    assert members.reads == 1
    assert not await may(Pair(EVE, room))
    assert not await may(Pair(ANN, ConversationId(new_id())))


async def test_a_slow_reader_does_not_open_what_a_removal_closed(
    store: Store, held: grants.Grants, room: ConversationId
) -> None:
    """C19"""

    async def removed() -> None:
        await change(store, room, ANN, 5, [[1, 5]])
        await held.change([Membership(Pair(ANN, room), 5, allowed=False)])

    assert not await Grants(held, Slow(store, removed)).may(Pair(ANN, room))
    assert not await Grants(held, store.conversations).may(Pair(ANN, room))


async def test_what_was_read_before_the_server_forgot_is_read_again(
    settings: Settings, store: Store, held: grants.Grants, room: ConversationId
) -> None:
    """C19"""
    redis = await Redis.open(settings)
    names = settings.names

    async def forgotten() -> None:
        await change(store, room, ANN, 5, [[1, 5]])
        await redis.command("SET", names.era(names.shard_tag(names.shard_of(ANN))), "another")

    members = Slow(store, forgotten)
    assert not await Grants(held, members).may(Pair(ANN, room))
    assert members.reads == 2
    await redis.close()


async def test_somebody_who_was_refused_may_watch_once_they_have_joined(
    store: Store, held: grants.Grants, room: ConversationId
) -> None:
    may = Grants(held, store.conversations).may
    assert not await may(Pair(EVE, room))
    await change(store, room, EVE, 4, [[4, None]])
    assert await may(Pair(EVE, room)), "nothing was noted of a stranger"
    await change(store, room, EVE, 6, [[4, 6]])
    await held.change([Membership(Pair(EVE, room), 6, allowed=False)])
    assert not await may(Pair(EVE, room))
    await change(store, room, EVE, 8, [[4, 6], [8, None]])
    assert await may(Pair(EVE, room)), "a denial orders, it does not answer"


async def test_those_who_may_no_longer_are_found_among_many(
    store: Store, held: grants.Grants, room: ConversationId
) -> None:
    grants_ = Grants(held, store.conversations)
    assert await grants_.refused([Pair(ANN, room), Pair(EVE, room)]) == [Pair(EVE, room)]
    await change(store, room, ANN, 5, [[1, 5]])
    await held.change([Membership(Pair(ANN, room), 5, allowed=False)])
    assert await grants_.refused([Pair(ANN, room)]) == [Pair(ANN, room)]


class Away:
    """A store that is away."""

    async def member(self, conversation_id: ConversationId, user_id: UserId) -> StoredMember | None:
        raise Transient(f"away: {conversation_id} {user_id}")


async def test_while_the_store_is_away_what_is_allowed_goes_on_what_is_denied_ends_and_the_rest_can_not_be_told(
    held: grants.Grants,
) -> None:
    ann, bob, eve = (Pair(UserId(name), ConversationId("room")) for name in ("ann", "bob", "eve"))
    await held.change([Membership(ann, 3, allowed=True), Membership(bob, 5, allowed=False)])
    away = Grants(held, Away())
    assert await away.may(ann)
    assert not await away.may(bob)
    with pytest.raises(Transient):
        await away.may(eve)
    assert await away.refused([eve, ann, bob, eve]) == [bob]


async def test_without_an_era_the_store_is_believed_and_nothing_is_noted(
    settings: Settings, store: Store, held: grants.Grants, room: ConversationId
) -> None:
    """A server that was emptied: until somebody gives it an era, it orders nothing."""
    redis = await Redis.open(settings)
    names = settings.names
    await held.held([Pair(ANN, room)])  # its connection is there: a new one would bring an era
    await redis.command("DEL", names.era(names.shard_tag(names.shard_of(ANN))))
    assert await Grants(held, store.conversations).may(Pair(ANN, room))
    assert await redis.command("EXISTS", names.may(ANN, room)) == 0
    await redis.close()
