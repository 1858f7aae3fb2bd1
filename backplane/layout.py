"""Both sides agree on the layout: MongoDB keeps it, Redis holds a copy that a flush may take away (hole C18)."""

import orjson

from backplane.redis import Redis
from backplane.store.mongo import LayoutMismatch, Store
from schemas.names import Names


async def check_layout(redis: Redis, store: Store, names: Names) -> None:
    """Refuse to serve with another layout than the deployment's; gives Redis its copy if that is gone.

    Raises:
        LayoutMismatch: MongoDB holds another layout, or this Redis belongs to another deployment.
        NotMigrated: MongoDB is not migrated, or not yet wholly.
        Transient: MongoDB or Redis is away.
    """
    await store.check(names)
    await redis.command("SET", names.layout(), _copy(names), "NX")
    await check_copy(redis, names)


async def check_copy(redis: Redis, names: Names) -> None:
    """Compare with Redis' copy alone, if it has one: for tools that need no MongoDB.

    Raises:
        LayoutMismatch: this Redis belongs to another deployment, or the settings name another layout.
        Transient: Redis is away.
    """
    compare_copy(names, await redis.command("GET", names.layout()))


def compare_copy(names: Names, copy: bytes | None) -> None:
    """Compare with what Redis' key of the layout holds; None: it has none yet.

    Raises:
        LayoutMismatch: it is another.
    """
    if copy is not None and copy != _copy(names):
        raise LayoutMismatch(
            f"Redis key {names.layout()} says {copy.decode(errors='replace')}, the settings say {_copy(names).decode()}: set "
            "HEADRACE_PARTITIONS, HEADRACE_SHARDS and HEADRACE_NAMESPACE as they were at the deployment's birth; if this Redis "
            "belonged to another deployment that is gone, delete the key"
        )


def _copy(names: Names) -> bytes:
    return orjson.dumps({"partitions": names.partitions, "shards": names.shards})
