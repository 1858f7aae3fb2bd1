"""`headrace smoke`: one message from end to end through a running gateway, over REST and WebSocket, and how long it took."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import click
import orjson

from cli import output
from cli.failures import Failure
from cli.failures import Unreachable as Away
from headrace_client import AnyEvent, Api, ApiError, Client, Event, HeadraceError, Message, Resynced, Unreachable

_TITLE: Final = "smoke"


@click.command
@click.option("--url", help="The gateway.  [default: that of a running `headrace up`, else http://127.0.0.1:8000]")
@click.option("--user", "username", help="Sign in as this user.  [default: one of a running `headrace up --demo`]")
@click.option("--password", envvar="HEADRACE_SMOKE_PASSWORD", help="With --user; better in HEADRACE_SMOKE_PASSWORD.")
@click.option("--register", is_flag=True, help="Make the account if there is none.")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    help="Seconds for the whole.",
)
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    url: str | None,
    username: str | None,
    password: str | None,
    register: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Sign in, send a message over the WebSocket, hear its event, find it by REST. Ends with 0 only if all of it worked.

    Example:  headrace smoke --url https://chat.example --user probe
    """
    folder = context.find_root().params.get("data")
    demo = _demo(folder) if isinstance(folder, Path) else None
    if username is None and demo:
        username, password = demo.username, demo.password
    if username is None or password is None:
        raise click.UsageError("say who: --user and HEADRACE_SMOKE_PASSWORD, or start `headrace up --demo`")
    address = url or (demo.url if demo else "") or _default_url()
    row = asyncio.run(_within(seconds, address, username, password, register=register))
    output.show_one(row, as_json=as_json)


class _Demo:
    """The first of the demo's people, and their gateway."""

    def __init__(self, raw: bytes) -> None:
        content = orjson.loads(raw)
        self.url = str(content["url"])
        self.username = str(content["users"][0]["username"])
        self.password = str(content["users"][0]["password"])


def _demo(folder: Path) -> _Demo | None:
    try:
        return _Demo((folder / "demo.json").read_bytes())
    except (OSError, ValueError, LookupError, TypeError):
        return None  # there is none, or it is not made whole yet


def _default_url() -> str:
    return f"http://127.0.0.1:{os.environ.get('HEADRACE_PORT', '8000')}"


async def _within(seconds: float, url: str, username: str, password: str, *, register: bool) -> output.Row:
    stages = _Stages()
    try:
        async with asyncio.timeout(seconds):
            return await _smoke(stages, url, username, password, register=register)
    except TimeoutError:
        raise Failure(f"not done within {seconds:g} s; got as far as: {stages.last}") from None
    except Unreachable as failure:
        raise Away(f"{url} does not answer ({failure}); stage: {stages.last}") from failure
    except ValueError as failure:
        raise click.BadParameter(str(failure), param_hint="--url") from None
    except HeadraceError as failure:
        raise Failure(f"{failure}; got as far as: {stages.last}") from failure


class _Stages:
    """A stopwatch with names."""

    def __init__(self) -> None:
        self.last = "nothing"
        self.times: dict[str, float] = {}
        self._began = time.perf_counter()

    def done(self, name: str) -> None:
        """A stage is done: keep how long it took since the one before."""
        now = time.perf_counter()
        self.times[f"{name}_ms"] = round((now - self._began) * 1000, 1)
        self._began, self.last = now, name


async def _smoke(stages: _Stages, url: str, username: str, password: str, *, register: bool) -> output.Row:
    api = Api(url)
    await _sign_in(api, username, password, register=register)
    stages.done("signed_in")
    me = await api.me()
    conversation = await api.create("group", [me.user_id], _TITLE, key=_TITLE)
    stages.done("conversation")
    async with Client(url, token=api.token, client_name="headrace-smoke") as client:
        events = client.events()
        await _heard(
            events, lambda event: isinstance(event, Resynced)
        )  # what is sent now is an event, not part of the state
        stages.done("connected")
        sending = client.send(conversation.conversation_id, "smoke")
        await sending.accepted
        stages.done("accepted")
        await _heard(events, lambda event: _is_message(event, sending.client_msg_id))
        stages.done("delivered")
        stored = await sending.stored
    page = await api.messages(conversation.conversation_id, after_seq=stored.seq - 1, limit=1)
    if [message.message_id for message in page] != [stored.message_id]:
        raise Failure(f"message {stored.message_id} was announced as stored, and history does not show it")
    stages.done("found")
    return {
        "url": url,
        "user": username,
        "conversation_id": stored.conversation_id,
        "message_id": stored.message_id,
        "seq": stored.seq,
        **stages.times,
    }


async def _sign_in(api: Api, username: str, password: str, *, register: bool) -> None:
    if register:
        try:
            await api.register(username, password)
        except ApiError as refusal:
            if refusal.code != "username_taken":
                raise
        else:
            return
    await api.login(username, password)


async def _heard(events: AsyncIterator[AnyEvent], wanted: Callable[[AnyEvent], bool]) -> None:
    async for event in events:
        if wanted(event):
            return


def _is_message(event: AnyEvent, client_msg_id: str) -> bool:
    return isinstance(event, Event) and isinstance(event.data, Message) and event.data.client_msg_id == client_msg_id
