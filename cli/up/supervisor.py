"""Children on floors: started from the ground up, kept alive, stopped from the top down.

The whole life, in order::

    start(floor 0) → start(floor 1) → …     each child of a floor serves before the next floor starts
    keep                                    a child that dies is started again, after 0.5 s, 1 s, 2 s … 30 s
    stop                                    the last floor first; everything is gone within `stop_seconds`
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from cli.up.child import Child, NotReady, Say, Spec, how_it_ended

SELF: Final = "up"
"""The name under which the supervisor itself speaks."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The supervisor's patience."""

    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    steady_seconds: float = 30.0
    """A child that lived this long has recovered: its next death is waited for as the first."""
    stop_seconds: float = 14.0
    """Within which everything has ended; one second is left of the fifteen that are promised."""
    floor_reserve_seconds: float = 3.0
    """What every lower floor is left of it: Redis and MongoDB must have time to write, however long gateways drain."""


class Supervisor:
    """Starts, keeps and stops processes. Not reusable after `stop`."""

    def __init__(self, say: Say, timing: Timing | None = None) -> None:
        self._say = say
        self._timing = timing or Timing()
        self._floors: list[list[Child]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def start(self, *specs: Spec) -> None:
        """Start one floor, all at once, and wait until each of it serves.

        Raises:
            NotReady: one does not; the others are not waited for, and go on until `stop`.
        """
        floor = [Child(spec, self._say) for spec in specs]
        self._floors.append(floor)  # before anything runs: whatever happens next, `stop` finds it
        starts = [asyncio.create_task(self._start(child)) for child in floor]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
        self._keepers += [asyncio.create_task(self._keep(child)) for child in floor]

    async def _start(self, child: Child) -> None:
        try:
            await child.start()
        except OSError as failure:
            raise NotReady(
                f"{child.spec.name} can not be run: {child.spec.command[0]}: {failure.strerror}"
            ) from failure
        await child.wait_ready()

    async def _keep(self, child: Child) -> None:
        """Start a child again whenever it dies, ever more slowly if it keeps dying."""
        clock = asyncio.get_running_loop().time
        pause = self._timing.first_wait_seconds
        while True:
            born = clock()
            how = how_it_ended(await child.wait())
            if self._stopping.is_set():
                return
            if clock() - born >= self._timing.steady_seconds:
                pause = self._timing.first_wait_seconds
            while True:
                self._say(SELF, f"{child.spec.name} died ({how}); starting it again in {pause:g} s")
                if await self._stops_within(pause):
                    return
                pause = min(pause * 2, self._timing.longest_wait_seconds)
                try:
                    await child.start()
                    break
                except OSError as failure:
                    how = str(failure)

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> bool:
        """Stop everything, floor by floor from the top. True if every process ended by itself."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timing.stop_seconds
        self._stopping.set()
        clean = True
        # Gateways say goodbye to their clients first; then consumers finish what was accepted; services go last.
        for below in reversed(range(len(self._floors))):
            seconds = deadline - clock() - below * self._timing.floor_reserve_seconds
            stopped = await asyncio.gather(*(child.stop(seconds, self._hurry) for child in self._floors[below]))
            for child, by_itself in zip(self._floors[below], stopped, strict=True):
                if not by_itself:
                    late = "" if self._hurry.is_set() else "did not end in time and "
                    self._say(SELF, f"{child.spec.name} {late}was killed")
                    clean = False
        # A keeper that was starting its child when `stop` came has ended by now, and its child with it.
        await asyncio.gather(*self._keepers, return_exceptions=True)
        return clean

    def hurry(self) -> None:
        """Kill what has not ended yet: for the second Ctrl-C."""
        self._hurry.set()
