"""Makes a fresh `mongod` a replica set of one member, as `headrace up` needs it; production sets are made by their operators."""

from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

NOT_YET_INITIALIZED = 94
SET_NAME = "rs0"


async def initiate(url: str, host: str) -> bool:
    """Make the server at `url` (a direct connection) the only member, at address `host`; True once it is the primary.

    Idempotent: a set that exists is kept, and only told its new address if that has changed.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        url, directConnection=True, serverSelectionTimeoutMS=1000, timeoutMS=2000
    )
    try:
        hello = await client.admin.command("hello")
        if not hello.get("isWritablePrimary"):
            await _configure(client, host)
            hello = await client.admin.command("hello")
        return bool(hello.get("isWritablePrimary"))
    except PyMongoError:
        return False  # it is starting or electing itself: the caller asks again
    finally:
        await client.close()


async def _configure(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    config: dict[str, Any] = {"_id": SET_NAME, "version": 1, "members": [{"_id": 0, "host": host}]}
    try:
        present = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as failure:
        if failure.code != NOT_YET_INITIALIZED:
            raise
        await client.admin.command("replSetInitiate", config)
        return
    if [member["host"] for member in present["members"]] != [host]:
        # It does not know itself by its old address, so there is no primary that could be asked: `force`.
        await client.admin.command("replSetReconfig", config | {"version": present["version"] + 1}, force=True)
