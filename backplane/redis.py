"""Redis: the three clients of a process, and the atomic operations as function libraries. The only import of `redis`.

Three clients, because one policy does not fit all (design §9):

* `append`: no retries, short time-out. An error after sending means `Unknown`; the caller answers so.
* `blocking()`: a connection of its own per reader, time-out above BLOCK, no retries, a read in flight is never cancelled.
* `general`: retries, for idempotent calls.

The first thing on every new connection is `adopt` for every user shard: a server whose `run_id` is not the one kept
beside the data may have forgotten its tail, so the shard gets a new era, and logs of another era count as lost (hole
A5). Partitions are adopted by their owner, inside `fetch` (hole A6).
"""

from collections.abc import Sequence
from typing import Any, Self

from backplane.settings import Settings
from schemas.names import Names

Word = bytes | str | int | float


class Redis:
    """The connections of one process to Redis. Made once, closed once.

    Every method raises `Transient` when Redis is away, loading, read-only or refuses for lack of memory, `Unknown` when a write
    was sent and no answer came, and `Permanent` on an error of ours.
    """

    names: Names

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Make the clients; connects lazily, so this succeeds while Redis is away."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError

    async def call(self, function: str, keys: Sequence[str], args: Sequence[Word], *, append: bool = False) -> Any:
        """Run a library function (`settle` → `hr1_settle`); loads its library on “not found” on that node, never replaces.

        With `append` over the client without retries: for calls that are not idempotent.
        """
        raise NotImplementedError

    async def command(self, *words: Word) -> Any:
        """Run one idempotent command on the general client; replies are bytes."""
        raise NotImplementedError

    async def pipeline(self, commands: Sequence[Sequence[Word]], *, append: bool = False) -> list[Any]:
        """Run commands in one round trip, not a transaction; an entry of the answer may be an exception of `backplane.errors`."""
        raise NotImplementedError

    async def ping(self) -> float:
        """Round-trip time in seconds."""
        raise NotImplementedError
