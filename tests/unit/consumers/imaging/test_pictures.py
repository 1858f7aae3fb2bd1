"""Around the worker: it gets the file and nothing else, it is gone at the end, and nothing that it says is believed unseen."""

import asyncio
import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import psutil
import pytest
from structlog.testing import capture_logs

from consumers.imaging.pictures import Picture, picture_of
from tests.unit.consumers.imaging.photos import bomb, halves, opened, saved

pytestmark = pytest.mark.anyio

PNG = saved(halves(1000, 500), "PNG")
THUMBNAIL = saved(halves(64, 32), "WEBP")


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[BinaryIO]:
    """A file whose end never comes."""
    os.mkfifo(path := tmp_path / "fifo")
    with os.fdopen(os.open(path, os.O_RDWR), "r+b", buffering=0) as file:
        yield cast("BinaryIO", file)


@contextlib.contextmanager
def holding(content: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        yield file


others: set[psutil.Process] = set()
"""What other tests of the same process have left running for the next ones."""


@pytest.fixture(autouse=True)
def nobody_else() -> None:
    others.clear()
    others.update(psutil.Process().children(recursive=True))


def workers() -> list[psutil.Process]:
    """The workers that run, or are dead and not buried."""
    return [one for one in psutil.Process().children(recursive=True) if one not in others]


async def started() -> psutil.Process:
    """The worker, when there is one that runs Python."""
    async with asyncio.timeout(30):
        while True:
            for process in workers():
                with contextlib.suppress(psutil.Error):
                    if "consumers.imaging.worker" in process.cmdline():
                        return process
            await asyncio.sleep(0.005)


async def said(script: str, *, seconds: float = 20.0) -> tuple[Picture | None, dict[str, Any]]:
    """What is made of a worker that does this instead; and what is logged."""
    with holding(PNG) as file, capture_logs() as logs:
        picture = await picture_of(file, seconds=seconds, worker=("-I", "-c", script))
    assert not workers()
    return picture, dict(logs[0]) if logs else {}


async def test_a_picture() -> None:
    with holding(PNG) as file, capture_logs() as logs:
        picture = await picture_of(file)
        assert picture
        assert (picture.width, picture.height, picture.thumbnail_type) == (1000, 500, "image/webp")
        assert opened(picture).size == (512, 256)
    assert not logs
    assert not workers()


async def test_the_file_is_as_it_was() -> None:
    with holding(PNG) as file:
        file.seek(0)
        head = file.read(10)
        assert await picture_of(file)
        assert head + file.read() == PNG
        file.seek(5)
        assert file.read() == PNG[5:]
        assert await picture_of(file), "it is read from its start, wherever it stands"


async def test_a_file_without_a_descriptor_is_our_own_mistake() -> None:
    with pytest.raises(io.UnsupportedOperation):
        await picture_of(io.BytesIO(PNG))


@pytest.mark.parametrize(
    "content", [b"", b"a text of somebody's", PNG[:-100], bomb()], ids=["empty", "text", "cut", "bomb"]
)
async def test_what_can_not_be_rendered_is_none_and_told_without_its_content(content: bytes) -> None:
    with holding(content) as file, capture_logs() as logs:
        assert await picture_of(file) is None
    (log,) = logs
    assert (log["event"], log["log_level"]) == ("image.not_rendered", "warning")
    assert log["reason"].startswith("exit 3, ")
    assert "somebody" not in repr(log)


async def test_past_its_time_it_is_gone(endless: BinaryIO) -> None:
    rendering = asyncio.create_task(picture_of(endless, seconds=1.5))
    process = await started()
    assert await rendering is None
    assert not psutil.pid_exists(process.pid), "not even as a zombie"


async def test_time_is_up_before_it_could_begin() -> None:
    with holding(PNG) as file:
        assert await picture_of(file, seconds=0.0) is None
    assert not workers()


async def test_who_is_cancelled_leaves_nothing_behind(endless: BinaryIO) -> None:
    rendering = asyncio.create_task(picture_of(endless))
    process = await started()
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert not psutil.pid_exists(process.pid)


async def test_many_at_a_time() -> None:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(holding(content)) for content in (PNG, b"text", PNG)]
        first, none, last = await asyncio.gather(*map(picture_of, files))
    assert first == last
    assert first is not None
    assert none is None


async def test_no_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET", "x")
    _, log = await said(
        "import os, sys; os.write(2, b'clean' if 'HEADRACE_SECRET' not in os.environ else b'told'); sys.exit(3)"
    )
    assert log["reason"] == "exit 3, clean"


async def test_the_file_can_not_be_written() -> None:
    _, log = await said("import os, sys\ntry: os.write(0, b'x')\nexcept OSError: os.write(2, b'clean')\nsys.exit(3)")
    assert log["reason"] == "exit 3, clean"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os\nwhile True: os.write(1, bytes(65536))", "it says too much"),
        ("import os\nwhile True: os.write(2, bytes(65536))", "it takes too long"),
        (
            "import os, time\nos.closerange(3, 999); os.close(1); os.write(2, bytes(5000)); os.close(2); time.sleep(60)",
            "it says too much",
        ),
        ("import os, time\nos.close(1); os.close(2); time.sleep(60)", "it takes too long"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "exit -11"),
        ("import os\nos.write(2, b'an image of somebody'); os._exit(3)", "exit 3"),
        ("", "it says what no worker says"),
        ("print('{}')", "it says what no worker says"),
        ("print('[' * 100000)", "it says what no worker says"),
    ],
)
async def test_a_worker_that_misbehaves(script: str, reason: str) -> None:
    picture, log = await said(script, seconds=0.5 if "long" in reason else 20.0)
    assert picture is None
    assert log["reason"] == reason


@pytest.mark.parametrize(
    ("width", "kind", "size", "content", "reason"),
    [
        (64, "image/webp", len(THUMBNAIL), THUMBNAIL, None),
        (64, "image/webp", len(THUMBNAIL) + 1, THUMBNAIL, "its thumbnail is none"),
        (64, "image/png", len(THUMBNAIL), THUMBNAIL, "its thumbnail is none"),
        (64, "image/webp", 6, b"<html>", "its thumbnail is none"),
        (64, "text/html", 6, b"<html>", "it says what no worker says"),
        (0, "image/webp", len(THUMBNAIL), THUMBNAIL, "it says what no worker says"),
        (513, "image/webp", len(THUMBNAIL), THUMBNAIL, "it says what no worker says"),
    ],
)
async def test_a_worker_that_lies(width: int, kind: str, size: int, content: bytes, reason: str | None) -> None:
    line = f'{{"width":64,"height":32,"thumbnail":{{"width":{width},"height":32,"content_type":"{kind}","size":{size}}}}}\n'
    picture, log = await said(f"import os; os.write(1, {line.encode() + content!r})")
    assert log.get("reason") == reason
    assert (picture is None) == (reason is not None)
