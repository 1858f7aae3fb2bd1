"""The driver's exceptions as `backplane.errors`, translated here and nowhere else.

What failed before it was sent, and every read, was not done: `Transient`. A write that failed on its way may have been done:
`Unknown`; all of ours may be repeated. No message quotes the driver: its words can hold signed URLs.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
    SSLError,
)
from urllib3.exceptions import HTTPError  # where the driver forgets to translate its own driver's

from backplane.errors import Permanent, Transient, Unknown


class Absent(Permanent):
    """There is no such object."""


class Changed(Permanent):
    """The object is not, or no longer, the one that was meant: somebody has overwritten it."""


class WrongSize(Permanent):
    """A stream is longer or shorter than was said; nothing was stored."""


class Misconfigured(Permanent):
    """The deployment is at fault, not the object: no such bucket, or keys that are wrong or not allowed to do this."""


_MISCONFIGURED: Final = frozenset({
    "AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidBucketName", "InvalidToken", "NoSuchBucket", "NotSignedUp", "PermanentRedirect", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
    "301", "400", "403",
})  # fmt: skip
"""Error codes of S3; numbers are those of HEAD, whose answers have no body."""

_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "404"})
_CHANGED: Final = frozenset({"PreconditionFailed", "412"})
_PASSES: Final = frozenset({"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"})  # fmt: skip


@contextmanager
def reading(what: str) -> Generator[None]:
    """Translate what a read raises; `what` begins the message."""
    try:
        yield
    except (BotoCoreError, ClientError, HTTPError, OSError) as failure:
        raise _translated(failure, what, Transient) from failure


@contextmanager
def writing(what: str) -> Generator[None]:
    """Translate what a write raises; `what` begins the message."""
    try:
        yield
    except (BotoCoreError, ClientError, HTTPError, OSError) as failure:
        raise _translated(failure, what, Unknown) from failure


def _translated(failure: Exception, what: str, after_sending: type[Transient]) -> Exception:
    words = f"S3: {what}: {type(failure).__name__}"
    match failure:
        case ClientError():
            status = int(cast("Any", failure).response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return by_code(code_of(failure), status, what, after_sending)
        case EndpointConnectionError() | ConnectTimeoutError() | SSLError():
            return Transient(words)
        case ParamValidationError():
            return Permanent(words)
        case _:
            return after_sending(words)


def code_of(failure: ClientError) -> str:
    """The error code in a refusal; of HEAD, whose answers have no body, the status."""
    return str(cast("Any", failure).response.get("Error", {}).get("Code", ""))


def by_code(code: str, status: int, what: str, after_sending: type[Transient]) -> Exception:
    """What an answer of the server with this error code and HTTP status means."""
    words = f"S3: {what}: {code[:80] or status}"
    if code in _CHANGED:
        return Changed(words)
    if code in _MISCONFIGURED:
        return Misconfigured(words)
    if code in _ABSENT:
        return Absent(words)
    if code in _PASSES or status in {429, 503}:
        return Transient(words)
    if status >= 500 or code == "InternalError":
        return after_sending(words)
    return Permanent(words)
