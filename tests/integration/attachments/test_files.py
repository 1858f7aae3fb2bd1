"""Files from end to end."""

import pytest

from tests.integration.attachments.conftest import Sender

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("consumers")]


async def test_a_clean_file_is_sent_and_fetched(alice: Sender, bob: Sender) -> None:
    room = await alice.group(bob)
    file = await alice.upload(b"hello")
    sent = await alice.send(room, file)
    assert sent.status_code == 201, sent.text
    assert (await bob.verdict(file))["status"] == "clean"
    got = await bob.fetch(file)
    assert (got.status_code, got.content) == (200, b"hello")
    assert got.headers["content-disposition"].startswith("attachment")
