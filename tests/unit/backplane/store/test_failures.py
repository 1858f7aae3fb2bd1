"""What the driver raises, as we call it: a write is done, refused, or unknown, and never taken for done without the majority's word."""

from contextlib import AbstractContextManager

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from backplane.errors import Permanent, Transient, Unknown
from backplane.store.failures import reading, refused_indexes, writing

NO_MAJORITY = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
DUPLICATE = {"index": 1, "code": 11000, "errmsg": "E11000 duplicate key"}


def bulk(*errors: dict[str, object], majority: bool = True) -> BulkWriteError:
    return BulkWriteError({"writeErrors": list(errors), "writeConcernErrors": [] if majority else [NO_MAJORITY]})


def raised(within: AbstractContextManager[None], failure: Exception) -> type[Exception]:
    with pytest.raises(Exception) as caught, within:  # noqa: PT011  which one it is, is what is asked
        raise failure
    return caught.type


@pytest.mark.parametrize(
    "failure",
    [
        WriteConcernError("no majority in time", 64, NO_MAJORITY),
        WTimeoutError("no majority in time", 64, NO_MAJORITY),
        WriteConcernError("the primary stepped down meanwhile", 91),
        bulk(majority=False),
        bulk(DUPLICATE, majority=False),
        AutoReconnect("connection closed"),
        NetworkTimeout("timed out"),
        NotPrimaryError("not primary", {"code": 10107}),
        OperationFailure("operation exceeded time limit", 50),
        OperationFailure("interrupted by an election", 11602),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_write_without_the_majority_s_word_is_unknown_and_such_a_read_was_not_done(failure: PyMongoError) -> None:
    """C5"""
    assert raised(writing(), failure) is Unknown
    assert raised(reading(), failure) is Transient


def test_a_refusal_by_an_index_counts_only_with_the_majority_behind_it() -> None:
    """C5: what was found there may roll back with the member that held it."""
    assert refused_indexes(bulk(DUPLICATE, DUPLICATE | {"index": 0})) == [0, 1]
    alone = bulk(DUPLICATE, majority=False)
    with pytest.raises(BulkWriteError) as caught:
        refused_indexes(alone)
    assert caught.value is alone


def test_a_bulk_with_any_other_error_is_not_taken_for_duplicates() -> None:
    with pytest.raises(BulkWriteError):
        refused_indexes(bulk(DUPLICATE, {"index": 2, "code": 121, "errmsg": "does not pass validation"}))


@pytest.mark.parametrize("failure", [ServerSelectionTimeoutError("no primary"), OperationFailure("not authorized", 13)])
def test_what_never_left_or_was_refused_to_us_is_transient(failure: PyMongoError) -> None:
    assert raised(writing(), failure) is Transient


@pytest.mark.parametrize(
    "failure",
    [
        DuplicateKeyError("E11000", 11000),
        OperationFailure("does not pass validation", 121),
        bulk({"index": 0, "code": 121, "errmsg": "does not pass validation"}),
        InvalidDocument("not a document"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_will_be_refused_again_is_permanent(failure: Exception) -> None:
    assert raised(writing(), failure) is Permanent


def test_a_lost_connection_of_any_kind_is_never_permanent() -> None:
    assert raised(writing(), ConnectionFailure("reset")) is Unknown
