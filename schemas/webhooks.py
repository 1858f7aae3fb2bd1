"""Arrow 5: what a webhook's receiver gets, and how it knows that it is from us (docs/webhooks.md).

The signature covers the time and the exact bytes of the body, so that neither can be changed, nor an old request played again
long after (the scheme of Stripe and Standard Webhooks: HMAC-SHA256, RFC 2104).
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from schemas.events import EventName

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with
SIGNATURE_HEADER: Final = "Headrace-Signature"
EVENT_ID_HEADER: Final = "Headrace-Event-Id"
USER_AGENT: Final = "Headrace-Webhooks/1"


def payload(webhook_id: str, event_body: bytes) -> bytes:
    """The JSON of a delivery: an event's body, which is the tail of an object, behind the webhook's id."""
    return b'{"webhook_id":"%s",' % webhook_id.encode() + event_body


def sign(secret: str, body: bytes, at_seconds: int) -> str:
    """The value of `Headrace-Signature`: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`."""
    mac = hmac.new(secret.encode(), b"%d." % at_seconds + body, hashlib.sha256)
    return f"t={at_seconds},v1={mac.hexdigest()}"


def wants(filtered: Sequence[EventName], event: EventName) -> bool:
    """Whether a webhook that named these events gets this one; without any it gets all."""
    return not filtered or event in filtered
