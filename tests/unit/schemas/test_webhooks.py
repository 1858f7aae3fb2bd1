import hashlib
import hmac
import json

import pytest

from schemas.webhooks import payload, sign, wants

SECRET = "whsec_test"


def test_a_signature_is_what_the_documentation_says() -> None:
    body = b'{"webhook_id":"w"}'
    stamp, mac = (part.partition("=")[2] for part in sign(SECRET, body, 1_795_000_000).split(","))
    assert stamp == "1795000000"
    assert mac == hmac.new(SECRET.encode(), b"1795000000." + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("secret", "body", "at"), [("other", b"body", 1), (SECRET, b"bodY", 1), (SECRET, b"body", 2), (SECRET, b".body", 1)]
)
def test_another_secret_body_or_time_is_another_signature(secret: str, body: bytes, at: int) -> None:
    assert sign(secret, body, at).partition(",v1=")[2] != sign(SECRET, b"body", 1).partition(",v1=")[2]


def test_a_payload_is_the_event_behind_the_webhook_s_id() -> None:
    event = b'"event":"message.created","event_id":"e1","ts":"2026-11-22T13:00:00.123Z","data":{"text":"\xc3\xa9"}}'
    assert json.loads(payload("w1", event)) == {
        "webhook_id": "w1",
        "event": "message.created",
        "event_id": "e1",
        "ts": "2026-11-22T13:00:00.123Z",
        "data": {"text": "é"},
    }


def test_without_a_filter_every_event_is_wanted() -> None:
    assert wants((), "message.created")
    assert wants(("message.created", "message.voided"), "message.voided")
    assert not wants(("message.created",), "message.voided")
