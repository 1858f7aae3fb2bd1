"""Files on their way: told while they are, and in a line if they fail."""

import asyncio
from collections.abc import Callable

import pytest

from cli.chat.transfers import Transfers
from headrace_client import ApiError, Unreachable

pytestmark = pytest.mark.anyio


async def test_what_is_on_its_way_is_told_until_it_is_there() -> None:
    said, drawn, go_on = list[str](), list[int](), asyncio.Event()
    transfers = Transfers(said.append, lambda: drawn.append(1))

    async def work(progress: Callable[[int, int], None]) -> None:
        progress(1024, 4096)
        await go_on.wait()

    transfers.start("↑", "a\x1b.png", work)
    assert transfers.lines() == ["↑ a\N{REPLACEMENT CHARACTER}.png …"]
    await asyncio.sleep(0)
    assert (transfers.lines(), drawn) == (["↑ a\N{REPLACEMENT CHARACTER}.png 1.0KiB of 4.0KiB"], [1])
    go_on.set()
    await transfers.done()
    assert (transfers.lines(), said, transfers.failed) == ([], [], 0)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Unreachable("nobody there"), "!! a.png: nobody there"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "!! a.png: No such file or directory"),
        (ValueError("a.png is empty"), "!! a.png: a.png is empty"),
        (
            ApiError(413, "payload_too_large", "Too\nmuch."),
            "!! a.png: Too\N{REPLACEMENT CHARACTER}much. (payload_too_large)",
        ),
    ],
)
async def test_what_fails_is_told_in_a_line(failure: Exception, told: str) -> None:
    said = list[str]()
    transfers = Transfers(said.append, lambda: None)

    async def work(_: Callable[[int, int], None]) -> None:
        raise failure

    transfers.start("↑", "a.png", work)
    await transfers.done()
    assert (said, transfers.failed) == ([told], 1)


async def test_without_a_scanner_it_is_told_how_to_install_one() -> None:
    said = list[str]()
    transfers = Transfers(said.append, lambda: None)

    async def work(_: Callable[[int, int], None]) -> None:
        raise ApiError(503, "scanner_unavailable", "This server has no virus scanner.", temporary=True)

    transfers.start("↑", "a.png", work)
    await transfers.done()
    [line] = said
    assert "apt-get install clamav-daemon" in line


async def test_who_leaves_ends_what_is_on_its_way() -> None:
    transfers = Transfers(lambda _: None, lambda: None)

    async def work(_: Callable[[int, int], None]) -> None:
        await asyncio.Event().wait()

    transfers.start("↓", "a.png", work)
    await transfers.stop()
    assert transfers.lines() == []
