"""Bad frames: each is answered or ends its own connection, and a neighbour of the same user hears nothing of it."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from tests.integration.gateway.socket.rig import CONVERSATION, Client, Rig

pytestmark = pytest.mark.anyio


def send(extra: str = "", *, text: str = "hi", number: str = "7") -> str:
    return (
        f'{{"type":"message.send","id":{number},"conversation_id":"{CONVERSATION}","client_msg_id":"{CONVERSATION}",'
        f'"content":{{"text":"{text}"}}{extra}}}'
    )


DEEP = "[" * 5000 + "1" + "]" * 5000

ANSWERED = {
    "not JSON": "{",
    "empty": "",
    "no object": "[1,2]",
    "no type": '{"id":7}',
    "unknown type": '{"type":"drop.tables","id":7}',
    "unknown field": send(',"admin":true'),
    "depth 5000": f'{{"type":"sync","after":{DEEP}}}',
    "depth 5000 in an unknown field": send(f',"x":{DEEP}'),
    "lone surrogate": send(text="\\ud800"),
    "id 2^63": send(number="9223372036854775808"),
    "limit 2^63": '{"type":"sync","after":"1-1","limit":9223372036854775808}',
    "NaN": send(',"reply_to":NaN'),
    "1e999": '{"type":"sync","after":"1-1","limit":1e999}',
    "NUL in the text": send(text="\\u0000"),
    "NUL in a key": send(',"a\\u0000":1'),
    "raw NUL": '{"type":"pong"\x00}',
    "BOM": "\ufeff" + send(),
    "empty text": send(text=" \\n\\u200b "),
    "attachments": send(f',"attachments":["{CONVERSATION}","{CONVERSATION}"]'),
    "two objects": '{"type":"pong"}{"type":"pong"}',
}


async def alive(client: Client) -> None:
    assert (await client.send())["ok"] is True


@pytest.mark.parametrize("frame", ANSWERED.values(), ids=ANSWERED)
async def test_a_bad_frame_is_answered_and_the_connection_lives(rig: Rig, frame: str):
    client, _ = await rig.connected("ann")
    await client.socket.send(frame)
    reply = await client.hear("reply")
    assert reply["ok"] is False
    assert reply["error"]["code"] in {"bad_request", "unsupported"}
    assert not reply["error"].get("temporary")
    await alive(client)


async def test_a_bad_field_is_named_and_the_number_of_the_request_kept(rig: Rig):
    client, _ = await rig.connected("ann")
    await client.socket.send(send(',"admin":true'))
    reply = await client.hear("reply")
    assert reply["id"] == 7
    assert "admin" in reply["error"]["message"]


async def test_of_a_key_that_comes_twice_the_last_one_counts(rig: Rig):
    """RFC 8259, section 4 leaves it open; what matters is that it is one of the two, checked like any other."""
    client, _ = await rig.connected("ann")
    await client.socket.send(send(',"content":{"text":"\\u0000"}'))
    assert (await client.hear("reply", id=7))["ok"] is False
    await client.socket.send(send(',"content":{"text":"two"}'))
    assert (await client.hear("reply", id=7))["ok"] is True


def masked(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


FATAL = {
    "too big": (1009, masked(Opcode.TEXT, b"x" * 65537)),
    "binary": (1003, masked(Opcode.BINARY, b"{}")),
    "bad UTF-8": (1007, masked(Opcode.TEXT, b'{"type":"\xff"}')),
    "reserved bit": (1002, b"\xc1" + masked(Opcode.TEXT, b"{}")[1:]),
    "continuation of nothing": (1002, masked(Opcode.CONT, b"{}")),
}


@pytest.mark.parametrize(("code", "frame"), FATAL.values(), ids=FATAL)
async def test_a_frame_that_breaks_the_channel_ends_it_with_its_own_code_and_no_other(
    rig: Rig, code: int, frame: bytes
):
    neighbour, _ = await rig.connected("ann")
    client, _ = await rig.connected("ann")
    client.socket.transport.write(frame)
    assert (await client.end())[0] == code
    await alive(neighbour)


async def test_bad_utf8_leaves_no_traceback_in_the_log(rig: Rig, caplog: pytest.LogCaptureFixture):
    """Anybody can send it, without an account: it would fill the log."""
    for payload in (b"\xff", b'{"type":"pong"}\xc3'):
        client = await rig.dial()
        client.socket.transport.write(masked(Opcode.TEXT, payload))
        assert (await client.end())[0] == 1007
    client = await rig.dial()
    client.socket.transport.write(
        Frame(Opcode.TEXT, b"\xc3", fin=False).serialize(mask=True) + masked(Opcode.CONT, b"(")
    )
    assert (await client.end())[0] == 1007
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_half_a_frame_costs_nobody_anything(rig: Rig):
    neighbour, _ = await rig.connected("ann")
    client, _ = await rig.connected("ann")
    client.socket.transport.write(masked(Opcode.TEXT, b"x" * 60_000)[:30_000])
    await alive(neighbour)
    client.socket.transport.abort()
    await alive(neighbour)


async def test_twenty_bad_frames_end_the_connection(rig: Rig):
    neighbour, _ = await rig.connected("ann")
    client, _ = await rig.connected("ann")
    with contextlib.suppress(ConnectionClosed):
        for _ in range(50):
            await client.socket.send("{")
    code, said = await client.end()
    assert code == 4504
    assert said is not None
    assert said["reconnect"] is False
    await alive(neighbour)


async def test_a_fragmented_frame_is_one_frame(rig: Rig):
    client, _ = await rig.connected("ann")
    text = send()
    await client.socket.send(iter([text[:10], text[10:20], text[20:]]))
    assert (await client.hear("reply", id=7))["ok"] is True


async def test_many_at_once_are_all_answered(rig: Rig):
    client, _ = await rig.connected("ann")
    frames = list(ANSWERED.values())[:10]
    await asyncio.gather(*(client.socket.send(frame) for frame in frames))
    for _ in frames:
        assert (await client.hear("reply"))["ok"] is False
