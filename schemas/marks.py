"""Arrow 2b: what a gateway appends to a stream of receipts. Everything in it was checked and bounded before.

A mark is a watermark: any number of them, in any order, any number of times, come to their maximum. That is why they need no dedup
key, and why a gateway, and then the stage, may merge as many as it has (hole C11).
"""

import msgspec

from schemas.ids import ConversationId, IntentId, UserId


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a person has received and read a conversation, or one thread of it; 0 says nothing."""

    mark_id: IntentId
    """Made by the gateway, for the answer to a REST call."""
    conversation_id: ConversationId
    actor_id: UserId
    at_ms: int
    """When the gateway took it, ms since 1970: for figures, never for order."""
    delivered_seq: int = 0
    read_seq: int = 0
    thread_root_id: str | None = None
    private: bool = False
    """The reading is for the person's own devices alone."""
    answer: str | None = None
    """The channel of a REST call that waits for the result (hole C2)."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Mark)


def encode_mark(mark: Mark) -> bytes:
    """The bytes of a stream entry's mark field."""
    return _encoder.encode(mark)


def decode_mark(raw: bytes) -> Mark:
    """Read what `encode_mark` wrote.

    Raises:
        ValueError: it is not a mark of this version; such an entry is dead-lettered.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as failure:
        raise ValueError(f"not a mark: {failure}") from None
