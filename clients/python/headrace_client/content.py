"""What is uploaded, and where a download lands: paths, bytes, or binary files. Everything here blocks, and belongs into a thread."""

import contextlib
import hashlib
import io
import mimetypes
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from headrace_client.errors import FileChanged
from headrace_client.ranges import Place

CHUNK_BYTES = 64 * 1024
OCTETS = "application/octet-stream"

File = str | os.PathLike[str] | bytes | BinaryIO
Target = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it is announced: `size` in bytes, `sha256` in hexadecimal digits."""

    file: File
    start: int
    name: str
    content_type: str
    size: int
    sha256: str

    @contextlib.contextmanager
    def opened(self) -> Generator[BinaryIO]:
        """The file at its beginning."""
        with _opened(self.file) as file:
            file.seek(self.start)
            yield file

    def read(self, file: BinaryIO, left: int) -> bytes:
        """The next chunk of `left` bytes that are missing.

        Raises:
            FileChanged: it has become shorter.
        """
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise FileChanged(f"{self.name} has {left} bytes less than it had")
        return chunk


def look_at(file: File, name: str | None, content_type: str | None, check: Callable[[], None]) -> Source:
    """Read a file once through, a chunk at a time; `check` is called between chunks.

    Raises:
        OSError: it can not be read.
        ValueError: it is empty.
    """
    digest, size = hashlib.sha256(), 0
    with _opened(file) as opened:
        start = opened.tell()
        while chunk := opened.read(CHUNK_BYTES):
            check()
            digest.update(chunk)
            size += len(chunk)
    name = name or _name_of(file)
    if not size:
        raise ValueError(f"{name} is empty; an empty file can not be sent")
    return Source(file, start, name, content_type or media_type(name), size, digest.hexdigest())


def media_type(name: str) -> str:
    """The media type that a name's ending stands for."""
    guessed, encoding = mimetypes.guess_type(name)
    match encoding:
        case None:
            return guessed or OCTETS
        case "gzip":
            return "application/gzip"
        case _:
            return OCTETS


@contextlib.contextmanager
def _opened(file: File) -> Generator[BinaryIO]:
    """A file that is ours is closed after use, one of the program is not."""
    match file:
        case bytes():
            yield io.BytesIO(file)
        case str() | os.PathLike():
            with Path(file).open("rb") as opened:
                yield opened
        case _:
            yield file


def _name_of(file: File) -> str:
    match file:
        case bytes():
            return "file"
        case str() | os.PathLike():
            return Path(file).name
        case _:
            named: object = getattr(file, "name", None)  # an open file's may be its number
            return Path(named).name if isinstance(named, str) and named else "file"


class Landing:
    """Where a download is written, and how far it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell() if file.seekable() else None
        self.place = Place()

    def begin(self, place: Place) -> None:
        """What comes next belongs here: on from where we are, or at the beginning again.

        Raises:
            FileChanged: what was written can not be taken back.
        """
        if place.offset != self.place.offset:
            if self._start is None:
                raise FileChanged("the download has to begin anew, and what was written can not be taken back")
            self._file.seek(self._start)
            self._file.truncate()
        self.place = place

    def write(self, chunk: bytes) -> None:
        """The next bytes."""
        self._file.write(chunk)
        self.place = self.place.after(len(chunk))


@contextlib.contextmanager
def landing(to: Target) -> Generator[Landing]:
    """A landing; a path is written as `<name>.part`, and gets its name when all of it is there."""
    if not isinstance(to, str | os.PathLike):
        yield Landing(to)
        return
    path = Path(to)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield Landing(file)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
