"""One child process: started in a group of its own, read line by line, probed until it serves, stopped with a deadline."""

import asyncio
import collections
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Probe = Callable[[], Awaitable[bool]]
Say = Callable[[str, str], None]
"""Shows one line of a named process."""

LAST_LINES: Final = 15
MAX_LINE: Final = 16 * 1024
PROBE_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.05
BEHIND: Final = 10
"""How nice those are that handle files: on a busy machine a verdict waits, and messages do not."""
_AUTOGROUP: Final = "/proc/self/autogroup"
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run, and how to know that it serves. `ready` is asked again and again until it says True; None: nobody waits for it.

    `nice` as in nice(2): the higher, the more others go first; see `go_behind`.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    ready: Probe | None
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    ready_seconds: float = 30.0
    nice: int = 0


class NotReady(Exception):
    """A process that ended, or did not come to serve in time; the message says which and shows its last lines."""


class Child:
    """The process of a `Spec`, at most one at a time."""

    def __init__(self, spec: Spec, say: Say) -> None:
        self.spec = spec
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._starting = asyncio.Lock()
        self._closed = False
        self._group: int | None = None

    @property
    def pid(self) -> int | None:
        """The process' id, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process; does not wait until it serves. After `stop` it does nothing.

        Raises:
            OSError: the program can not be run.
        """
        async with self._starting:
            if self._closed:
                return
            self._lines.clear()
            ours, theirs = os.pipe()
            try:
                await self._run(theirs)
            except BaseException:
                os.close(ours)
                raise
            finally:
                os.close(theirs)
            self._reader = asyncio.create_task(self._read(ours))

    async def _run(self, output: int) -> None:
        """Fork and exec. The pipe is ours: over asyncio's own, `wait` would wait for a grandchild that holds it open."""
        self._process = await asyncio.create_subprocess_exec(
            *self.spec.command,
            cwd=self.spec.folder,
            env={**os.environ, **self.spec.environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops in order.
            start_new_session=True,
            preexec_fn=_begin(os.getpid(), self.spec.nice),
        )
        self._group = self._process.pid

    async def wait_ready(self) -> None:
        """Wait until the process serves; not at all if nobody waits for it.

        Raises:
            NotReady: it ended, or `ready_seconds` passed.
        """
        if self.spec.ready is None:
            return
        deadline = asyncio.get_running_loop().time() + self.spec.ready_seconds
        while asyncio.get_running_loop().time() < deadline:
            if self._process is None or self._process.returncode is not None:
                code = self._process.returncode if self._process else None
                await self._finish_reading()
                raise NotReady(f"{self.spec.name} ended at once ({how_it_ended(code)}){self._last_lines()}")
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(PROBE_SECONDS):
                    if await self.spec.ready():
                        return
            await asyncio.sleep(POLL_SECONDS)
        raise NotReady(
            f"{self.spec.name} does not answer after {self.spec.ready_seconds:.0f} seconds{self._last_lines()}"
        )

    async def wait(self) -> int:
        """Wait for the end of the process; its exit code, negative for a signal.

        Raises:
            RuntimeError: it was never started.
        """
        if self._process is None:
            raise RuntimeError("not started")
        code = await self._process.wait()
        self._kill_group()
        await self._finish_reading()
        return code

    async def stop(self, seconds: float, hurry: asyncio.Event) -> bool:
        """Ask the process to end; at the deadline, or when in a hurry, kill its whole group. True if it ended by itself."""
        async with self._starting:
            self._closed = True
            process = self._process
        if process is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        ended, hurried = asyncio.create_task(process.wait()), asyncio.create_task(hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        by_itself = ended.done()
        self._kill_group()  # also after a clean end: nothing of the group may stay behind
        await ended
        await self._finish_reading()
        return by_itself

    def _kill_group(self) -> None:
        if self._process is None or self._group is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, signal.SIGKILL)
        if self._process.returncode is not None:
            self._group = None  # from now on the number may become somebody else's

    async def _read(self, pipe: int) -> None:
        """Show the output line by line; a line without end is cut, not collected."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb", buffering=0)
        )
        rest = b""
        try:
            while chunk := await stream.read(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._show(line)
            if rest:
                self._show(rest)
        finally:
            transport.close()

    def _show(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        self._lines.append(line)
        self._say(self.spec.name, line)

    async def _finish_reading(self) -> None:
        """Read what the process still said. A stray grandchild may hold the pipe open: not for ever."""
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=1)
            self._reader.cancel()

    def _last_lines(self) -> str:
        lines = [line for line in self._lines if line]
        return "; its last lines:\n" + "\n".join(f"  {line}" for line in lines) if lines else "; it said nothing"


def how_it_ended(code: int | None) -> str:
    """An exit code in words: `exit 1`, `SIGKILL`."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit {code}"


def _begin(supervisor: int, nice: int) -> Callable[[], None]:
    """What the child does between fork and exec: it goes behind others, and is bound to the supervisor."""
    bind = _die_with(supervisor)

    def begin() -> None:
        go_behind(nice)
        if bind is not None:
            bind()

    return begin


def go_behind(nice: int) -> None:
    """Let others go first, from now on and with all threads; a process in a session of its own calls this.

    Linux shares processors among sessions, where it is built so, and nice(2) then counts within a session alone (sched(7), autogroup).
    """
    os.nice(nice)
    while nice:
        try:
            Path(_AUTOGROUP).write_text(str(nice))
        except BlockingIOError:  # ten a second, says the kernel
            time.sleep(0.1)
        except OSError:  # it is not built so
            return
        else:
            return


def _die_with(supervisor: int) -> Callable[[], None] | None:
    """Have the kernel kill the child when the supervisor is gone, SIGKILL included (prctl(2), PR_SET_PDEATHSIG).

    What is returned runs between fork and exec, so the library is loaded here. Only Linux has this.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the line above
            os._exit(1)

    return bind
