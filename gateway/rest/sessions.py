"""One's devices, and the password that opens them all."""

from typing import Any

import msgspec
from starlette.responses import Response

from backplane.store.sessions import StoredSession
from gateway.addresses import address_of
from gateway.problems import Problem
from gateway.rest.auth import Password
from gateway.rest.operations import A, Nothing, SignedCall, answer, signed_in
from gateway.rest.users import myself
from schemas.entities import rfc3339
from schemas.ids import SessionId


class DeviceSession(msgspec.Struct, frozen=True):
    """A session that is open. `seen_at` and `address`: when and where it last signed in or refreshed; `current`: it asks."""

    session_id: SessionId
    device: str | None
    created_at: str
    seen_at: str
    address: str | None
    expires_at: str
    current: bool


class DeviceSessions(msgspec.Struct, frozen=True):
    """One's open sessions, the last seen first."""

    items: list[DeviceSession]
    next_cursor: str | None = None


class ChangePassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password as it is, and as it is to be."""

    current_password: Password
    new_password: Password


async def list_sessions(call: SignedCall[Nothing]) -> Response:
    """One's open sessions: devices, and when they were seen."""
    found = await call.api.store.sessions.of_user(call.identity.user_id)
    opened = [one for one in found if one.revoked_ms is None and call.now_ms < min(one.expires_ms, one.idle_expires_ms)]
    opened.sort(key=lambda one: one.rotated_ms, reverse=True)
    return answer(DeviceSessions([_as_device(one, call.identity.session_id) for one in opened]))


async def delete_session(call: SignedCall[Nothing]) -> Response:
    """End a session of one's own; its sockets close."""
    api, session_id = call.api, SessionId(call.path_id("session_id"))
    session = await api.store.sessions.get(session_id)
    if session is None or session.user_id != call.identity.user_id:
        raise Problem("not_found")
    await api.store.sessions.revoke(session_id, now_ms=call.now_ms)
    await _audit(call, "session.ended", session_id=session_id)
    await api.revocations.end(session.user_id, [session_id])
    return Response(status_code=204)


async def change_password(call: SignedCall[ChangePassword]) -> Response:
    """Choose another password; every other session ends."""
    api, asked = call.api, call.asked
    user = await myself(call)
    if not await api.passwords.matches(user.password_hash, asked.current_password):
        await _audit(call, "password.refused")
        raise Problem("forbidden", "The current password is wrong.")
    try:
        new_hash = await api.passwords.hash(asked.new_password, names=(user.username, user.email))
    except ValueError as failure:
        raise Problem("bad_request", f"new_{failure}") from None
    await api.store.users.update(user.user_id, password_hash=new_hash)
    await _audit(call, "password.changed")
    ended = await api.store.sessions.revoke_all(user.user_id, now_ms=call.now_ms, but=call.identity.session_id)
    await api.revocations.end(user.user_id, ended)
    return Response(status_code=204)


async def _audit(call: SignedCall[A], event: str, **detail: Any) -> None:
    who, where = call.identity.user_id, address_of(call.request)
    await call.api.store.audit.append(event, actor=who, at_ms=call.now_ms, subject_id=who, address=where, **detail)


def _as_device(session: StoredSession, current: SessionId) -> DeviceSession:
    return DeviceSession(
        session.session_id,
        session.device,
        rfc3339(session.created_ms),
        rfc3339(session.rotated_ms),
        session.address,
        rfc3339(min(session.expires_ms, session.idle_expires_ms)),
        session.session_id == current,
    )


OPERATIONS = [
    signed_in("GET", "/api/auth/sessions", list_sessions, asks=Nothing, answers={200: DeviceSessions}),
    signed_in("DELETE", "/api/auth/sessions/{session_id}", delete_session, asks=Nothing, answers={204: None}),
    signed_in(
        "POST", "/api/auth/password", change_password, asks=ChangePassword, answers={204: None}, limit="password"
    ),
]
