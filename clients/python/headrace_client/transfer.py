"""Moving one file over HTTP: a chunk at a time, never the whole of it in memory. Everything here blocks, and runs in `carrier`'s thread."""

import http.client
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace_client import multipart
from headrace_client.carrier import CONNECT_S, Carrier, Unconnected
from headrace_client.content import CHUNK_BYTES, Landing, Source
from headrace_client.errors import ApiError, Unreachable
from headrace_client.http import Address, error_of
from headrace_client.ranges import Place, follow
from headrace_client.tries import StoreRefusal

MAX_ANSWER_BYTES = 64 * 1024
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


def post(carrier: Carrier, url: str, fields: dict[str, str], source: Source) -> None:
    """Post a form with the file to the object store.

    Raises:
        Unconnected: it can not be reached.
        Unreachable: the connection was lost; the file may be there or not.
        ApiError: it was refused; `StoreRefusal` where another form may help.
    """
    framing = multipart.frame(fields, source.size)
    headers = {"Content-Type": framing.content_type, "Content-Length": str(framing.length)}
    connection = carrier.connect(_address(url))
    try:
        answer = _send(carrier, connection, ("POST", _target(url), headers), source, framing)
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise _refusal("upload", answer)


def put(carrier: Carrier, address: Address, path: str, token: str, source: Source) -> bytes:
    """Upload the file through the gateway. Returns what it answers. Fails as `post`, without a `StoreRefusal`."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(source.size),
    }
    connection = carrier.connect(address)
    try:
        sent = ("PUT", address.prefix + path, headers)
        answer = _send(carrier, connection, sent, source, multipart.Framing("", b"", source.size, b""))
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return answer.content
    raise error_of(answer.status, answer.reason, answer.content, answer.retry_after)


def fetch(carrier: Carrier, url: str, landing: Landing) -> None:
    """Fetch what is missing of an object.

    Raises:
        Unreachable: the store can not be reached, or the connection was lost; what came is in the landing.
        ApiError: it was refused; `StoreRefusal` where another link may help.
    """
    connection = carrier.connect(_address(url))
    try:
        with _network(carrier, connection):
            connection.request("GET", _target(url), headers=landing.place.headers())
            response = connection.getresponse()
        if response.status == 416:  # it has become shorter than what we have
            landing.begin(Place())
            raise Unreachable("the object store has another file than before; it is fetched from its beginning")
        if response.status not in {200, 206}:
            raise _refusal("download", _read(carrier, connection, response))
        place = follow(landing.place, response.status, {name.lower(): value for name, value in response.getheaders()})
        if place is None:
            landing.begin(Place())
            raise Unreachable("the object store has something else than before; it is fetched from its beginning")
        landing.begin(place)
        _receive(carrier, connection, response, landing)
    finally:
        connection.close()


def _receive(
    carrier: Carrier, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, landing: Landing
) -> None:
    while True:
        with _network(carrier, connection):
            chunk = response.read1(CHUNK_BYTES)
        if not chunk:
            break
        landing.write(chunk)
        carrier.tell(landing.place.offset, landing.place.total)
        carrier.check()
    if landing.place.total is not None and landing.place.offset < landing.place.total:
        raise Unreachable(f"the connection to {connection.host} was lost in the middle of the download")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    reason: str
    content: bytes
    retry_after: str | None


def _send(
    carrier: Carrier,
    connection: http.client.HTTPConnection,
    asked: tuple[str, str, dict[str, str]],
    source: Source,
    framing: multipart.Framing,
) -> _Answer:
    method, target, headers = asked
    try:
        with _network(carrier, connection):
            connection.putrequest(method, target)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(framing.head or None)
        _send_file(carrier, connection, source)
        with _network(carrier, connection):
            connection.send(framing.tail)
    except Unreachable:
        # Who refuses a body does not read it to its end; why, may be there to be read.
        with suppress(OSError, http.client.HTTPException, Unreachable):
            connection.sock.settimeout(CONNECT_S)
            return _read(carrier, connection, connection.getresponse())
        raise
    with _network(carrier, connection):
        response = connection.getresponse()
    return _read(carrier, connection, response)


def _send_file(carrier: Carrier, connection: http.client.HTTPConnection, source: Source) -> None:
    sent = 0
    with source.opened() as file:
        while sent < source.size:
            chunk = source.read(file, source.size - sent)
            with _network(carrier, connection):
                connection.send(chunk)
            sent += len(chunk)
            carrier.tell(sent, source.size)
            carrier.check()


def _read(carrier: Carrier, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> _Answer:
    with _network(carrier, connection):
        content = response.read(MAX_ANSWER_BYTES)
    return _Answer(response.status, response.reason, content, response.getheader("Retry-After"))


@contextmanager
def _network(carrier: Carrier, connection: http.client.HTTPConnection) -> Generator[None]:
    """What fails in here is the network's fault, and not the file's."""
    try:
        yield
    except (OSError, http.client.HTTPException) as failure:
        carrier.check()
        what = failure or type(failure).__name__
        raise Unreachable(f"the connection to {connection.host} was lost: {what}") from None


def _refusal(what: str, answer: _Answer) -> ApiError:
    code = match[1].decode() if (match := _CODE.search(answer.content)) else answer.reason
    temporary = answer.status in _TEMPORARY or code == "RequestTimeout"  # which S3 says with 400
    kind = ApiError if temporary else StoreRefusal
    text = f"The object store refused the {what}: {answer.status} {code}"
    retry = answer.retry_after
    retry_after_s = float(retry) if retry is not None and retry.isdecimal() else None
    return kind(answer.status, f"{what}_refused", text, temporary=temporary, retry_after_s=retry_after_s)


def _address(url: str) -> Address:
    try:
        return Address.parse(url)
    except ValueError:
        raise Unconnected(f"the object store has no address that can be used: {url[:80]!r}") from None


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
