"""The scanner against a real clamd that knows one signature."""

import asyncio
import io
import random
import signal
import zipfile
from collections.abc import AsyncIterator, Iterator

import pytest

from backplane.errors import Transient
from backplane.scanner import Clean, Infected, Scanner, Unscannable, Verdict, parse_address
from tests.services import EICAR, Server, clamd_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = clamd_server(tmp_path_factory.mktemp("clamd"), StreamMaxLength="2M", MaxRecursion="4")
    if server is None:
        pytest.skip("clamd is not installed (Debian: apt-get install clamav-daemon)")
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["unix", "tcp"])
def scanner(request: pytest.FixtureRequest, clamd: Server) -> Scanner:
    url = f"unix://{clamd.folder / 'clamd.ctl'}" if request.param == "unix" else f"tcp://127.0.0.1:{clamd.port}"
    return Scanner(parse_address(url), scan_seconds=20)


async def cut(content: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def zipped(content: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", content)
        content = file.getvalue()
    return content


def encrypted() -> bytes:
    """A zip that says that its entry is encrypted."""
    content = bytearray(zipped(b"secret" * 100))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


async def test_what_is_harmless_is_clean(scanner: Scanner) -> None:
    assert await scanner.scan(cut(b"")) == Clean()
    assert await scanner.scan(cut(b"hello")) == Clean()
    assert await scanner.scan(cut(random.Random(1).randbytes(1_500_000), 200_000)) == Clean()


@pytest.mark.parametrize("content", [EICAR, zipped(EICAR), zipped(EICAR, 2)], ids=["plain", "zip", "zip in zip"])
async def test_eicar_is_found(scanner: Scanner, content: bytes) -> None:
    verdict = await scanner.scan(cut(content))
    assert isinstance(verdict, Infected)
    assert verdict.signature.startswith("Eicar-Test-Signature")


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"x" * 4_000_000, "too_large"), (zipped(b"harmless", 8), "too_complex"), (encrypted(), "encrypted")],
    ids=["over the stream's limit", "too deep", "encrypted"],
)
async def test_what_clamd_does_not_look_at_is_not_clean(scanner: Scanner, content: bytes, why: str) -> None:
    for _ in range(5):  # over the limit, clamd's answer races with its reset of the connection
        verdict = await scanner.scan(cut(content, 65_536))
        assert isinstance(verdict, Unscannable)
        assert verdict.why == why


async def test_it_tells_its_version(scanner: Scanner) -> None:
    await scanner.ping()
    version = await scanner.version()
    assert version.engine[0].isdigit()
    assert (version.number, version.built_at) == (None, None), "a set of one's own has no number"


async def test_a_clamd_that_hangs_is_away_and_comes_back(clamd: Server) -> None:
    scanner = Scanner(("127.0.0.1", clamd.port), scan_seconds=0.3, alive_seconds=0.3)
    clamd.send(signal.SIGSTOP)
    try:
        with pytest.raises(Transient):
            await scanner.scan(cut(b"hello"))
    finally:
        clamd.send(signal.SIGCONT)
    assert await Scanner(("127.0.0.1", clamd.port), scan_seconds=20).scan(cut(b"hello")) == Clean()


async def test_a_clamd_that_is_killed_condemns_nothing_and_frees_nothing(clamd: Server) -> None:
    """Every scan that it dies under says `Transient`, or what is true."""
    scanner = Scanner(("127.0.0.1", clamd.port), scan_seconds=20)
    taken = asyncio.Semaphore(0)

    async def slowly(content: bytes) -> AsyncIterator[bytes]:
        async for piece in cut(content, 1_000):
            yield piece
            taken.release()
            await asyncio.sleep(0)

    async def scan(content: bytes) -> Verdict | Transient:
        try:
            return await scanner.scan(slowly(content))
        except Transient as away:
            return away

    harmless = [asyncio.create_task(scan(b"x" * 100_000)) for _ in range(20)]
    infected = [asyncio.create_task(scan(zipped(EICAR) + bytes(100_000))) for _ in range(20)]
    for _ in range(200):
        await taken.acquire()
    clamd.kill()
    results = await asyncio.gather(*harmless), await asyncio.gather(*infected)
    clamd.start()
    assert all(isinstance(one, Clean | Transient) for one in results[0])
    assert all(isinstance(one, Infected | Transient) for one in results[1])
    assert any(isinstance(one, Transient) for one in [*results[0], *results[1]]), "it was killed under some"
    assert await scanner.scan(cut(b"hello")) == Clean()
