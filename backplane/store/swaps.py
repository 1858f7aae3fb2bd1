"""Compare and set: a document is changed only if nobody changed it since it was read.

A zombie's late change, computed from what it had read, can so never undo a newer one (hole B6), and our own repeat after an unknown
outcome is found done.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from backplane.store.documents import Collection, Document, chunks, to_document
from backplane.store.failures import reading, refused_indexes, writing

_ONE_COMMAND = 500


class Swap(NamedTuple):
    """One document's change: `fields` are set and `absent` removed where `guard` still has the value `before`; None: it is new."""

    key: str
    shard: Document
    """The shard key, where that is not `_id`."""
    guard: str
    before: int | None
    fields: Document
    absent: tuple[str, ...] = ()


def fields_of(struct: msgspec.Struct, names: Sequence[str]) -> tuple[Document, tuple[str, ...]]:
    """Of the named fields, those that have something to say, and those at their default, which documents leave out."""
    document = to_document(struct)
    return (
        {name: document[name] for name in names if name in document},
        tuple(name for name in names if name not in document),
    )


async def swap(collection: Collection, swaps: Sequence[Swap]) -> bool:
    """Make these changes in their order, each at most once; safe to repeat. False if a document was changed meanwhile by somebody else.

    Raises:
        Unknown: some may be made; make the identical changes again (hole C6).
        Transient: nothing was changed.
    """
    for chunk in chunks(swaps, _ONE_COMMAND):
        if not await _swap_chunk(collection, chunk):
            return False
    return True


async def _swap_chunk(collection: Collection, swaps: Sequence[Swap]) -> bool:
    with writing():
        try:
            done = await collection.bulk_write([_write(one) for one in swaps], ordered=True)
            if done.matched_count + done.inserted_count == len(swaps):
                return True
        except BulkWriteError as failure:
            refused_indexes(failure)  # there is one already: ours, or somebody else's
    return await _are_done(collection, swaps)


def _write(one: Swap) -> InsertOne[Document] | UpdateOne:
    if one.before is None:
        return InsertOne({"_id": one.key, **one.shard, **one.fields})
    guard = {one.guard: one.before or {"$exists": False}}
    change: Document = {"$set": one.fields}
    if one.absent:
        change["$unset"] = dict.fromkeys(one.absent, "")
    return UpdateOne({"_id": one.key, **one.shard, **guard}, change)


async def _are_done(collection: Collection, swaps: Sequence[Swap]) -> bool:
    """Whether every document is as these changes would leave it."""
    stored: dict[str, Document] = {}
    for chunk in chunks([one.key for one in swaps]):
        with reading():
            found = await collection.find({"_id": {"$in": list(chunk)}}).to_list()
        stored |= {document["_id"]: document for document in found}
    newest = {one.key: one for one in swaps}
    return all(_is_done(one, stored.get(one.key)) for one in newest.values())


def _is_done(one: Swap, stored: Document | None) -> bool:
    if stored is None or any(name in stored for name in one.absent):
        return False
    return all(stored.get(name) == value for name, value in one.fields.items())
