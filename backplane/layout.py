"""Both sides agree on the layout: MongoDB keeps it, Redis holds a copy that a flush may take away (hole C18)."""

import orjson

from backplane.redis import Redis
from backplane.store.mongo import LayoutMismatch, Store
from schemas.names import Names


async def check_layout(redis: Redis, store: Store, names: Names) -> None:
    """Refuse to serve with another layout than the deployment's; gives Redis its copy if that is gone.

    Raises:
        LayoutMismatch: MongoDB is not migrated or holds another layout, or this Redis belongs to another deployment.
        Transient: MongoDB or Redis is away.
    """
    await store.check(names)
    ours = orjson.dumps({"partitions": names.partitions, "shards": names.shards}, option=orjson.OPT_SORT_KEYS)
    await redis.command("SET", names.layout(), ours, "NX")
    copy = await redis.command("GET", names.layout())
    if copy != ours:
        raise LayoutMismatch(
            f"Redis key {names.layout()} says {copy!r}, MongoDB says {ours!r}: this Redis belongs to another deployment; "
            "set HEADRACE_REDIS_URL or HEADRACE_NAMESPACE right, or delete the key if the other deployment is gone"
        )
