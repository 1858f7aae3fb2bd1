"""The /commands about files."""

import contextlib
import io
import shlex
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Final

from cli.chat.on_messages import alone
from cli.chat.talk import Talk
from cli.output import printable, size
from headrace_client import Attachment
from headrace_client.view import Room

NAME_BYTES: Final = 180
"""Of a file's name; file systems take 255, and it may get a number and `.part`."""


async def send(talk: Talk, rest: str) -> None:
    """Upload a file into the open conversation, and send it."""
    path, text = pathed(rest)
    talk.transfers.start("↑", path.name, partial(_send, talk, talk.room, path, text))


async def get(talk: Talk, rest: str) -> None:
    """Download the files of a message, or the one of this name, into the current folder."""
    number, _, name = rest.partition(" ")
    files = [file for file in (await talk.message(alone(number))).attachments if name.strip() in {"", file.name}]
    if not files:
        raise ValueError(f"there is no such file in {number}" if name else f"there is no file in {number}")
    for file in files:
        talk.transfers.start("↓", file.name, partial(_get, talk, file))


async def _send(talk: Talk, room: Room, path: Path, text: str, progress: Callable[[int, int], None]) -> None:
    file = await talk.api.upload(path, progress=progress)
    await talk.send(text, files=[file], room=room)


async def _get(talk: Talk, file: Attachment, progress: Callable[[int, int], None]) -> None:
    with reserved(Path(), safe_name(file.name)) as path:
        count = await talk.api.download(file.attachment_id, path, progress=progress)
    talk.say(f"-- {printable(path.name)} is here ({size(count)}) --")


def pathed(rest: str) -> tuple[Path, str]:
    """`photo.png look`, or `"my photo.png" look`: a path as a shell reads it, and a text.

    Raises:
        ValueError: there is no path.
    """
    source = io.StringIO(rest)
    lexer = shlex.shlex(source, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    path = lexer.get_token()
    if not path:
        raise ValueError('say which file: photo.png, or "my photo.png" if there are spaces in it')
    return Path(path).expanduser(), source.read().strip()


@contextlib.contextmanager
def reserved(folder: Path, name: str) -> Generator[Path]:
    """A path that nothing was at: `photo.png`, or `photo (2).png`; nothing is there again if what is done with it fails."""
    path = _taken(folder, name)
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _taken(folder: Path, name: str) -> Path:
    stem, ending = Path(name).stem, Path(name).suffix
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{stem} ({number}){ending}")
        if not path.with_name(f"{path.name}.part").exists():  # where a download is until it is whole
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                return path
        number += 1


def safe_name(name: str) -> str:
    """Somebody else's name for a file, as one in the current folder that is neither hidden nor a surprise."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(char if char.isprintable() else "_" for char in last).lstrip(". ").rstrip()
    stem, ending = Path(plain).stem, Path(plain).suffix
    room = NAME_BYTES - len(ending.encode())
    if room < 1:
        stem, ending, room = plain, "", NAME_BYTES
    return stem.encode()[:room].decode(errors="ignore") + ending or "file"
