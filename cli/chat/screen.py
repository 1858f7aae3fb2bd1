"""The view for people: history and messages above, the prompt below, and under it how we are connected and what is on its way."""

import asyncio
from functools import partial
from typing import Final

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.patch_stdout import patch_stdout

from cli.chat.commands import Quit, enter
from cli.chat.hearing import hear
from cli.chat.talk import Talk
from cli.chat.telling import Line
from cli.chat.underway import Mine
from cli.output import printable
from headrace_client import HeadraceError, Link, OutboxFull

LINKS: Final = {
    Link.CONNECTED: ("ansigreen", "connected"),
    Link.CONNECTING: ("ansiyellow", "connecting …"),
    Link.DISCONNECTED: ("ansired", "not connected; what you write is kept and sent later"),
}
PENDING_LINES: Final = 3
STATES: Final = {"sending": "…", "accepted": "✓"}


async def show(talk: Talk) -> None:
    """Run until the person leaves.

    Raises:
        Stopped: the connection ended for good.
    """
    session: PromptSession[str] = PromptSession()
    talk.show, talk.changed = _show, session.app.invalidate
    session.default_buffer.on_text_changed += partial(_typed, talk)
    with patch_stdout(raw=True):
        talk.say("/help shows what you can do.")
        await talk.history()
        prompting = asyncio.create_task(_prompt(talk, session))
        tasks = [
            prompting,
            asyncio.create_task(talk.client.handle(partial(hear, talk))),
            asyncio.create_task(_redraw(talk, session)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await talk.transfers.stop()


def _typed(talk: Talk, buffer: Buffer) -> None:
    talk.around.type(buffer.text)


def _show(line: Line) -> None:
    print(click.style(line.text, fg="yellow", bold=True) if line.calls_me else line.text)


async def _prompt(talk: Talk, session: PromptSession[str]) -> None:
    settling: set[asyncio.Task[None]] = set()

    def settle(mine: Mine) -> None:
        task = asyncio.create_task(_settle(talk, mine))
        settling.add(task)
        task.add_done_callback(settling.discard)

    talk.mine.added = settle
    while True:
        try:
            line = await session.prompt_async("> ", bottom_toolbar=lambda: _toolbar(talk))
            await enter(talk, line)
        except OutboxFull as failure:
            talk.say(f"!! {failure}; wait until the server is back")
            continue
        except (EOFError, KeyboardInterrupt, Quit):
            return


async def _settle(talk: Talk, mine: Mine) -> None:
    try:
        await talk.mine.settled(mine)
    except HeadraceError:
        return  # the client has ended; `handle` says why


async def _redraw(talk: Talk, session: PromptSession[str]) -> None:
    """Draw the toolbar anew when the connection changes; accepted messages show at the next of any change."""
    async for _ in talk.client.links():
        session.app.invalidate()


def _toolbar(talk: Talk) -> StyleAndTextTuples:
    style, text = LINKS[talk.client.link]
    drawn: StyleAndTextTuples = [
        (style, "● "),
        ("", " · ".join(filter(None, (text, talk.title, talk.progress, talk.typing)))),
    ]
    drawn += [("", f"\n{line}") for line in talk.transfers.lines()[:PENDING_LINES]]
    for mine in talk.mine.all()[:PENDING_LINES]:
        drawn.append(("", f"\n{STATES.get(mine.sending.state, ' ')} {mine.sending.state}: {printable(mine.text[:60])}"))
    if len(talk.mine) > PENDING_LINES:
        drawn.append(("", f"\n  and {len(talk.mine) - PENDING_LINES} more"))
    return drawn
