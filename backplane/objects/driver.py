"""The driver's client: made from the settings alone, with short time-outs, and one retry of our own.

The driver would look for keys, endpoints and proxies in variables and files of its own, and ask the machine it runs on: here only
what `Settings` says counts.
"""

import asyncio
import functools
import os
import random
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import boto3.session
import botocore.session
from botocore.config import Config

from backplane.errors import Transient, Unknown
from backplane.objects.failures import reading, writing
from backplane.objects.threads import Threads
from backplane.settings import Settings, SettingsError

T = TypeVar("T")
Client = Any
"""boto3 makes the class of its clients at run time: there is no type to name."""

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
CALL_SECONDS: Final = 30.0
"""What no single time-out bounds: names that do not resolve, an answer that comes a byte at a time."""
PART_SECONDS: Final = 60.0
THREADS: Final = 4
WAITING: Final = 64
CONNECTIONS: Final = 32
AGAIN_WITHIN_SECONDS: Final = 2.5
"""A call that failed later than this is not repeated: nobody waits for two time-outs."""


class Driver:
    """The client and its threads. Made once, closed once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads = Threads("s3", THREADS, WAITING)

    @classmethod
    def open(cls, settings: Settings, *, read_seconds: float) -> "Driver":
        """Make the client; connects to nothing.

        Raises:
            SettingsError: there is no object store, or the CA can not be used.
        """
        if settings.s3_url is None:
            raise SettingsError("HEADRACE_S3_URL is not set: there is no object store (e.g. https://s3.example)")
        return cls(make_client(settings, settings.s3_url, read_seconds=read_seconds))

    async def close(self) -> None:
        """Let calls under way end, and close every connection."""
        await self._threads.close()
        self._client.close()

    async def read(
        self, what: str, call: Callable[[Client], T], *, lost: Callable[[T | None], None] | None = None
    ) -> T:
        """Make a call that changes nothing. `what` begins the message of a failure; `lost` as in `Threads.run`."""

        def run() -> T:
            with reading(what):
                return call(self._client)

        try:
            return await self._twice(run, CALL_SECONDS, lost)
        except Unknown as failure:  # nothing was changed
            raise Transient(str(failure)) from failure

    async def write(
        self, what: str, call: Callable[[Client], T], *, again: bool = True, seconds: float = CALL_SECONDS
    ) -> T:
        """Make a call that changes something; with `again`, one that does no harm when it is made twice."""

        def run() -> T:
            with writing(what):
                return call(self._client)

        if again:
            return await self._twice(run, seconds, None)
        return await self._threads.run(run, seconds=seconds)

    async def once(self, what: str, call: Callable[[], T], *, lost: Callable[[T | None], None]) -> T:
        """Go on with what a call has opened: read on. Never repeated."""

        def run() -> T:
            with reading(what):
                return call()

        try:
            return await self._threads.run(run, seconds=CALL_SECONDS, lost=lost)
        except Unknown as failure:
            raise Transient(str(failure)) from failure

    async def _twice(self, run: Callable[[], T], seconds: float, lost: Callable[[T | None], None] | None) -> T:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return await self._threads.run(run, seconds=seconds, lost=lost)
        except Transient as failure:
            if loop.time() - started > AGAIN_WITHIN_SECONDS:
                raise
            first = failure
        await asyncio.sleep(random.uniform(0.05, 0.25))
        try:
            return await self._threads.run(run, seconds=seconds, lost=lost)
        except Unknown:
            raise
        except Transient:
            raise first from None  # the second was not done, but the first may have been


def make_client(settings: Settings, url: str, *, read_seconds: float = READ_SECONDS) -> Client:
    """A client of the driver for this URL.

    Raises:
        SettingsError: the CA can not be used.
    """
    access, secret = settings.s3_access_key, settings.s3_secret_key
    return _session().client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=url,
        aws_access_key_id=access.get_secret_value() if access else "",
        aws_secret_access_key=secret.get_secret_value() if secret else "",
        verify=_authority(settings),
        config=cast("Any", Config)(
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
            proxies={},
            s3={"addressing_style": "path"},
            # Servers other than Amazon's refuse checksums that they do not know; the signature holds the body's SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@functools.cache
def _session() -> Any:
    """A session that reads no variable and no file; one a process, because it reads the whole description of S3."""
    known: dict[str, tuple[Any, Any, Any, Any]] = cast("Any", botocore.session.Session).SESSION_VARIABLES
    blind = {name: (None, None, default, convert) for name, (_, _, default, convert) in known.items()}
    for name in ("config_file", "credentials_file"):
        blind[name] = (None, None, os.devnull, None)
    beneath = cast("Any", botocore.session.Session)(session_vars=blind)
    return cast("Any", boto3.session).Session(botocore_session=beneath)


def _authority(settings: Settings) -> str | bool:
    path = settings.s3_ca_file
    if path is None:
        return True
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as failure:  # else each connection would fail, without a word of which file
        raise SettingsError(f"HEADRACE_S3_CA_FILE: {path} can not be used: {failure.strerror or failure}") from None
    return path
