import asyncio
from collections.abc import Sequence

import pytest

from backplane.errors import Permanent
from backplane.store.together import Together

pytestmark = pytest.mark.anyio


class Sender:
    """Remembers what each command carried; holds every command until it is let go."""

    def __init__(self) -> None:
        self.carried: list[list[list[str]]] = []
        self.let_go = asyncio.Event()

    async def __call__(self, calls: list[Sequence[str]]) -> list[int | Exception]:
        self.carried.append([list(call) for call in calls])
        await self.let_go.wait()
        return [Permanent("bad") if "bad" in call else len(call) for call in calls]


async def calls_of(together: Together[str, int], *items: Sequence[str]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(together.call(item)) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_arrives_meanwhile_goes_out_together_and_in_order() -> None:
    sender = Sender()
    together: Together[str, int] = Together(sender, lanes=1)
    first = await calls_of(together, "a")
    later = await calls_of(together, "bc", "d", "e")
    sender.let_go.set()
    assert await asyncio.gather(*first, *later) == [1, 2, 1, 1]
    assert sender.carried == [[["a"]], [["b", "c"], ["d"], ["e"]]]


async def test_a_command_carries_no_more_than_its_limit_but_a_large_call_whole() -> None:
    sender = Sender()
    sender.let_go.set()
    together: Together[str, int] = Together(sender, lanes=1, limit=3)
    tasks = await calls_of(together, "ab", "cd", "efghi", "j")
    assert await asyncio.gather(*tasks) == [2, 2, 5, 1]
    assert [sum(map(len, calls)) for calls in sender.carried] == [2, 2, 5, 1]


async def test_each_caller_gets_its_own_answer() -> None:
    sender = Sender()
    sender.let_go.set()
    together: Together[str, int] = Together(sender, lanes=1)
    good, bad, other = await asyncio.gather(
        together.call(["x"]), together.call(["bad"]), together.call(["y"]), return_exceptions=True
    )
    assert (good, other) == (1, 1)
    assert isinstance(bad, Permanent)


async def test_a_command_that_hangs_leaves_the_other_lane_to_the_others() -> None:
    sender = Sender()
    together: Together[str, int] = Together(sender, lanes=2)
    hanging = await calls_of(together, "a")
    other = await calls_of(together, "b")
    assert sender.carried == [[["a"]], [["b"]]]
    sender.let_go.set()
    assert await asyncio.gather(*hanging, *other) == [1, 1]


async def test_a_caller_that_is_gone_costs_the_others_nothing() -> None:
    sender = Sender()
    together: Together[str, int] = Together(sender, lanes=1)
    gone, stays = await calls_of(together, "a", "b")
    gone.cancel()
    sender.let_go.set()
    assert await stays == 1
