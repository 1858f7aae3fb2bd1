"""Redis and MongoDB as `deploy/` sets them up, with passwords of the test's own."""

import hashlib
import re
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.services import Server, mongodb_server, redis_server
from tests.unit.deploy.acl import PATH
from tests.unit.deploy.roles import roles

GATEWAY, CONSUMERS, OPS = "headrace-gateway", "headrace-consumers", "headrace-ops"
ROLES = {GATEWAY: "headraceGateway", CONSUMERS: "headraceConsumers", OPS: "headraceOps"}
DATABASE = "headrace"
ADMIN = "admin"


def password(user: str) -> str:
    return f"{user}-secret"


def redis_with_users(folder: Path) -> Server:
    """Not started yet. Beside the users of the file there is an administrator, who is the test."""
    server = redis_server(folder)
    lines = [
        *map(_with_password, PATH.read_text(encoding="ascii").splitlines()),
        f"user {ADMIN} on >{password(ADMIN)} ~* &* +@all",
    ]
    acl = folder / "users.acl"
    acl.write_text("\n".join(lines) + "\n", encoding="ascii")
    plain = server.command
    # DEBUG is let in by the server, so that it is the file that refuses it.
    server.command = lambda data, port: [*plain(data, port), "--aclfile", str(acl), "--enable-debug-command", "local"]
    return server


def _with_password(line: str) -> str:
    name = line.split()[1]
    return re.sub(r"#REPLACE-\S+", "#" + hashlib.sha256(password(name).encode()).hexdigest(), line)


def redis_url(server: Server, user: str) -> str:
    return f"redis://{user}:{password(user)}@127.0.0.1:{server.port}/0"


def mongodb_with_roles(folder: Path) -> Server:
    """Not started yet; started, it asks for a user and a password.

    The stand-in holds a role to its actions in the whole database, not to those on each collection: `recorded` looks at these.
    """
    server = mongodb_server(folder)
    server.start()
    with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{server.port}/") as client:
        database = client[DATABASE]
        for role, collections in roles().items():
            privileges = [
                {"resource": {"db": DATABASE, "collection": collection}, "actions": sorted(actions)}
                for collection, actions in collections.items()
                if actions
            ]
            database.command("createRole", role, privileges=privileges, roles=[])
        for user, role in ROLES.items():
            database.command("createUser", user, pwd=password(user), roles=[role])
    server.kill()
    plain = server.command
    server.command = lambda data, port: [*plain(data, port), "--auth"]
    return server


def mongodb_url(server: Server, user: str) -> str:
    return f"mongodb://{user}:{password(user)}@127.0.0.1:{server.port}/?authSource={DATABASE}"
