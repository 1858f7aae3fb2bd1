"""Who types, and who is there: told for the open conversation alone, and forgotten by itself."""

import asyncio
from typing import Any

import pytest

from cli.chat.around import Around
from headrace_client import Presence, Typing

pytestmark = pytest.mark.anyio


class Said:
    """A client that only notes what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any, **more: Any) -> None:
            told = [sorted(one) if isinstance(one, set | list) else one for one in args]
            self.calls.append((name, *told, *more.values()))

        return note


def around() -> tuple[Around, Said, list[int]]:
    client, redrawn = Said(), list[int]()
    return Around(client, lambda: redrawn.append(1)), client, redrawn  # type: ignore[arg-type]


def types(user: str, room: str = "a", state: str = "start", ms: int = 60_000) -> Typing:
    return Typing(conversation_id=room, user_id=user, state=state, expires_in_ms=ms)


async def test_where_one_looks_is_said_when_it_changes() -> None:
    here, client, _ = around()
    here.look_at("a", ["ben", "ann"])
    here.look_at("a", ["ann", "ben"])
    here.look_at("b", ["ben"])
    here.look_at(None, [])
    assert client.calls == [
        ("watch", "a"), ("unsubscribe_presence", []), ("subscribe_presence", ["ann", "ben"]),
        ("unwatch", "a"), ("watch", "b"), ("unsubscribe_presence", ["ann"]), ("subscribe_presence", ["ben"]),
        ("unwatch", "b"), ("unsubscribe_presence", ["ben"]), ("subscribe_presence", []),
    ]  # fmt: skip


async def test_who_types_is_forgotten_when_they_stop_say_it_or_time_passes() -> None:
    here, _, redrawn = around()
    here.look_at("a", ["ann", "ben", "cid"])
    for data in (types("ann"), types("ben"), types("cid", ms=20), types("dan", room="b")):
        here.hear(data)
    assert here.typing == ["ann", "ben", "cid"]
    here.hear(types("ann", state="stop"))
    here.said("ben")
    assert here.typing == ["cid"]
    await asyncio.sleep(0.05)
    assert (here.typing, redrawn) == ([], [1])
    here.hear(types("ann"))
    here.look_at("b", ["ann"])
    assert here.typing == []


async def test_presence_is_kept_of_those_who_are_here() -> None:
    here, _, _ = around()
    here.look_at("a", ["ann", "ben"])
    here.hear(Presence(user_id="ann", status="busy"))
    here.hear(Presence(user_id="ben", status="online"))
    here.look_at("b", ["ann"])
    assert here.status == {"ann": "busy"}


async def test_a_command_is_not_told_as_typing() -> None:
    here, client, _ = around()
    here.type("nowhere yet")
    here.look_at("a", [])
    for text in ("h", "/quit", ""):
        here.type(text)
    assert client.calls[-3:] == [("typing", "a", False), ("typing", "a", True), ("typing", "a", True)]
