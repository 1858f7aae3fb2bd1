"""`headrace chat` sends, shows and fetches files."""

import contextlib
import json
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_client import Api
from tests.integration.attachments.client.conftest import PASSWORD, names_in
from tests.integration.client.test_chat import OpenChat
from tests.services import EICAR, Server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


@pytest.fixture
async def people(url: str, tmp_path: Path) -> list[str]:
    """Two in a group, known to a data folder, each with a folder of their own."""
    people, names = [Api(url), Api(url)], [f"{name}-{secrets.token_hex(4)}" for name in ("ann", "ben")]
    for api, name in zip(people, names, strict=True):
        await api.register(name, PASSWORD)
        (tmp_path / name).mkdir()
    group = await people[0].create("group", [(await people[1].me()).user_id], "Demo")
    content = {
        "url": url,
        "users": [{"username": name, "password": PASSWORD} for name in names],
        "conversations": [{"conversation_id": group.conversation_id, "title": "Demo"}],
    }
    (tmp_path / "demo.json").write_text(json.dumps(content))
    return names


@contextlib.contextmanager
def held(server: Server) -> Iterator[None]:
    """It says nothing meanwhile."""
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


async def test_files_are_sent_shown_and_fetched(people: list[str], clamd: Server, tmp_path: Path) -> None:
    ann, ben = people
    (tmp_path / ann / "my notes.txt").write_text("hello")
    (tmp_path / ann / "bad.bin").write_bytes(EICAR)
    (tmp_path / ben / "my notes.txt").write_text("his own")
    async with OpenChat.of(tmp_path, ann, tmp_path / ann) as hers, OpenChat.of(tmp_path, ben, tmp_path / ben) as his:
        with held(clamd):
            hers.say('/file "my notes.txt" look at this')
            hers.say("/file bad.bin")
            for chat in (hers, his):
                await chat.until(f"#1 {ann}: look at this")
                await chat.until("    [my notes.txt 5B, scanning …]")
                await chat.until(f"#2 {ann}: [bad.bin 68B, scanning …]")
        for chat in (hers, his):
            await chat.until("#1 [my notes.txt 5B]")
            await chat.until("#2 [bad.bin 68B, refused: infected (", whole=False)
        his.say("/get 1")
        await his.until("-- my notes (2).txt is here (5B) --")
        his.say("/get 2 bad.bin")
        await his.until("!! bad.bin: The file was refused", whole=False)
        his.say("/get 2 other.bin")
        await his.until("!! there is no such file in 2")
        hers.say("/file nowhere.png")
        await hers.until("!! nowhere.png: No such file or directory")
        assert (await his.end(), await hers.end()) == (1, 1), "one file of each did not come through"
    assert (tmp_path / ben / "my notes (2).txt").read_text() == "hello"
    assert (tmp_path / ben / "my notes.txt").read_text() == "his own"
    assert names_in(tmp_path / ben) == ["my notes (2).txt", "my notes.txt"]
