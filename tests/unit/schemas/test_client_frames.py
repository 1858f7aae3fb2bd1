import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.client_frames import BadFrame, Connect, Pong, SendMessage, decode_frame

ID = "6f1f5a0e-0d5a-4c1e-9d0c-68656164726b"


def send(**changes: object) -> bytes:
    frame = {
        "type": "message.send",
        "id": 9,
        "conversation_id": ID,
        "client_msg_id": ID,
        "content": {"text": "hi"},
    } | changes
    return msgspec.json.encode({key: value for key, value in frame.items() if value is not None})


def test_frames_are_read_by_their_type():
    assert isinstance(decode_frame(b'{"type":"connect","token":"t"}'), Connect)
    assert isinstance(decode_frame(b'{"type":"pong"}'), Pong)
    frame = decode_frame(send(mentions=[ID]))
    assert isinstance(frame, SendMessage)
    assert (frame.id, frame.content.text, frame.mentions) == (9, "hi", (ID,))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (send(conversation_id="../etc"), "conversation_id"),
        (send(conversation_id=ID.upper()), "conversation_id"),
        (send(conversation_id=ID + "\n"), "conversation_id"),
        (send(client_msg_id=None), "client_msg_id"),
        (send(content={"text": 5}), "text"),
        (send(content={"text": "x", "html": "y"}), "html"),
        (send(colour="red"), "colour"),
        (send(mentions=[ID] * 51), "mentions"),
        (send(attachments="x"), "attachments"),
        (b'{"type":"sync","after":"1-1","limit":501,"id":9}', "limit"),
        (b'{"type":"nonsense","id":9}', "nonsense"),
    ],
)
def test_a_bad_field_is_named_and_the_request_is_known(raw: bytes, says: str):
    with pytest.raises(BadFrame, match=says) as caught:
        decode_frame(raw)
    assert caught.value.request_id == 9


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[" * 5000,
        b"nul",
        b"\xff",
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b'{"type":"sync","after":NaN}',
        b'{"type":"pong"}x',
        b"[]",
        b"1e999",
    ],
)
def test_what_is_not_a_frame_is_one_kind_of_error(raw: bytes):
    with pytest.raises(BadFrame):
        decode_frame(raw)


@pytest.mark.parametrize("number", [-1, 2**53, 2**63, 2**64, 1.5])
def test_request_ids_stay_within_what_every_json_reader_keeps(number: float):
    with pytest.raises(BadFrame):
        decode_frame(send(id=number))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes):
    with contextlib.suppress(BadFrame):
        decode_frame(raw)
