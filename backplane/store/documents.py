"""How our structs become documents and come back, and how many are asked for at once.

A struct's field that is the key is renamed to `_id`; fields at their default are left out, so that a sparse index holds only
those that have something to say.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from backplane.store.failures import reading

Document = dict[str, Any]
Collection = AsyncCollection[Document]
Database = AsyncDatabase[Document]

CHUNK: Final = 50
"""Values of one `$in`: the embedded stand-in takes quadratic time over more."""

_BATCH: Final = 10_000
"""Documents of one answer; by itself a server stops after 101, and is asked once more."""

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


def to_document(struct: msgspec.Struct) -> Document:
    """The document of a struct."""
    return msgspec.to_builtins(struct)


def from_document(document: Document, kind: type[S]) -> S:
    """The struct of a document; fields that it does not know are passed over, so that a newer version may add some."""
    return msgspec.convert(document, kind)


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """`values` in pieces of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))


async def find_in(collection: Collection, field: str, values: Sequence[str], kind: type[S]) -> list[S]:
    """All documents whose `field` is one of `values`; in no order.

    Raises:
        Transient: MongoDB is away.
    """
    found: list[S] = []
    for chunk in chunks(list(dict.fromkeys(values))):
        with reading():
            documents = await collection.find({field: {"$in": list(chunk)}}, batch_size=_BATCH).to_list()
        found.extend(from_document(document, kind) for document in documents)
    return found


async def find_range(
    collection: Collection,
    equal: Document,
    field: str,
    *,
    low: int,
    high: int,
    limit: int = 0,
    descending: bool = False,
) -> list[Document]:
    """Documents with the values `equal` and `low < field <= high`, in the order of `field`; `limit` 0 means all.

    Both ends are bound, so that the embedded stand-in reads no more than asked for.

    Raises:
        Transient: MongoDB is away.
    """
    with reading():
        return (
            await collection.find({**equal, field: {"$gt": low, "$lte": high}})
            .sort(field, DESCENDING if descending else ASCENDING)
            .limit(limit)
            .to_list()
        )
