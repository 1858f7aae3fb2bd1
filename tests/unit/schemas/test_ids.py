import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    MAX_SAFE_INTEGER,
    ClientMsgId,
    ConversationId,
    Position,
    StreamId,
    UserId,
    direct_conversation_id,
    group_conversation_id,
    message_id_of,
    partition_of,
    shard_of,
)

numbers = st.integers(0, MAX_SAFE_INTEGER)
names = st.text(min_size=1, max_size=40)


@given(numbers, numbers)
def test_a_position_reads_what_it_writes(epoch: int, offset: int):
    assert Position.parse(str(Position(epoch, offset))) == Position(epoch, offset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "01-2",
        "1-02",
        "+1-2",
        "1 -2",
        "1-2\n",
        "a-b",
        "1.0-2",
        "٣-1",
        f"{2**53}-1",
        f"1-{2**53}",
        "9" * 400,
    ],
)
def test_what_is_not_a_position_is_refused(text: str):
    with pytest.raises(ValueError, match="not a position"):
        Position.parse(text)


def test_stream_ids_are_ordered_as_numbers_and_not_as_text():
    """B7"""
    assert StreamId.parse("5-9") < StreamId.parse(b"5-10") < StreamId.parse("10-0")


@given(names, st.integers(1, 256))
def test_placement_is_stable_and_within_bounds(name: str, count: int):
    assert 0 <= partition_of(ConversationId(name), count) < count
    assert shard_of(UserId(name), count) == shard_of(UserId(name), count)


def test_placement_spreads_evenly():
    counts = [0] * 16
    for _ in range(16_000):
        counts[partition_of(ConversationId(str(uuid.uuid4())), 16)] += 1
    assert 800 < min(counts) < max(counts) < 1200


def test_the_same_send_is_the_same_message_and_any_other_is_not():
    """A7: the key of a repeat is conversation, sender and client_msg_id together."""
    key = ConversationId("c"), UserId("u"), ClientMsgId("k")
    assert message_id_of(*key) == message_id_of(*key)
    others = {
        message_id_of(ConversationId("d"), key[1], key[2]),
        message_id_of(key[0], UserId("v"), key[2]),
        message_id_of(key[0], key[1], ClientMsgId("l")),
    }
    assert message_id_of(*key) not in others
    assert len(others) == 3


def test_a_direct_conversation_is_the_same_whoever_asks():
    """B12"""
    one, other = UserId("a"), UserId("b")
    assert direct_conversation_id(one, other) == direct_conversation_id(other, one) != direct_conversation_id(one, one)


def test_a_group_is_its_creator_and_key():
    """B12"""
    assert group_conversation_id(UserId("a"), "k") == group_conversation_id(UserId("a"), "k")
    assert group_conversation_id(UserId("a"), "k") != group_conversation_id(UserId("b"), "k")
