"""Arrow 1: what a client may say on its socket (protocol §1, “Client frames”).

The union is closed: an unknown type or field is refused with `bad_request`, naming it.
"""

from typing import Annotated, Literal

import msgspec

from schemas.ids import MAX_SAFE_INTEGER, MENTION_PATTERN, UUID_PATTERN

RequestId = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
UuidText = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]
Mention = Annotated[str, msgspec.Meta(pattern=MENTION_PATTERN)]
"""A user id, or `all` for everybody in the conversation."""
ShortText = Annotated[str, msgspec.Meta(max_length=64)]

MAX_FRAME_BYTES = 64 * 1024
MAX_MENTIONS = 50
MAX_ATTACHMENTS = 10
MAX_USERS = 200

UserIds = Annotated[tuple[UuidText, ...], msgspec.Meta(min_length=1, max_length=MAX_USERS)]


class ClientInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is speaking: `device_id` is kept by an installation, `instance_id` by one running copy of it."""

    name: ShortText = ""
    version: ShortText = ""
    device_id: ShortText = ""
    instance_id: ShortText = ""


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a message says."""

    text: str


class Connect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="connect"):
    """The first frame: who I am, and from where I resume."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    id: RequestId | None = None
    client: ClientInfo = ClientInfo()
    resume: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class SendMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="message.send"):
    """Send a message; `client_msg_id` makes every repeat of it the same message."""

    conversation_id: UuidText
    client_msg_id: UuidText
    content: Content
    id: RequestId | None = None
    attachments: Annotated[tuple[UuidText, ...], msgspec.Meta(max_length=MAX_ATTACHMENTS)] = ()
    reply_to: UuidText | None = None
    thread_root_id: UuidText | None = None
    mentions: Annotated[tuple[Mention, ...], msgspec.Meta(max_length=MAX_MENTIONS)] = ()


class EditMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="message.edit"):
    """Give one's own message another text; `client_op_id` makes every repeat of it the same edit."""

    conversation_id: UuidText
    message_id: UuidText
    client_op_id: UuidText
    content: Content
    id: RequestId | None = None
    expected_rev: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)] | None = None


class DeleteMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="message.delete"):
    """Leave a tombstone where a message was."""

    conversation_id: UuidText
    message_id: UuidText
    client_op_id: UuidText
    id: RequestId | None = None


class AddReaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reaction.add"):
    """React to a message with one emoji, or a `:name:`."""

    conversation_id: UuidText
    message_id: UuidText
    client_op_id: UuidText
    emoji: ShortText
    id: RequestId | None = None


class RemoveReaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reaction.remove"):
    """Take a reaction of one's own back."""

    conversation_id: UuidText
    message_id: UuidText
    client_op_id: UuidText
    emoji: ShortText
    id: RequestId | None = None


ChangeFrame = EditMessage | DeleteMessage | AddReaction | RemoveReaction


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="receipt"):
    """How far this person has received and read; answered only if it is refused. `private`: only their own devices hear of the reading."""

    conversation_id: UuidText
    id: RequestId | None = None
    delivered_seq: Seq | None = None
    read_seq: Seq | None = None
    thread_root_id: UuidText | None = None
    private: bool = False


class Sync(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sync"):
    """A page of the log after a position, to mend a gap."""

    after: Annotated[str, msgspec.Meta(max_length=64)]
    id: RequestId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 500


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refresh"):
    """A new access token on the live socket."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    id: RequestId | None = None


class Watch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="watch"):
    """This conversation is on screen: tell who types in it."""

    conversation_id: UuidText
    id: RequestId | None = None


class Unwatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unwatch"):
    """It is not any more."""

    conversation_id: UuidText
    id: RequestId | None = None


class Typing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="typing"):
    """Somebody types, or has stopped; answered only if it is refused."""

    conversation_id: UuidText
    state: Literal["start", "stop"]
    id: RequestId | None = None
    thread_root_id: UuidText | None = None


class Pong(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pong"):
    """The answer to `ping`."""


class SubscribePresence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="presence.subscribe"):
    """Tell how these people are now, and when that changes."""

    user_ids: UserIds
    id: RequestId | None = None


class UnsubscribePresence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="presence.unsubscribe"):
    """Tell no more of them."""

    user_ids: UserIds
    id: RequestId | None = None


class SetPresence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="presence.set"):
    """How this device wants its user to be seen; for as long as it is connected."""

    status: Literal["online", "away", "busy", "invisible"]
    id: RequestId | None = None


LiveFrame = Watch | Unwatch | Typing | SubscribePresence | UnsubscribePresence | SetPresence
"""Frames about ephemera: what is never stored."""

ClientFrame = Connect | SendMessage | ChangeFrame | Receipt | Sync | Refresh | LiveFrame | Pong

_decoder = msgspec.json.Decoder(ClientFrame)


class BadFrame(ValueError):
    """A frame that is not one of ours; the message tells the client what to mend."""

    def __init__(self, message: str, request_id: int | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


def decode_frame(raw: bytes | str) -> ClientFrame:
    """Read one text frame.

    Raises:
        BadFrame: it is not JSON, not of a known type, or breaks a bound; carries the frame's `id` where one could be read.
    """
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as failure:
        raise BadFrame(str(failure), _request_id(raw)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadFrame("the frame is not valid JSON in UTF-8") from None


class _OnlyId(msgspec.Struct):
    id: RequestId | None = None


_id_decoder = msgspec.json.Decoder(_OnlyId)


def _request_id(raw: bytes | str) -> int | None:
    try:
        return _id_decoder.decode(raw).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
