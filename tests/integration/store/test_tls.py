"""MongoDB over TLS, by URL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backplane.errors import Transient
from backplane.settings import load_settings
from backplane.store.mongo import Store
from tests.services import Server
from tests.tls import Authority, Front, tls_in_front_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def front(mongodb: Server, authority: Authority) -> Iterator[Front]:
    with tls_in_front_of(mongodb.port, authority.issue("127.0.0.1")) as front:
        yield front


async def ping(front: Front, host: str, options: str) -> float:
    url = f"mongodb://{host}:{front.port}/?directConnection=true{options}"
    store = await Store.open(load_settings({}, environment="development", mongodb_url=url, mongodb_timeout_seconds=2))
    try:
        return await store.ping()
    finally:
        await store.close()


async def test_our_ca_is_named_in_the_url(front: Front, authority: Authority) -> None:
    assert await ping(front, "127.0.0.1", f"&tls=true&tlsCAFile={authority.path}") > 0
    assert front.connections > 0


async def test_a_server_that_is_not_the_one_meant_is_refused_and_the_reason_is_said(
    front: Front, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other").path
    for host, options, said in (
        ("127.0.0.1", f"&tls=true&tlsCAFile={other}", "certificate verify failed"),
        ("127.0.0.1", "&tls=true", "certificate verify failed"),
        ("localhost", f"&tls=true&tlsCAFile={authority.path}", "Hostname mismatch"),
    ):
        with pytest.raises(Transient, match=said):
            await ping(front, host, options)


async def test_plain_text_to_tls_is_refused(front: Front) -> None:
    with pytest.raises(Transient):
        await ping(front, "127.0.0.1", "")
