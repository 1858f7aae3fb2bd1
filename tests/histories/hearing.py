"""What the history keeps of a durable event: its data, decoded by what the event is called."""

from typing import Any

import msgspec

from tests.histories import frames, records

_ROOMS = ("conversation.created", "member.joined", "member.left", "member.role_changed")


def event_of(frame: frames.DurableEvent, *, t: float, device: str, user: str, via: str) -> records.Event:
    """The record of an event that reached a device."""
    common = {"actor": frame.actor_id, "client_op_id": frame.client_op_id}
    return records.Event(
        t=t, device=device, user=user, position=frame.position, event=frame.event, event_id=frame.event_id, via=via,
        **(common | _said(frame)),
    )  # fmt: skip


def _said(frame: frames.DurableEvent) -> dict[str, Any]:
    match frame.event.partition("."):
        case ("message" | "operation", _, "rejected"):
            rejection = msgspec.json.decode(frame.data, type=frames.Rejection)
            return {
                "conversation_id": rejection.conversation_id, "client_msg_id": rejection.client_msg_id,
                "client_op_id": rejection.client_op_id, "code": rejection.error.code,
            }  # fmt: skip
        case ("message" | "reaction", _, name) if name != "voided":
            message = msgspec.json.decode(frame.data, type=frames.Message)
            shown = "message" if frame.event == "message.created" else "now"
            return {
                shown: message.as_text(),
                "conversation_id": message.conversation_id,
                "duplicate": message.duplicate,
            }
        case _ if frame.event in _ROOMS:
            room = msgspec.json.decode(frame.data, type=frames.Room)
            return {
                "conversation_id": room.conversation_id, "duplicate": room.duplicate, "rev": room.rev,
                "members": [member.as_record() for member in room.members],
            }  # fmt: skip
        case ("receipt", _, _):
            return _levels(msgspec.json.decode(frame.data, type=frames.Receipt))
        case _:
            return {}


def _levels(receipt: frames.Receipt) -> dict[str, Any]:
    if receipt.thread_root_id is not None:
        return {}
    levels = records.Levels(user=receipt.user_id, delivered_seq=receipt.delivered_seq, read_seq=receipt.read_seq)
    return {"conversation_id": receipt.conversation_id, "levels": levels}
