"""The driver's exceptions as `backplane.errors`, translated here and nowhere else.

A read that failed was not done: `Transient`. A write that failed on its way may have been done: `Unknown`, also when the server
gave up waiting for the majority (hole C5). What the server refused by its own rules stays refused: `Permanent`.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from backplane.errors import Permanent, Transient, Unknown

DUPLICATE_KEY: Final = 11000

_REFUSED_BEFORE: Final = frozenset({13, 18, 14031})
"""Unauthorized, AuthenticationFailed, OutOfDiskSpace: the deployment is at fault, not the request. Calling it permanent
would send every message to the dead letters while a password is being changed."""

_MAY_RETRY: Final = frozenset({6, 7, 50, 64, 89, 91, 112, 133, 134, 189, 202, 234, 246, 262, 290, 317, 384, 9001, 10107, 11600, 11602, 13388, 13435, 13436, 63, 150})  # fmt: skip
"""Server errors that pass: host and network errors, MaxTimeMSExpired, write conflicts, elections, stale shard versions (MongoDB's
`error_codes.yml`, categories RetriableError, NetworkError, NotPrimaryError, Interruption, StaleShardVersionError)."""


@contextmanager
def reading() -> Generator[None]:
    """Translate what a read raises: `Transient`, or `Permanent` for a request that can never succeed."""
    try:
        yield
    except (PyMongoError, BSONError) as failure:
        raise _translated(failure, Transient) from failure


@contextmanager
def writing() -> Generator[None]:
    """Translate what a write raises: `Transient` if it never left, `Unknown` if it may have been applied, else `Permanent`."""
    try:
        yield
    except (PyMongoError, BSONError) as failure:
        raise _translated(failure, Unknown) from failure


def _translated(failure: Exception, after_sending: type[Transient]) -> Exception:
    words = f"MongoDB: {type(failure).__name__}: {_brief(failure)}"
    match failure:
        case ServerSelectionTimeoutError() | WaitQueueTimeoutError() | InvalidOperation():
            return Transient(words)
        case WriteConcernError():
            return after_sending(words)
        case BulkWriteError():
            return _translated_bulk(failure, after_sending, words)
        case OperationFailure():
            return _by_code(failure.code, after_sending, words)
        case BSONError() | DocumentTooLarge() | ConfigurationError():
            return Permanent(words)
        case _:
            return after_sending(words)


def _brief(failure: Exception) -> str:
    """The driver's words without its description of the whole topology."""
    return re.split(r" \(configured timeouts|, Timeout: ", str(failure), maxsplit=1)[0][:300]


def _translated_bulk(failure: BulkWriteError, after_sending: type[Transient], words: str) -> Exception:
    if failure.details.get("writeConcernErrors"):
        return after_sending(words)
    codes = [error["code"] for error in failure.details.get("writeErrors", ())]
    return _by_code(codes[0] if codes else None, after_sending, words)


def _by_code(code: int | None, after_sending: type[Transient], words: str) -> Exception:
    if code in _REFUSED_BEFORE:
        return Transient(words)
    if code is None or code in _MAY_RETRY:
        return after_sending(words)
    return Permanent(words)


def refused_indexes(failure: BulkWriteError) -> list[int]:
    """Which documents of a bulk write hit a unique index, in order.

    Raises:
        BulkWriteError: the very same, if something else went wrong too or the majority was not reached.
    """
    errors = failure.details.get("writeErrors", [])
    if failure.details.get("writeConcernErrors") or any(error["code"] != DUPLICATE_KEY for error in errors):
        raise failure
    return sorted(error["index"] for error in errors)
