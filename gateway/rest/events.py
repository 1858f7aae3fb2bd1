"""The user's log by long poll, for clients without WebSocket: the same positions, the same events, the same resyncs.

Subscribe first, then read, then wait: an event that comes between the read and the wait rings the bell.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
from starlette.responses import Response

from gateway.problems import Problem
from gateway.rest.api import Api
from gateway.rest.operations import SignedCall, answer, signed_in
from gateway.socket.resume import refusal
from schemas.ids import Position, UserId
from schemas.server_frames import event_frame

MAX_WAIT_SECONDS = 25
MAX_EVENTS = 500


class Poll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events after a position; up to `wait` seconds until there is one."""

    after: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    wait: Annotated[int, msgspec.Meta(ge=0, le=MAX_WAIT_SECONDS)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_EVENTS)] = MAX_EVENTS


class EventsPage(msgspec.Struct, frozen=True):
    """Event frames as the socket has them. `position` is where to go on; with `resync`, load the state first."""

    events: list[msgspec.Raw]
    position: str
    more: bool = False
    resync: str | None = None


async def poll_events(call: SignedCall[Poll]) -> Response:
    """Events after a position, as soon as there are any."""
    api, user_id, asked = call.api, call.identity.user_id, call.asked
    after = _position(asked.after)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + asked.wait
    async with _bell(api, user_id, listen=asked.wait > 0) as rung:
        while True:
            rung.clear()
            page = await _read(api, user_id, after, asked.limit)
            left = deadline - loop.time()
            if page is not None or left <= 0 or api.stopping.is_set():
                return answer(page or EventsPage([], str(after)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), left)
            if ended := await api.revocations.reason(user_id, call.identity.session_id):
                raise Problem(ended)


@contextlib.asynccontextmanager
async def _bell(api: Api, user_id: UserId, *, listen: bool) -> AsyncGenerator[asyncio.Event]:
    """Set when the user's log may have grown, and when this gateway stops."""
    rung = asyncio.Event()
    if not listen:
        yield rung
        return
    async with api.listeners.hearing(api.settings.names.log(user_id), lambda _: rung.set()):
        yield rung


async def _read(api: Api, user_id: UserId, after: Position | None, limit: int) -> EventsPage | None:
    """What there is after the position; None: nothing yet."""
    head = await api.logs.open(user_id)
    reason = refusal(after, head, max_entries=api.settings.resume_max_entries)
    if reason is not None or after is None:
        return EventsPage([], str(head.position), resync=reason)
    if head.position == after:
        return None
    logged = await api.logs.read(user_id, after, limit)
    if not logged or logged[0].position != (after.epoch, after.offset + 1):
        return EventsPage([], str(head.position), resync="position_trimmed")  # cut between the two reads (hole C9)
    events = [msgspec.Raw(event_frame(one.position, one.body)) for one in logged]
    return EventsPage(events, str(logged[-1].position), more=logged[-1].position.offset < head.position.offset)


def _position(text: str | None) -> Position | None:
    try:
        return Position.parse(text) if text is not None else None
    except ValueError as failure:
        raise Problem("bad_request", str(failure)) from None


OPERATIONS = [signed_in("GET", "/api/events", poll_events, asks=Poll, answers={200: EventsPage}, needs="messages:read")]
