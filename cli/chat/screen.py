"""The view for people: history and messages above, the prompt below, and under it how we are connected and what is on its way."""

import asyncio
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.patch_stdout import patch_stdout

from cli.chat.talk import Mine, Quit, Talk, say_full
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
    with patch_stdout(raw=True):
        talk.show("/help shows what you can do.")
        await talk.history()
        prompting = asyncio.create_task(_prompt(talk, session))
        tasks = [
            prompting,
            asyncio.create_task(talk.client.handle(talk.hear)),
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


async def _prompt(talk: Talk, session: PromptSession[str]) -> None:
    settling: set[asyncio.Task[None]] = set()
    while True:
        try:
            line = await session.prompt_async("> ", bottom_toolbar=lambda: _toolbar(talk))
            before = set(talk.mine)
            await talk.enter(line)
        except OutboxFull as failure:
            talk.show(say_full(failure))
            continue
        except (EOFError, KeyboardInterrupt, Quit):
            return
        for key in talk.mine.keys() - before:
            task = asyncio.create_task(_settle(talk, talk.mine[key]))
            settling.add(task)
            task.add_done_callback(settling.discard)


async def _settle(talk: Talk, mine: Mine) -> None:
    try:
        await talk.settled(mine)
    except HeadraceError:
        return  # the client has ended; `handle` says why


async def _redraw(talk: Talk, session: PromptSession[str]) -> None:
    """Draw the toolbar anew when the connection changes; accepted messages show at the next of any change."""
    async for _ in talk.client.links():
        session.app.invalidate()


def _toolbar(talk: Talk) -> StyleAndTextTuples:
    style, text = LINKS[talk.client.link]
    drawn: StyleAndTextTuples = [(style, "● "), ("", f"{text} · {talk.title}")]
    for mine in list(talk.mine.values())[:PENDING_LINES]:
        drawn.append(("", f"\n{STATES.get(mine.sending.state, ' ')} {mine.sending.state}: {mine.text[:60]}"))
    if len(talk.mine) > PENDING_LINES:
        drawn.append(("", f"\n  and {len(talk.mine) - PENDING_LINES} more"))
    return drawn
