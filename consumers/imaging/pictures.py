"""Runs the worker on one file: within bounds of time and output, and with nothing of this process' but that file."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Final, Literal

import msgspec
import structlog

from consumers.inspection.kinds import sniff

log = structlog.get_logger(__name__)

THUMBNAIL_PIXELS: Final = 512
MOST_OUTPUT: Final = 1 << 20
MOST_COMPLAINT: Final = 4096
WORKER: Final = ("-I", "-B", "-m", "consumers.imaging.worker", str(THUMBNAIL_PIXELS))
"""Python's arguments. `-I`: nothing is imported from the folder at hand, nor from where the environment says."""
_GONE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that can be shown: pixels as shown, that is upright; and its thumbnail, without any metadata."""

    width: int
    height: int
    thumbnail: bytes
    thumbnail_type: str
    thumbnail_width: int
    thumbnail_height: int


class _Thumbnail(msgspec.Struct, frozen=True):
    width: Annotated[int, msgspec.Meta(ge=1, le=THUMBNAIL_PIXELS)]
    height: Annotated[int, msgspec.Meta(ge=1, le=THUMBNAIL_PIXELS)]
    content_type: Literal["image/webp", "image/png", "image/jpeg"]
    size: int


class _Answer(msgspec.Struct, frozen=True):
    width: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    height: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    thumbnail: _Thumbnail


class _Unrendered(Exception):
    """There will be no picture; the message says why, and quotes nothing of the file."""


async def picture_of(file: BinaryIO, *, seconds: float = 20.0, worker: Sequence[str] = WORKER) -> Picture | None:
    """Render an image in a process of its own; None, and a warning in the log, when it can not be within `seconds`.

    One takes up to 1 GiB of memory and a processor; how many run at a time is up to the caller.

    Args:
        file: a real one, with a descriptor, read from its start; its position is left as it is.
        seconds: after so many the worker is killed.
        worker: Python's arguments: what runs.

    Raises:
        OSError: the worker can not be started, or the file not be opened; never for what is in the file.
    """
    file.flush()
    try:
        async with asyncio.timeout(seconds):
            with _reopened(file) as descriptor:
                return _read(await _output_of(descriptor, worker))
    except TimeoutError:
        log.warning("image.not_rendered", reason="it takes too long", seconds=seconds)
    except _Unrendered as failure:
        log.warning("image.not_rendered", reason=str(failure))
    return None


@contextmanager
def _reopened(file: BinaryIO) -> Generator[int, None, None]:
    """The file once more, for reading: a descriptor that were only inherited could write, and would share its position."""
    descriptor = os.open(f"/dev/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _output_of(descriptor: int, worker: Sequence[str]) -> bytes:
    async with _running(descriptor, worker) as process:
        stdout, stderr = _pipes(process)
        # One after the other: no worker says so much to stderr that it would have to wait for us.
        output = await _at_most(MOST_OUTPUT, stdout)
        complaint = await _at_most(MOST_COMPLAINT, stderr)
        code = await process.wait()
    if code:
        word = complaint.decode("ascii", "replace").strip()
        raise _Unrendered(f"exit {code}, {word}" if word.isalnum() else f"exit {code}")
    return output


@asynccontextmanager
async def _running(descriptor: int, worker: Sequence[str]) -> AsyncGenerator[Process, None]:
    """The process; it is gone at the end, whatever happens."""
    # Who is cancelled while it starts would not know whom to end, and uvloop would leave a zombie: so it always starts, then ends.
    starting = asyncio.create_task(_start(descriptor, worker))
    try:
        yield await asyncio.shield(starting)
    finally:
        await asyncio.shield(asyncio.create_task(_end(starting)))


async def _start(descriptor: int, worker: Sequence[str]) -> Process:
    """In a session of its own: Ctrl-C is for us, who end it in order."""
    return await asyncio.create_subprocess_exec(
        sys.executable, *worker, stdin=descriptor, stdout=PIPE, stderr=PIPE, env={}, cwd="/", start_new_session=True
    )


async def _end(starting: asyncio.Task[Process]) -> None:
    process = await starting
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Takes what is left in the pipes, too: while one is not read to its end, the wait is not over.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.communicate(), _GONE_SECONDS)


def _pipes(process: Process) -> tuple[StreamReader, StreamReader]:
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("pipes were asked for, and there are none")
    return process.stdout, process.stderr


async def _at_most(most: int, stream: StreamReader) -> bytes:
    try:
        await stream.readexactly(most + 1)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    raise _Unrendered("it says too much")


def _read(output: bytes) -> Picture:
    """What the worker says: who took it over could say anything, so all of it is checked."""
    line, _, thumbnail = output.partition(b"\n")
    try:
        answer = msgspec.json.decode(line, type=_Answer)
    except msgspec.MsgspecError:
        raise _Unrendered("it says what no worker says") from None
    small = answer.thumbnail
    if small.size != len(thumbnail) or sniff(thumbnail).media != small.content_type:
        raise _Unrendered("its thumbnail is none")
    return Picture(answer.width, answer.height, thumbnail, small.content_type, small.width, small.height)
