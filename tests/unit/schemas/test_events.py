import msgspec
import pytest

from schemas.entities import Message, MessageContent, rfc3339
from schemas.events import EventHeader, decode_header, encode_header, event_id_of, make_answer, make_event, parse_answer
from schemas.ids import ClientMsgId, ConversationId, IntentId, MessageId, Position, UserId
from schemas.intents import CreateConversation, SendMessage, body_hash, decode_intent, encode_intent
from schemas.server_frames import event_frame

CONVERSATION = ConversationId("c")
MESSAGE = Message(
    message_id=MessageId("m"),
    conversation_id=CONVERSATION,
    seq=1,
    rev=2,
    sender_id=UserId("u"),
    client_msg_id=ClientMsgId("k"),
    content=MessageContent('a "quoted" \u2028 word'),
    created_at=rfc3339(1_795_000_000_123),
)
HEADER = EventHeader("message.created", event_id_of(CONVERSATION, 2), CONVERSATION, 2, 1_795_000_000_123)


def test_a_frame_is_a_prefix_and_the_shared_body():
    event = make_event(HEADER, MESSAGE, "2026-11-22T13:00:00.123Z")
    frame = msgspec.json.decode(event_frame(Position(7, 8), event.body))
    assert frame["type"] == "event"
    assert frame["position"] == "7-8"
    assert frame["event_id"] == "c.2"
    assert frame["data"]["content"] == {"text": 'a "quoted" \u2028 word'}
    assert frame["data"]["created_at"] == "2026-11-18T11:06:40.123Z"
    assert "duplicate" not in frame["data"]


def test_headers_survive_the_stream():
    header = EventHeader("message.rejected", "i", CONVERSATION, 0, 5, to=(UserId("u"),))
    assert decode_header(encode_header(header)) == header


def test_answers_name_their_intent():
    """C2"""
    answer = parse_answer(make_answer("i1", make_event(HEADER, MESSAGE, "t")))
    assert (answer.intent_id, answer.event) == ("i1", "message.created")
    assert msgspec.json.decode(answer.data, type=Message) == MESSAGE


@pytest.mark.parametrize("payload", [b"", b"i1", b"i1 {}", b"i1 \xff", b'i1 "event":"message.created"}'])
def test_what_is_not_an_answer_is_refused(payload: bytes):
    with pytest.raises(ValueError, match="not an answer"):
        parse_answer(payload)


def intent(**changes: object) -> SendMessage:
    values = {
        "intent_id": "i",
        "conversation_id": "c",
        "actor_id": "u",
        "client_msg_id": "k",
        "text": "x",
        "at_ms": 1,
    } | changes
    return msgspec.convert(values, SendMessage)


def test_intents_survive_the_stream():
    create = CreateConversation(
        intent_id=IntentId("i"),
        conversation_id=CONVERSATION,
        actor_id=UserId("u"),
        kind="group",
        member_ids=(UserId("u"),),
        at_ms=1,
        title="t",
    )
    for one in (create, intent(answer="hr:{g1}", mentions=["u"])):
        assert decode_intent(encode_intent(one)) == one


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b'{"type":"message.send"}', b'{"type":"later.version"}', b"\xff", b"[" * 5000]
)
def test_an_entry_of_another_version_is_no_intent(raw: bytes):
    with pytest.raises(ValueError, match="not an intent"):
        decode_intent(raw)


def test_the_body_hash_is_of_what_was_asked_and_not_of_when():
    """C13"""
    assert body_hash(intent()) == body_hash(intent(intent_id="other", at_ms=99, answer="x"))
    assert (
        len(
            {
                body_hash(intent()),
                body_hash(intent(text="y")),
                body_hash(intent(reply_to="m")),
                body_hash(intent(thread_root_id="m")),
            }
        )
        == 4
    )
