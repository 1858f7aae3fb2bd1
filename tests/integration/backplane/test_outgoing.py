"""Requests go to addresses that were judged, and nowhere else."""

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from backplane.addresses import BadTarget, Target
from backplane.outgoing import Outgoing, Unreached, judged
from tests.receiver import Receiver, receiving
from tests.services import free_port

pytestmark = pytest.mark.anyio

NAME = "hooks.example"


def names(*answers: str | Sequence[str]):
    """A resolver that gives one answer after the other, the last one for ever; and how often it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [answer] if isinstance(answer, str) else answer

    return resolve, asked


def target(receiver: Receiver, host: str = NAME, scheme: str = "http") -> Target:
    return Target(scheme, host, receiver.port, "/in?x=1")


async def test_the_checked_address_is_connected_to_under_the_name() -> None:
    resolve, asked = names("127.0.0.1")
    async with receiving() as receiver, Outgoing.make(allow_private=True, resolve=resolve) as outgoing:
        assert await outgoing.post(target(receiver), b"{}", {"User-Agent": "me", "X-One": "1"}) == 204
        assert await outgoing.post(target(receiver), b"{}", {}) == 204
    assert asked == [NAME], "one connection, one resolution"
    assert receiver.connections == 1
    got = receiver.got[0]
    assert got.target == "/in?x=1"
    assert got.headers["host"] == f"{NAME}:{receiver.port}"
    assert (got.headers["user-agent"], got.headers["x-one"], got.body) == ("me", "1", b"{}")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "2130706433", "0x7f.1", "169.254.169.254", "10.0.0.1"]
)
async def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    """By the system's own resolver, which reads numbers in many ways."""
    async with receiving() as receiver, Outgoing.make(allow_private=False) as outgoing:
        with pytest.raises(Unreached):
            await outgoing.post(target(receiver, host), b"{}", {})
    assert receiver.connections == 0


async def test_a_name_that_is_bound_anew_is_refused() -> None:
    """DNS rebinding: public when it was judged first, and ours when it is sent to."""
    resolve, asked = names("93.184.216.34", "127.0.0.1")
    assert await judged(NAME, 80, allow_private=False, resolve=resolve) == ["93.184.216.34"]
    async with receiving() as receiver, Outgoing.make(allow_private=False, resolve=resolve) as outgoing:
        with pytest.raises(Unreached, match="loopback"):
            await outgoing.post(target(receiver), b"{}", {})
    assert (receiver.connections, len(asked)) == (0, 2)


async def test_a_name_that_mixes_public_and_private_addresses_is_refused() -> None:
    resolve, _ = names(["93.184.216.34", "10.0.0.1"])
    with pytest.raises(BadTarget, match="private"):
        await judged(NAME, 80, allow_private=False, resolve=resolve)


async def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(BadTarget, match="can not be resolved"):
        await judged("no-such-name.invalid", 80, allow_private=True)


async def test_redirects_are_not_followed() -> None:
    async def elsewhere(writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async with receiving() as inner, receiving() as outer, Outgoing.make(allow_private=True) as outgoing:
        outer.script.append(elsewhere)
        assert await outgoing.post(target(outer, "127.0.0.1"), b"{}", {}) == 307
    assert inner.connections == 0


async def test_an_endless_answer_is_left_after_a_few_kilobytes() -> None:
    left = asyncio.Event()

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 1024)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            left.set()

    async with receiving() as receiver, Outgoing.make(allow_private=True) as outgoing:
        receiver.script.append(endless)
        assert await outgoing.post(target(receiver, "127.0.0.1"), b"{}", {}) == 200
        await asyncio.wait_for(left.wait(), 5)


async def test_a_whole_exchange_has_one_time_limit_however_it_dribbles() -> None:
    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\n")
        while True:
            writer.write(b"X-A: b\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with receiving() as receiver, Outgoing.make(allow_private=True, total_seconds=0.4) as outgoing:
        receiver.script.append(dribble)
        began = time.monotonic()
        with pytest.raises(Unreached, match=r"no answer within 0\.4 s"):
            await outgoing.post(target(receiver, "127.0.0.1"), b"{}", {})
        assert time.monotonic() - began < 3
        assert await outgoing.post(target(receiver, "127.0.0.1"), b"{}", {}) == 204


async def test_nobody_there_and_nonsense_are_no_answers() -> None:
    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    async with receiving() as receiver, Outgoing.make(allow_private=True) as outgoing:
        receiver.script.append(nonsense)
        with pytest.raises(Unreached, match="ProtocolError"):
            await outgoing.post(target(receiver, "127.0.0.1"), b"{}", {})
        with pytest.raises(Unreached, match="ConnectError"):
            await outgoing.post(Target("http", "127.0.0.1", free_port(), "/"), b"{}", {})


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def test_the_certificate_must_be_the_name_s_though_an_address_is_connected_to(tmp_path: Path) -> None:
    crt, key = certificate(tmp_path, NAME)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(crt, key)
    asked_for: list[str | None] = []
    server.sni_callback = lambda _, name, __: asked_for.append(name)
    client = ssl.create_default_context(cafile=str(crt))
    resolve, _ = names("127.0.0.1")
    async with (
        receiving(tls=server) as receiver,
        Outgoing.make(allow_private=True, resolve=resolve, tls=client) as outgoing,
    ):
        assert await outgoing.post(target(receiver, scheme="https"), b"{}", {}) == 204
        with pytest.raises(Unreached, match="certificate"):
            await outgoing.post(target(receiver, "other.example", "https"), b"{}", {})
    assert asked_for == [NAME, "other.example"]
    assert len(receiver.got) == 1
