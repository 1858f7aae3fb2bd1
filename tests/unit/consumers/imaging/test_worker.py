"""The process: what it says, what it refuses, what it takes, and what it can no longer do."""

import json
import subprocess
import sys
import tempfile

import pytest

from consumers.imaging.pictures import WORKER
from consumers.imaging.worker import MOST_MEMORY
from tests.unit.consumers.imaging.photos import bomb, gradient, halves, png_by_hand, saved

MEASURED = """
import os, resource, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], {})
_, status, used = os.wait4(child, 0)
sys.stderr.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a process from a small one: a process' peak begins with that of whom it comes from."""


def run(content: bytes, *command: str) -> subprocess.CompletedProcess[bytes]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return subprocess.run(
            [sys.executable, *(command or WORKER)], check=False, stdin=file, capture_output=True, env={}, timeout=60
        )


def measured(content: bytes) -> tuple[int, float, int]:
    """Exit code, seconds of the processor, mebibytes at the peak."""
    done = run(content, "-I", "-c", MEASURED, *WORKER)
    seconds, kibibytes = done.stderr.splitlines()[-1].split()[-2:]
    return done.returncode, float(seconds), int(kibibytes) // 1024


def test_it_says_one_line_and_the_thumbnail() -> None:
    done = run(saved(halves(1000, 500), "PNG"))
    assert (done.returncode, done.stderr) == (0, b"")
    line, _, thumbnail = done.stdout.partition(b"\n")
    assert json.loads(line) == {
        "width": 1000,
        "height": 500,
        "thumbnail": {"width": 512, "height": 256, "content_type": "image/webp", "size": len(thumbnail)},
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world\n" * 1000,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        saved(halves(900, 900), "PNG")[:-200],
        saved(gradient(900, 900), "JPEG")[:-2000],
        saved(gradient(900, 900), "WEBP")[:-200],
        saved(gradient(900, 900), "GIF")[:-2000],
        saved(halves(10, 10), "PNG")[:30],
        png_by_hand(0, 10, b""),
        png_by_hand(5000, 5000, b"\0"),
        png_by_hand(7072, 7072, b"\0"),
    ],
    ids=["empty", "text", "svg", "png", "jpeg", "webp", "gif", "head", "flat", "short", "over the limit"],
)
def test_what_can_not_be_rendered_is_said_in_a_word(content: bytes) -> None:
    done = run(content)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.strip().isalnum()


def test_a_bomb_is_not_unpacked() -> None:
    content = bomb()
    assert len(content) < 200_000
    code, seconds, mebibytes = measured(content)
    assert code == 3
    assert seconds < 1
    assert mebibytes < 60


def test_a_photo_is_decoded_small() -> None:
    code, seconds, mebibytes = measured(saved(gradient(6000, 4000), "JPEG"))
    assert code == 0
    assert seconds < 2
    assert mebibytes < 100, "24 megapixels are 72 MB"


def confined(then: str) -> str:
    """What a confined process says when it does so."""
    code = f"import os, socket\nfrom consumers.imaging.worker import confine\nconfine()\ntry:\n    {then}\nexcept Exception as e:\n    print(repr(e))"
    with tempfile.TemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], stdin=file, capture_output=True, text=True, timeout=60, check=True
        )
    return done.stdout


def test_it_has_given_up_files_sockets_and_memory() -> None:
    assert "Too many open files" in confined("os.open('/etc/hostname', os.O_RDONLY)")
    assert "Too many open files" in confined("socket.socket()")
    assert "File too large" in confined("os.write(0, b'x')")
    assert "MemoryError" in confined(f"bytes({MOST_MEMORY})")


def test_it_keeps_no_descriptor_but_three() -> None:
    code = "import os\nfrom consumers.imaging.worker import confine\nconfine()\nfor n in range(3, 99):\n    try: print(os.fstat(n))\n    except OSError: pass"
    with tempfile.TemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], pass_fds=[file.fileno()], capture_output=True, timeout=60, check=True
        )
    assert done.stdout == b""


def test_it_ends_itself_when_it_computes_for_too_long() -> None:
    code = "import resource\nfrom consumers.imaging.worker import confine\nconfine()\nprint(resource.getrlimit(resource.RLIMIT_CPU))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "(20, 20)"


def test_it_starts_fast() -> None:
    content = saved(halves(10, 10), "PNG")
    runs = [measured(content) for _ in range(3)]
    assert all(code == 0 for code, *_ in runs)
    assert min(seconds for _, seconds, *_ in runs) < 0.15
