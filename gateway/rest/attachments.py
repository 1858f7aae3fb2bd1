"""Attachments: announce a file, upload it, see what became of it, get it.

Nothing is served without a clean verdict, and each link is given to somebody who may see the message that holds the file, or to its
sender before there is one.
"""

import re
import uuid
from typing import Annotated, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from backplane.store.attachments import StoredAttachment, as_attachment
from backplane.store.conversations import hidden_seq
from gateway.problems import Problem
from gateway.rest.operations import A, Nothing, SignedCall, answer, signed_in
from schemas.attachments import MAX_MEDIA_TYPE, REFUSED, Attachment
from schemas.entities import rfc3339
from schemas.ids import MAX_SAFE_INTEGER, AttachmentId, UserId, attachment_id_of
from schemas.text import clean_file_name

CONTENT_PATH: Final = "/api/attachments/{attachment_id}/content"
UPLOAD_PATH: Final = re.compile(r"/api/attachments/[^/]+/content")
"""Where a body may be as long as a file."""
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


class NewAttachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says of a file before it comes: `size` in bytes, `sha256` in 64 hexadecimal digits."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    content_type: Annotated[str, msgspec.Meta(max_length=MAX_MEDIA_TYPE)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


class UploadForm(msgspec.Struct, frozen=True):
    """Posted as `multipart/form-data`: the fields in this order, then the file as `file`. `expires_at` is RFC 3339."""

    url: str
    fields: dict[str, str]
    expires_at: str


class Announced(msgspec.Struct, frozen=True):
    """A file that may come. There is no `upload` once it has come."""

    attachment_id: AttachmentId
    attachment: Attachment
    upload: UploadForm | None


class Link(msgspec.Struct, frozen=True):
    """Where the content is, for whoever has this; send no `Authorization` there."""

    url: str
    expires_at: str


async def create_attachment(call: SignedCall[NewAttachment]) -> Response:
    """Announce a file and get a form to upload it with. An `Idempotency-Key` makes every repeat the same file, with a fresh form."""
    uploads, asked = call.api.uploads, call.asked
    uploads.check_open()
    if asked.size > call.api.settings.attachment_max_bytes:
        raise Problem("payload_too_large", f"A file may have {call.api.settings.attachment_max_bytes} bytes at most.")
    wanted = _announced(call)
    stored = await call.api.store.attachments.get(wanted.attachment_id)
    fresh = stored is None
    if stored is None:
        stored = await uploads.announce(wanted)
    if stored.gone_ms is not None:
        raise Problem("attachment_gone")
    if _said(stored) != _said(wanted):
        raise Problem("idempotency_conflict")
    form = None
    if stored.status == "uploading":
        upload = await uploads.form(stored)
        form = UploadForm(upload.url, dict(upload.fields), rfc3339(upload.expires_ms))
    return answer(Announced(stored.attachment_id, as_attachment(stored), form), 201 if fresh else 200)


async def upload_content(call: SignedCall[Nothing]) -> Response:
    """Upload through this server, where the object store can not be reached: the body is the file, and with its end it is complete."""
    stored = await _own(call)
    call.api.uploads.check_open()
    if stored.status != "uploading":
        return answer(as_attachment(stored))
    if call.request.headers.get("content-length") != str(stored.size):
        raise Problem("bad_request", f"Content-Length must be the {stored.size} bytes that were announced.")
    try:
        await call.api.uploads.pass_through(stored, call.request.stream())
    except ClientDisconnect:
        raise Problem("bad_request", "The client went away.") from None
    return answer(as_attachment(await call.api.uploads.complete(stored, call.now_ms)))


async def complete_attachment(call: SignedCall[Nothing]) -> Response:
    """Say that the upload is done; from then on it is scanned."""
    stored = await _own(call)
    if stored.status == "uploading":
        stored = await call.api.uploads.complete(stored, call.now_ms)
    return answer(as_attachment(stored))


async def get_attachment(call: SignedCall[Nothing]) -> Response:
    """What became of a file."""
    return answer(as_attachment(await _visible(call)))


async def delete_attachment(call: SignedCall[Nothing]) -> Response:
    """Let go of a file of one's own that no message holds."""
    await call.api.uploads.withdraw(await _own(call), call.now_ms)
    return Response(status_code=204)


async def get_content(call: SignedCall[Nothing]) -> Response:
    """Where the content is: 302 to a link that is good for a moment, or that link as JSON if `Accept` says so."""
    return await _linked(call, await _servable(call), thumbnail=False)


async def get_thumbnail(call: SignedCall[Nothing]) -> Response:
    """Where the small picture of an image is, in the same way."""
    stored = await _servable(call)
    if stored.thumbnail is None:
        raise Problem("not_found")
    return await _linked(call, stored, thumbnail=True)


def _announced(call: SignedCall[NewAttachment]) -> StoredAttachment:
    """The file as it is announced.

    Raises:
        Problem: `bad_request`.
    """
    asked, owner = call.asked, call.identity.user_id
    media = asked.content_type.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(media):
        raise Problem("bad_request", "content_type is no media type (e.g. image/png, application/octet-stream).")
    try:
        name = clean_file_name(asked.name)
    except ValueError as failure:
        raise Problem("bad_request", str(failure)) from None
    return StoredAttachment(
        attachment_id=attachment_id_of(owner, call.idempotency_key() or str(uuid.uuid4())),
        owner_id=owner,
        name=name,
        content_type=media,
        size=asked.size,
        sha256=asked.sha256,
        created_ms=call.now_ms,
        loose_ms=call.now_ms,
    )


def _said(one: StoredAttachment) -> tuple[object, ...]:
    return one.owner_id, one.name, one.content_type, one.size, one.sha256


async def _own(call: SignedCall[A]) -> StoredAttachment:
    """The caller's file in the path.

    Raises:
        Problem: `not_found`.
    """
    stored = await call.api.store.attachments.get(AttachmentId(call.path_id("attachment_id")))
    if stored is None or stored.owner_id != call.identity.user_id or stored.gone_ms is not None:
        raise Problem("not_found")
    return stored


async def _visible(call: SignedCall[A]) -> StoredAttachment:
    """The file in the path, if the caller may see its message, or is its sender and there is none.

    Raises:
        Problem: `not_found`; `attachment_gone`: its message was deleted.
    """
    stored = await call.api.store.attachments.get(AttachmentId(call.path_id("attachment_id")))
    if stored is None or not await _may_see(call, stored, call.identity.user_id):
        raise Problem("not_found")
    if stored.gone_ms is not None:
        raise Problem("attachment_gone")
    return stored


async def _may_see(call: SignedCall[A], stored: StoredAttachment, user_id: UserId) -> bool:
    store = call.api.store
    if stored.message_id is None or stored.conversation_id is None:
        return stored.owner_id == user_id
    member = await store.conversations.member(stored.conversation_id, user_id)
    if member is None or not member.current:
        return False
    conversation = (await store.conversations.find([stored.conversation_id])).get(stored.conversation_id)
    message = (await store.messages.find([stored.message_id])).get(stored.message_id)
    if conversation is None or message is None:  # it is bound, and its message is not stored yet
        return stored.owner_id == user_id
    return message.seq > hidden_seq(conversation, member)


async def _servable(call: SignedCall[A]) -> StoredAttachment:
    """The file in the path, if it may be had.

    Raises:
        Problem: `attachment_not_ready` until there is a verdict, `attachment_gone` unless it is clean; as `_visible`.
    """
    stored = await _visible(call)
    if stored.status in REFUSED:
        raise Problem("attachment_gone", f"The file was refused ({stored.status}: {stored.reason}).")
    if stored.status != "clean":
        raise Problem("attachment_not_ready")
    return stored


async def _linked(call: SignedCall[A], stored: StoredAttachment, *, thumbnail: bool) -> Response:
    url = await call.api.uploads.link(stored, thumbnail=thumbnail)
    if "application/json" in call.request.headers.get("accept", ""):
        expires_ms = call.now_ms + call.api.settings.download_seconds * 1000
        return answer(Link(url, rfc3339(expires_ms)))
    return Response(status_code=302, headers={"Location": url})


OPERATIONS = [
    signed_in(
        "POST",
        "/api/attachments",
        create_attachment,
        asks=NewAttachment,
        answers={201: Announced, 200: Announced},
        needs="messages:write",
        limit="upload",
        keyed=True,
    ),
    signed_in(
        "GET",
        "/api/attachments/{attachment_id}",
        get_attachment,
        asks=Nothing,
        answers={200: Attachment},
        needs="messages:read",
    ),
    signed_in(
        "DELETE",
        "/api/attachments/{attachment_id}",
        delete_attachment,
        asks=Nothing,
        answers={204: None},
        needs="messages:write",
    ),
    signed_in(
        "POST",
        "/api/attachments/{attachment_id}/complete",
        complete_attachment,
        asks=Nothing,
        answers={200: Attachment},
        needs="messages:write",
    ),
    signed_in(
        "PUT",
        CONTENT_PATH,
        upload_content,
        asks=Nothing,
        answers={200: Attachment},
        needs="messages:write",
        streams=True,
    ),
    signed_in(
        "GET",
        CONTENT_PATH,
        get_content,
        asks=Nothing,
        answers={302: None, 200: Link},
        needs="messages:read",
    ),
    signed_in(
        "GET",
        "/api/attachments/{attachment_id}/thumbnail",
        get_thumbnail,
        asks=Nothing,
        answers={302: None, 200: Link},
        needs="messages:read",
    ),
]
