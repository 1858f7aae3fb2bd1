"""With the settings of a real deployment no webhook is made that leads into our own network."""

import httpx2
import pytest

from tests.integration.gateway.rest.conftest import Person
from tests.integration.gateway.rest.test_bots import as_bot, code, made

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001", "017700000001", "127.1", "0", "10.1.2.3", "192.168.0.1",
     "172.16.0.1", "169.254.169.254", "100.64.0.1", "[::ffff:127.0.0.1]", "[::ffff:a00:1]", "[fe80::1]", "[fd00::1]",
     "224.0.0.1", "255.255.255.255", "0.0.0.0"],
)  # fmt: skip
async def test_a_private_target_is_refused(http: httpx2.AsyncClient, alice: Person, host: str) -> None:
    bot = await as_bot(http, await made(alice, "webhooks"))
    answer = await bot("POST", "/api/webhooks", json={"url": f"https://{host}/in"})
    assert code(answer) == (400, "bad_request")
    assert "can not lead there" in answer.json()["detail"]
