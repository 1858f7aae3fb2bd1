"""Sessions in a real database: a token is spent once, whoever races, and what was spent stays known."""

import anyio
import pytest

from backplane.store.mongo import Store
from backplane.store.sessions import RECENT_MS
from tests.integration.store.shapes import a_session, new_id

pytestmark = pytest.mark.anyio


async def rotate(store: Store, old: str, new: str, now_ms: int = 1) -> str:
    outcome, _ = await store.sessions.rotate(
        old, new, salt=f"before {new}", now_ms=now_ms, idle_expires_ms=now_ms + 5_000
    )
    return outcome


async def test_a_rotation_swaps_the_token_and_prolongs_the_session(store: Store) -> None:
    session = a_session("t1", device="phone")
    await store.sessions.create(session)
    outcome, rotated = await store.sessions.rotate("t1", "t2", salt="s", now_ms=7, idle_expires_ms=5_007)
    assert outcome == "rotated"
    assert rotated == await store.sessions.get(session.session_id)
    assert rotated is not None
    assert (rotated.token_hash, rotated.previous_hash, rotated.rotated_ms) == ("t2", "t1", 7)
    assert (rotated.idle_expires_ms, rotated.expires_ms, rotated.device) == (5_007, 10_000, "phone")
    assert await rotate(store, "t2", "t3") == "rotated"


async def test_of_eight_rotations_at_once_exactly_one_wins(store: Store) -> None:
    await store.sessions.create(a_session("t1"))
    outcomes: list[str] = []

    async def once(number: int) -> None:
        outcomes.append(await rotate(store, "t1", f"next-{number}"))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(once, number)
    assert outcomes.count("rotated") == 1
    assert outcomes.count("repeated") == 7


@pytest.mark.parametrize("spent", ["t1", "t2", "t3"])
async def test_any_token_used_before_ends_the_family(store: Store, spent: str) -> None:
    """A thief who rotates twice must not make the owner's token merely unknown (RFC 9700, 4.14)."""
    session = a_session("t1")
    await store.sessions.create(session)
    for old, new in (("t1", "t2"), ("t2", "t3"), ("t3", "t4")):
        assert await rotate(store, old, new) == "rotated"
    outcome, ended = await store.sessions.rotate(spent, "x", salt="s", now_ms=20_000, idle_expires_ms=20_099)
    assert outcome == "reused"
    assert ended is not None
    assert (ended.session_id, ended.revoked_ms) == (session.session_id, 20_000)
    assert await rotate(store, "t4", "t5") == "revoked"
    assert await rotate(store, spent, "t5") == "revoked"


@pytest.mark.parametrize(("later_ms", "expected"), [(0, "repeated"), (10_000, "repeated"), (10_001, "reused")])
async def test_a_token_may_come_again_shortly_and_gets_the_same_successor(
    store: Store, later_ms: int, expected: str
) -> None:
    """A lost answer, or two windows (protocol, section 2)."""
    await store.sessions.create(a_session("t1", idle_expires_ms=100_000, expires_ms=100_000))
    assert await rotate(store, "t1", "t2", 1_000) == "rotated"
    outcome, session = await store.sessions.rotate(
        "t1", "other", salt="other", now_ms=1_000 + later_ms, idle_expires_ms=90_000
    )
    assert outcome == expected
    assert session is not None
    assert (session.token_hash, session.salt) == ("t2", "before t2")


async def test_a_token_does_not_come_again_once_its_successor_was_used(store: Store) -> None:
    await store.sessions.create(a_session("t1"))
    assert await rotate(store, "t1", "t2") == "rotated"
    assert await rotate(store, "t2", "t3") == "rotated"
    assert await rotate(store, "t1", "x") == "reused"


async def test_a_token_that_nobody_was_given_is_unknown(store: Store) -> None:
    assert await store.sessions.rotate("nobody's", "x", salt="s", now_ms=1, idle_expires_ms=2) == ("unknown", None)


@pytest.mark.parametrize(("now_ms", "expected"), [(4_999, "rotated"), (5_000, "expired"), (10_000, "expired")])
async def test_a_session_ends_idle_or_at_its_absolute_end(store: Store, now_ms: int, expected: str) -> None:
    await store.sessions.create(a_session("t1"))
    assert await rotate(store, "t1", "t2", now_ms) == expected


async def test_the_absolute_end_is_not_moved_by_rotation(store: Store) -> None:
    await store.sessions.create(a_session("t1", expires_ms=6_000))
    assert await rotate(store, "t1", "t2", 4_000) == "rotated"
    assert await rotate(store, "t2", "t3", 6_000) == "expired"


async def test_a_revoked_session_stays_revoked_at_its_first_time(store: Store) -> None:
    session = a_session("t1")
    await store.sessions.create(session)
    await store.sessions.revoke(session.session_id, now_ms=3)
    await store.sessions.revoke(session.session_id, now_ms=8)
    stored = await store.sessions.get(session.session_id)
    assert stored is not None
    assert stored.revoked_ms == 3
    assert await rotate(store, "t1", "t2") == "revoked"
    assert await store.sessions.get(new_id()) is None


async def test_ending_everything_names_what_ended_lately_and_spares_others(store: Store) -> None:
    mine = [a_session(f"t{number}") for number in range(3)]
    other = a_session("o", user_id="bob")
    for session in [*mine, other]:
        await store.sessions.create(session)
    await store.sessions.revoke(mine[0].session_id, now_ms=1)
    ended = await store.sessions.revoke_all("ada", now_ms=2, but=mine[2].session_id)
    assert sorted(ended) == sorted(session.session_id for session in mine[:2])
    assert await store.sessions.get(mine[2].session_id) == mine[2]
    assert len(await store.sessions.revoke_all("ada", now_ms=3)) == 3  # who repeats it is told again
    assert await store.sessions.revoke_all("ada", now_ms=3 + RECENT_MS) == []


async def test_sessions_that_are_over_are_forgotten(store: Store) -> None:
    over, mine, other = a_session("t1"), a_session("t2", expires_ms=10_001), a_session("o", user_id="bob")
    for session in (over, mine, other):
        await store.sessions.create(session)
    await store.sessions.forget_old("ada", now_ms=10_000 + RECENT_MS)
    assert [await store.sessions.get(one.session_id) for one in (over, mine, other)] == [None, mine, other]


async def test_ending_everything_spares_other_people(store: Store) -> None:
    other = a_session("o", user_id="bob")
    await store.sessions.create(other)
    await store.sessions.create(a_session("t"))
    assert len(await store.sessions.revoke_all("ada", now_ms=2)) == 1
    assert await store.sessions.get(other.session_id) == other
