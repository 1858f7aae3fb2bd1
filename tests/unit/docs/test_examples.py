"""What the docs show works as they show it."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from schemas.scopes import SCOPES
from schemas.webhooks import sign

DOCS = Path(__file__).parents[3] / "docs"


def shown(page: str) -> dict:
    """What a page's tested code defines."""
    (code,) = re.findall(r"<!-- tested -->\n```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    defined: dict = {}
    exec(code, defined)
    return defined


def test_a_receiver_verifies_a_signature_as_the_page_shows() -> None:
    verify: Callable[..., bool] = shown("webhooks.md")["verify"]
    body, now = b'{"event":"message.created","data":{"text":"\xc3\xa9"}}', int(time.time())
    assert verify("whsec_x", sign("whsec_x", body, now), body)
    assert not verify("whsec_y", sign("whsec_x", body, now), body)
    assert not verify("whsec_x", sign("whsec_x", body, now), body + b" ")
    assert not verify("whsec_x", sign("whsec_x", body, now - 301), body), "an old request played again"


def test_every_scope_is_explained() -> None:
    page = (DOCS / "bots.md").read_text()
    assert re.findall(r"^\| `([a-z:]+)` \|", page, re.MULTILINE) == list(SCOPES)
