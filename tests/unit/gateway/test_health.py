import asyncio

import pytest

from backplane.errors import Transient
from backplane.store.mongo import LayoutMismatch, NotMigrated
from gateway.health import DOWN_AFTER, UP_AFTER, Health, Steadied


def test_the_first_good_answer_makes_it_up() -> None:
    signal = Steadied()
    assert not signal.see(False)
    assert signal.see(True)
    assert signal.up


def test_one_bad_answer_changes_nothing() -> None:
    signal = Steadied()
    signal.see(True)
    for _ in range(10):
        assert not any(signal.see(False) for _ in range(DOWN_AFTER - 1))
        assert not signal.see(True)
    assert signal.up


def test_bad_answers_in_a_row_make_it_down_and_good_ones_in_a_row_up_again() -> None:
    signal = Steadied()
    signal.see(True)
    assert [signal.see(False) for _ in range(DOWN_AFTER)] == [False] * (DOWN_AFTER - 1) + [True]
    assert not signal.up
    assert [signal.see(True) for _ in range(UP_AFTER)] == [False] * (UP_AFTER - 1) + [True]
    assert signal.up


async def _answers() -> float:
    return 0.001


async def _is_away() -> float:
    raise Transient("away")


async def _passes() -> None: ...


async def _no_database() -> None:
    raise Transient("away")


async def _foreign() -> None:
    raise LayoutMismatch("born with 16 partitions")


async def _until(health: Health, reasons: list[str]) -> None:
    probing = asyncio.create_task(health.run())
    async with asyncio.timeout(10):
        while health.reasons() != reasons and not probing.done():  # noqa: ASYNC110 - polled, with a deadline
            await asyncio.sleep(0.01)
    probing.cancel()
    await asyncio.wait([probing])
    assert health.reasons() == reasons


@pytest.mark.anyio
async def test_ready_once_everything_answers_and_the_layout_is_ours() -> None:
    health = Health({"redis": _answers, "mongodb": _answers}, _passes)
    assert health.reasons()
    await _until(health, [])
    health.draining = True
    assert health.reasons() == ["draining"]


@pytest.mark.anyio
async def test_unready_while_something_is_away() -> None:
    await _until(Health({"redis": _answers, "mongodb": _is_away}, _passes), ["mongodb is away"])
    await _until(Health({"redis": _answers}, _no_database), ["the layout is not checked yet"])


async def _half_migrated() -> None:
    raise NotMigrated("run `headrace migrate`")


@pytest.mark.anyio
async def test_a_migration_on_its_way_is_waited_for() -> None:
    await _until(Health({"redis": _answers}, _half_migrated), ["run `headrace migrate`"])


@pytest.mark.anyio
async def test_another_layout_ends_it() -> None:
    """C18"""
    with pytest.raises(LayoutMismatch, match="16 partitions"):
        await Health({"redis": _answers}, _foreign).run()
