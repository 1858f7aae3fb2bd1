"""Ephemera of all connections of this process: typing and presence. Nothing here is stored, and all of it may be dropped.

Doorbells of their own, a publisher and a task of their own: whatever ephemera do, they never delay an event.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

import structlog

from backplane import telemetry
from backplane.doorbells import Doorbells
from backplane.errors import Permanent, Transient
from backplane.presence import Presences
from backplane.publisher import Publisher
from backplane.settings import Settings
from gateway.socket.acquaintance import NOWHERE, presence_state
from gateway.socket.listener import Grants, Listener
from gateway.socket.presence import Attendants, Onlookers
from gateway.socket.watches import LEFT, Watches
from schemas.client_frames import (
    LiveFrame,
    SetPresence,
    SubscribePresence,
    Typing,
    UnsubscribePresence,
    Unwatch,
    Watch,
)
from schemas.ids import ConversationId, UserId
from schemas.server_frames import PresenceState

_log = structlog.get_logger(__name__)


class Ephemera:
    """The ephemeral side of the sockets.

    Lifecycle: `attach` the doorbells whose callbacks are `on_ring` and `on_lost`, `start`, `close`.

    Args:
        overloaded: whether the deployment is behind; typing is dropped while it is.
    """

    def __init__(
        self,
        settings: Settings,
        grants: Grants,
        publisher: Publisher,
        presences: Presences,
        *,
        overloaded: Callable[[], bool],
    ) -> None:
        self._on, self._overloaded = settings.ephemera, overloaded
        self._publisher = publisher
        self._doorbells: Doorbells | None = None
        names, on_channel = settings.names, {"subscribe": self._subscribe, "unsubscribe": self._unsubscribe}
        self._watches = Watches(names, grants, publisher, **on_channel)
        self._onlookers = Onlookers(names, presences, **on_channel)
        self._attendants = Attendants(presences, grace_seconds=settings.presence_grace_seconds)
        self._sweep_now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def watched(self) -> int:
        """How many conversations are watched here."""
        return len(self._watches)

    @property
    def subscribed(self) -> int:
        """Of how many users somebody here wants to know."""
        return len(self._onlookers)

    def attach(self, doorbells: Doorbells) -> None:
        """Give it the doorbells that ring `on_ring`."""
        self._doorbells = doorbells

    async def start(self) -> None:
        """Start publishing, writing and sweeping."""
        await self._publisher.start()
        await self._attendants.start()
        self._task = asyncio.create_task(self._sweep_forever(), name="ephemera sweep")

    async def close(self) -> None:
        """Write who has gone, and stop."""
        await self._attendants.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._watches.close()
        await self._onlookers.close()
        await self._publisher.close()

    # What clients ask

    async def serve(self, listener: Listener, request: LiveFrame) -> object:
        """Do what a client asks, and return the result of its reply.

        Raises:
            Refused: it may not.
            Transient: Redis or the store is away.
        """
        match request:
            case Watch():
                if self._on:
                    await self._watches.watch(listener, ConversationId(request.conversation_id))
            case Unwatch():
                self._watches.unwatch(listener, ConversationId(request.conversation_id))
            case Typing():
                if self._on and not self._overloaded():
                    await self._watches.type(listener, request)
                else:
                    telemetry.ephemera.labels("typing", "dropped").inc()
            case SubscribePresence():
                return {"states": await self._states(listener, [UserId(user) for user in request.user_ids])}
            case UnsubscribePresence():
                self._onlookers.unsubscribe(listener, [UserId(user) for user in request.user_ids])
            case SetPresence():
                if self._on:
                    self._attendants.choose(listener, request.status)
            case _:
                assert_never(request)
        return None

    async def _states(self, listener: Listener, users: Sequence[UserId]) -> list[PresenceState]:
        if not self._on:
            return [presence_state(user, NOWHERE) for user in dict.fromkeys(users)]
        return await self._onlookers.subscribe(listener, users)

    def arrive(self, listener: Listener) -> None:
        """A connection came."""
        if self._on:
            self._attendants.arrive(listener)

    def depart(self, listener: Listener) -> None:
        """A connection ended."""
        self._attendants.depart(listener)
        self._watches.depart(listener)
        self._onlookers.depart(listener)

    # What Redis says

    def on_ring(self, channel: str, payload: bytes) -> None:
        """Something was said on a channel that somebody here wants to hear."""
        self._watches.ring(channel, payload)
        self._onlookers.ring(channel, payload)

    def on_lost(self) -> None:
        """Something may have been missed."""
        self.sweep()

    def entered(self, listeners: Iterable[Listener], body: bytes) -> None:
        """An event came to one user's connections, from a doorbell or from their log: it may end what they watch."""
        if body.startswith(LEFT):
            self._watches.rang(listeners, body)

    def sweep(self) -> None:
        """Compare soon with what Redis and the store say now."""
        self._sweep_now.set()

    async def _sweep_forever(self) -> None:
        while True:
            await self._sweep_now.wait()
            self._sweep_now.clear()
            self._attendants.sweep()
            for sweep in (self._onlookers.sweep, self._watches.sweep):
                try:
                    await sweep()
                except (Transient, Permanent) as failure:
                    _log.warning("ephemera can not be compared", error=str(failure))
                except Exception:  # noqa: BLE001 - without this sweep a removal whose doorbell got lost would never count
                    _log.exception("the sweep of ephemera failed")

    async def _subscribe(self, channel: str) -> None:
        assert self._doorbells is not None  # noqa: S101 - the composition root attaches before it serves
        await self._doorbells.subscribe(channel)

    async def _unsubscribe(self, channel: str) -> None:
        assert self._doorbells is not None  # noqa: S101 - as above
        await self._doorbells.unsubscribe(channel)
