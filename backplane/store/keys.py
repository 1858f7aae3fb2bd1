"""The keys under which a message is found together with others: `found_by`, computed from its number and whom it mentions. Pure.

A page of conversations needs the newest messages, and the unread mentions, of each: a range of numbers in each conversation. MongoDB
takes an `$or` of such ranges, but the embedded stand-in reads the whole collection for it, as it does for `$unionWith` (24 000
messages, 20 conversations: 2.4 s and 7.4 s, measured). Equal keys in one `$in` are one index for both (0.2 s), whatever is asked::

    <conversation>:<block>           every message: blocks of 32 numbers, so the newest 30 are in at most two
    <conversation>:<user>:<stretch>  every mention: stretches of 2 048 numbers that overlap by half, so the newest 1 024 are in one
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.ids import ConversationId, UserId

BLOCK: Final = 32
WINDOW: Final = 1024
"""Unread messages among which mentions are counted: the newest ones."""
EVERYBODY: Final = "all"
"""In `mentions`: whoever is in the conversation."""


def found_by(conversation_id: ConversationId, seq: int, mentions: Iterable[str] = ()) -> list[str]:
    """All keys of a message. Whoever changes `mentions` writes these anew."""
    last = (seq - 1) // WINDOW
    stretches = [stretch for stretch in (last - 1, last) if stretch >= 0]
    told = [f"{conversation_id}:{who}:{stretch}" for who in dict.fromkeys(mentions) for stretch in stretches]
    return [f"{conversation_id}:{(seq - 1) // BLOCK}", *told]


def newest_keys(conversation_id: ConversationId, last_seq: int, count: int) -> list[str]:
    """The keys of the blocks that hold the newest `count` messages up to `last_seq`."""
    if last_seq < 1:
        return []
    first = max(1, last_seq - count + 1)
    return [f"{conversation_id}:{block}" for block in range((first - 1) // BLOCK, (last_seq - 1) // BLOCK + 1)]


def mention_keys(conversation_id: ConversationId, whom: Sequence[str], last_seq: int) -> list[str]:
    """The keys of the mentions of these people among the newest `WINDOW` messages up to `last_seq`; one each."""
    stretch = max(0, (last_seq - 1) // WINDOW - 1)
    return [f"{conversation_id}:{who}:{stretch}" for who in whom]


def mentions_of(user_id: UserId) -> tuple[str, str]:
    """What in `mentions` means this person."""
    return (user_id, EVERYBODY)
