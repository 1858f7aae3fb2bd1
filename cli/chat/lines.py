"""The view for pipes: every line of the input is sent, every message is a line of the output.

The end of the input waits until everything is stored, so that `echo hello | headrace chat --as alice` has a meaning.
"""

import asyncio
import contextlib
import threading
from functools import partial
from typing import Final, TextIO

import click

from cli.chat.commands import Quit, enter
from cli.chat.hearing import hear
from cli.chat.talk import Talk
from cli.failures import Failure
from headrace_client import HeadraceError, OutboxFull, Rejected, Sending

STORED_S: Final = 60.0
"""How long the end of the input waits; what is not stored then stays in the outbox for the next run."""
MARKED_S: Final = 3.0
ROOM_S: Final = 0.05


async def show(talk: Talk, source: TextIO) -> None:
    """Run until the input ends and everything is stored.

    Raises:
        Failure: something was refused, or not stored in time.
        Stopped: the connection ended for good.
    """
    talk.show = lambda line: click.echo(line.text)
    hearing = asyncio.create_task(talk.client.handle(partial(hear, talk)))
    entering = asyncio.create_task(_enter(talk, source, hearing))
    try:
        await asyncio.wait({hearing, entering}, return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            await hearing  # raises what ended the connection
        await entering
        await _all_stored(talk, hearing)
        await _all_marked(talk, hearing)
    finally:
        for task in (hearing, entering):
            task.cancel()
        await asyncio.gather(hearing, entering, return_exceptions=True)
        await talk.transfers.stop()
    if talk.transfers.failed:
        raise Failure(f"{talk.transfers.failed} files did not come through")
    if talk.mine.failed:
        raise Failure(f"{talk.mine.failed} messages were refused")


async def _enter(talk: Talk, source: TextIO, hearing: asyncio.Task[None]) -> None:
    queue = _read(source)
    while (line := await queue.get()) is not None:
        if line.lstrip().startswith("/"):  # it may be about what was said just before it
            await _all_stored(talk, hearing)
        while True:
            try:
                await enter(talk, line)
                await talk.transfers.done()  # the next line comes after the file
                break
            except OutboxFull:  # the input is faster than the server
                await asyncio.sleep(ROOM_S)
            except Quit:
                return


async def _all_stored(talk: Talk, hearing: asyncio.Task[None]) -> None:
    settling = [asyncio.create_task(talk.mine.settled(mine)) for mine in talk.mine.all()]
    settling += [asyncio.create_task(_left_over(sending)) for sending in talk.client.pending()]
    try:
        async with asyncio.timeout(STORED_S):
            await asyncio.gather(*settling)
            while talk.mine and not hearing.done():  # noqa: ASYNC110 - stored, and about to be printed by `hearing`
                await asyncio.sleep(ROOM_S)
    except TimeoutError:
        raise Failure(f"{len(talk.mine)} messages are not stored yet; the next run sends them again") from None
    except HeadraceError:
        if hearing.done():
            await hearing
        raise
    finally:
        for task in settling:
            task.cancel()


async def _all_marked(talk: Talk, hearing: asyncio.Task[None]) -> None:
    """Marks live in memory: those that the server has not got by then, the next run sets."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MARKED_S):
            while not talk.all_marked and not hearing.done():  # noqa: ASYNC110 - as above
                await asyncio.sleep(ROOM_S)


async def _left_over(sending: Sending) -> None:
    """A message of an earlier run counts too; that it was refused is told by its event."""
    with contextlib.suppress(Rejected):
        await sending.stored


def _read(source: TextIO) -> asyncio.Queue[str | None]:
    """Lines, then None. A thread that dies with the program: neither pipes nor files can be waited for portably."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in source:
            loop.call_soon_threadsafe(queue.put_nowait, line)
        loop.call_soon_threadsafe(queue.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return queue
