"""Redis over TLS, by URL: what is encrypted works like what is not, and a server that is not the one meant is refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backplane.doorbells import Doorbells, ring
from backplane.errors import Transient
from backplane.logs import Logs
from backplane.redis import Redis
from backplane.settings import SettingsError, load_settings
from schemas.ids import UserId
from tests.services import Server
from tests.tls import Authority, Certificate, Front, tls_in_front_of

pytestmark = pytest.mark.anyio

ADA = UserId("ada")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("127.0.0.1")


@pytest.fixture(scope="module")
def front(redis: Server, certificate: Certificate) -> Iterator[Front]:
    with tls_in_front_of(redis.port, certificate) as front:
        yield front


def url(front: Front, host: str = "127.0.0.1", **options: object) -> str:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"rediss://{host}:{front.port}/0?{query}"


@contextlib.asynccontextmanager
async def connected(redis_url: str, namespace: str = "tls") -> AsyncIterator[Redis]:
    settings = load_settings({}, environment="development", redis_url=redis_url, namespace=namespace, partitions=2)
    redis = await Redis.open(settings)
    try:
        yield redis
    finally:
        await redis.close()


async def refused(redis_url: str) -> str:
    """How."""
    async with connected(redis_url) as redis:
        with pytest.raises(Transient) as caught:
            await redis.ping()
    return str(caught.value)


async def test_functions_blocking_reads_and_doorbells_go_over_tls(front: Front, authority: Authority) -> None:
    rung = asyncio.get_running_loop().create_future()

    def on_ring(channel: str, payload: bytes) -> None:
        rung.set_result((channel, payload))

    async with connected(url(front, ssl_ca_certs=authority.path)) as redis:
        assert await Logs(redis, max_entries=10, epoch_ttl_seconds=60).open(ADA)
        assert await redis.block("BLPOP", "tls:nothing", 1, seconds=1) is None
        doorbells = Doorbells(redis, on_ring, lambda: None)
        await doorbells.start()
        try:
            await doorbells.subscribe(redis.names.log(ADA))
            await ring(redis, redis.names.log(ADA), b"x" * 100_000)
            assert await asyncio.wait_for(rung, 10) == (redis.names.log(ADA), b"x" * 100_000)
        finally:
            await doorbells.close()


async def test_an_open_connection_is_used_again(front: Front, authority: Authority) -> None:
    """What TLS itself says after the handshake must not look like a reply that nobody waits for."""
    async with connected(url(front, ssl_ca_certs=authority.path)) as redis:
        await redis.ping()
        before = front.connections
        for _ in range(5):
            await redis.ping()
        assert front.connections == before


async def test_a_certificate_of_another_ca_is_refused_and_the_reason_is_said(front: Front, tmp_path: Path) -> None:
    before = front.connections
    assert "certificate verify failed" in await refused(url(front, ssl_ca_certs=Authority(tmp_path, "other").path))
    assert "certificate verify failed" in await refused(url(front)), "nor does the system's list know our CA"
    assert front.connections == before, "no password was sent to it"


async def test_a_certificate_of_another_host_is_refused(front: Front, authority: Authority) -> None:
    assert "Hostname mismatch" in await refused(url(front, host="localhost", ssl_ca_certs=authority.path))


async def test_a_certificate_whose_time_is_over_is_refused(redis: Server, authority: Authority) -> None:
    with tls_in_front_of(redis.port, authority.issue(expired=True)) as front:
        assert "expired" in await refused(url(front, ssl_ca_certs=authority.path))


async def test_a_server_may_ask_for_a_certificate_of_ours(redis: Server, authority: Authority) -> None:
    ours = authority.issue("gateway")
    with tls_in_front_of(redis.port, authority.issue(), clients=authority.path) as front:
        await refused(url(front, ssl_ca_certs=authority.path))
        with_ours = url(front, ssl_ca_certs=authority.path, ssl_certfile=ours.certificate, ssl_keyfile=ours.key)
        async with connected(with_ours) as redis_:
            assert await redis_.ping() > 0


async def test_plain_text_to_tls_and_tls_to_plain_text_are_refused_in_time(
    redis: Server, front: Front, authority: Authority
) -> None:
    await refused(f"redis://127.0.0.1:{front.port}/0")
    await refused(f"rediss://127.0.0.1:{redis.port}/0?ssl_ca_certs={authority.path}")


@pytest.mark.parametrize(
    ("redis_url", "said"),
    [
        ("rediss://127.0.0.1/0?ssl_ca_certs=/none.pem", "ssl_ca_certs=/none.pem"),
        ("rediss://127.0.0.1/0?ssl_cert_reqs=perhaps", "perhaps"),
        ("redis://127.0.0.1/0?colour=red", "colour"),
        ("redis://ada:se/cret@127.0.0.1/0", "%2F"),
    ],
)
async def test_a_url_that_can_not_be_used_is_wrong_settings(redis_url: str, said: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_REDIS_URL") as caught:
        await Redis.open(load_settings({}, environment="development", redis_url=redis_url))
    assert said in str(caught.value)
    assert "cret@" not in str(caught.value)


async def test_a_renewed_certificate_is_taken_without_a_restart(redis: Server, authority: Authority) -> None:
    async with contextlib.AsyncExitStack() as cleanup:
        with tls_in_front_of(redis.port, authority.issue(expired=True)) as old:
            client = await cleanup.enter_async_context(connected(url(old, ssl_ca_certs=authority.path)))
            with pytest.raises(Transient):
                await client.ping()
        with tls_in_front_of(redis.port, authority.issue(), at=old.port):
            assert await client.ping() > 0
