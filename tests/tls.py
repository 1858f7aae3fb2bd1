"""Certificates of a test's own, and TLS in front of a server that has none: not every build of Redis and Valkey has."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


class Certificate(NamedTuple):
    """Files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """A CA; `path` is its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        signed = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self._certificate = signed
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(signed.public_bytes(Encoding.PEM))

    def issue(self, host: str = "127.0.0.1", *, expired: bool = False) -> Certificate:
        """For a server at an address or name, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        signed = (
            self._builder(subject, key.public_key(), days_ago=30 if expired else 1, days=-1 if expired else 30)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = f"{host}-{x509.random_serial_number():x}"
        made = Certificate(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        made.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days_ago: int = 1, days: int = 30
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - days_ago * _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


class Front:
    """What listens with TLS; `connections` counts the handshakes that succeeded."""

    def __init__(self, port: int) -> None:
        self.port, self.connections = port, 0


@contextlib.contextmanager
def tls_in_front_of(
    port: int, certificate: Certificate, *, clients: Path | None = None, at: int = 0
) -> Iterator[Front]:
    """Take TLS connections and pass what is in them on to a port of this machine.

    Args:
        port: of the server behind.
        certificate: what we show.
        clients: a CA; only clients with a certificate of it are let in.
        at: the port to listen on; any free one if not given.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    listener = socket.create_server(("127.0.0.1", at))
    front = Front(listener.getsockname()[1])

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        front.connections += 1
        with contextlib.suppress(
            asyncio.CancelledError
        ):  # of `serve`; streams of Python 3.11 complain of a cancelled one
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))

    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(take, sock=listener, ssl=context)
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    # A thread of its own, so that tests of the command line, which run their own loop, can use it too.
    thread = threading.Thread(target=loop.run_until_complete, args=[serve()], name="tls", daemon=True)
    thread.start()
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()
