from hypothesis import given
from hypothesis import strategies as st

from backplane.store.keys import BLOCK, WINDOW, found_by, mention_keys, newest_keys
from backplane.store.lookups import MENTION_CAP, Unread, count_mentions
from backplane.store.messages import StoredMessage
from schemas.ids import ClientMsgId, ConversationId, MessageId, UserId

ROOM, ANN, BEN = ConversationId("room"), UserId("ann"), UserId("ben")


def a_message(seq: int, *mentions: str, sender: UserId = BEN, deleted_ms: int | None = None) -> StoredMessage:
    return StoredMessage(
        message_id=MessageId(str(seq)),
        conversation_id=ROOM,
        seq=seq,
        rev=seq,
        sender_id=sender,
        client_msg_id=ClientMsgId(str(seq)),
        intent_id="",
        body_hash="",
        text="x",
        created_ms=1,
        mentions=tuple(UserId(one) for one in mentions),
        deleted_ms=deleted_ms,
    )


@given(st.integers(0, 10**6), st.integers(1, BLOCK), st.integers(0, BLOCK))
def test_the_newest_messages_are_found_by_at_most_two_keys(last_seq: int, count: int, back: int) -> None:
    keys = newest_keys(ROOM, last_seq, count)
    assert len(keys) <= 2
    if 0 <= back < count and last_seq - back >= 1:
        assert not set(keys).isdisjoint(found_by(ROOM, last_seq - back))


@given(st.integers(1, 10**6), st.integers(0, WINDOW - 1))
def test_every_mention_among_the_newest_is_found_by_one_key_for_each_whom(last_seq: int, back: int) -> None:
    seq = last_seq - back
    if seq < 1:
        return
    keys = mention_keys(ROOM, [ANN, "all"], last_seq)
    assert len(keys) == 2
    for index, who in enumerate((ANN, "all")):
        assert keys[index] in found_by(ROOM, seq, [who])
        assert keys[index] not in found_by(ROOM, seq, [BEN])


def test_a_message_has_few_keys() -> None:
    assert len(found_by(ROOM, 5000)) == 1
    assert len(found_by(ROOM, 5000, [ANN, ANN, "all"])) == 5


def test_what_counts_as_a_mention_that_is_unread() -> None:
    messages = [
        a_message(1, ANN),
        a_message(2, ANN),
        a_message(3, "all"),
        a_message(4, BEN),
        a_message(5, ANN, sender=ANN),
        a_message(6, ANN, deleted_ms=1),
        a_message(7, ANN, "all"),
        a_message(8, ANN),
    ]
    assert count_mentions(Unread(ROOM, ANN, read_seq=1, last_seq=7), messages) == 3
    assert count_mentions(Unread(ROOM, ANN, read_seq=7, last_seq=7), messages) == 0


def test_more_than_a_hundred_are_a_hundred() -> None:
    messages = [a_message(seq, "all") for seq in range(1, 300)]
    assert count_mentions(Unread(ROOM, ANN, 0, 299), messages) == MENTION_CAP
