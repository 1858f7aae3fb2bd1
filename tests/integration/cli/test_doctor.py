"""`headrace doctor` on real servers: in order, away, set up wrongly."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backplane.errors import Permanent
from backplane.redis import Redis
from backplane.settings import load_settings
from backplane.store.mongo import Store
from tests.conftest import mongodb_url, redis_url
from tests.integration.cli.conftest import Deployment
from tests.services import Server, free_port, mongodb_server, redis_server
from tests.tls import Authority, tls_in_front_of

DEVELOPMENT = {"HEADRACE_ENVIRONMENT": "development"}
MACHINE = {"open files", "somaxconn", "python"}
"""What depends on where the test runs."""


def doctor(deployment: Deployment, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    """Its findings by what they are about; of several of one kind, the last."""
    done = deployment.run("doctor", "--json", **(DEVELOPMENT | environ))
    assert done.returncode == code, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        assert (row["fix"] is None) is (row["is"] == "ok"), row
    return {row["what"]: row for row in rows}


def wrong(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {what: row["is"] for what, row in rows.items() if row["is"] != "ok" and what not in MACHINE}


def on(server: Server, *commands: tuple[str, ...]) -> list[Any]:
    """Run commands as an administrator, over a connection that adopts nothing."""

    async def run() -> list[Any]:
        redis = await Redis.open(load_settings({}, environment="development", redis_url=redis_url(server)))
        connection = redis.plain_connection()
        replies = await connection.exchange(commands, 5)
        await connection.close()
        assert not any(isinstance(reply, Permanent) for reply in replies), replies
        return replies

    return asyncio.run(run())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A Redis of this test's own, to be set up wrongly."""
    server = redis_server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


def test_a_deployment_in_order_has_warnings_at_most_and_ends_with_0(deployment: Deployment) -> None:
    deployment.json("migrate")
    rows = doctor(deployment, 0)
    assert wrong(rows) == {
        "redis maxmemory": "warning", "redis appendfsync": "warning", "mongodb version": "warning"
    }  # fmt: skip
    assert "stand-in" in rows["mongodb version"]["seen"]
    assert rows["redis functions"]["is"] == rows["mongodb writes"]["is"] == rows["mongodb layout"]["is"] == "ok"


def test_every_finding_has_a_row_and_a_line_that_says_how_to_mend_it(deployment: Deployment) -> None:
    done = deployment.run("doctor", **DEVELOPMENT)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["WHAT", "IS", "SEEN"]
    assert "error: mongodb layout: `headrace migrate`" in lines
    assert "1 error" in done.stderr


def test_redis_away_is_an_error_and_mongodb_is_looked_at_all_the_same(deployment: Deployment) -> None:
    deployment.json("migrate")
    rows = doctor(deployment, 1, HEADRACE_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert rows["redis"]["is"] == "error"
    assert rows["mongodb layout"]["is"] == "ok"
    assert "redis version" not in rows


def test_mongodb_away_is_an_error_and_redis_is_looked_at_all_the_same(deployment: Deployment) -> None:
    away = {"HEADRACE_MONGODB_URL": "mongodb://127.0.0.1:1/", "HEADRACE_MONGODB_TIMEOUT_SECONDS": "1"}
    rows = doctor(deployment, 1, **away)
    assert rows["mongodb"]["is"] == "error"
    assert rows["redis functions"]["is"] == "ok"


def test_in_production_a_wrong_key_is_an_error_and_everything_else_is_looked_at(deployment: Deployment) -> None:
    deployment.json("migrate")
    rows = doctor(deployment, 1, HEADRACE_ENVIRONMENT="production", HEADRACE_SIGNING_KEY="none")
    assert rows["signing key"]["is"] == "error"
    assert rows["redis password"]["is"] == rows["mongodb password"]["is"] == "warning"
    assert rows["mongodb topology"]["is"] == "warning", "one member"
    assert rows["redis functions"]["is"] == rows["mongodb writes"]["is"] == "ok"


def test_settings_that_cannot_be_read_are_findings_too(deployment: Deployment) -> None:
    rows = doctor(deployment, 1, HEADRACE_PARTITIONS="0")
    assert "HEADRACE_PARTITIONS" in rows["settings"]["seen"]
    assert set(rows) >= MACHINE
    assert "redis" not in rows


def test_another_layout_is_seen_on_both_sides(deployment: Deployment) -> None:
    """C18"""
    deployment.json("migrate")
    rows = doctor(deployment, 1, HEADRACE_PARTITIONS="8")
    assert rows["redis layout"]["is"] == rows["mongodb layout"]["is"] == "error"


def test_an_index_that_is_gone_is_named(deployment: Deployment) -> None:
    async def drop(store: Store) -> None:
        await store.database["messages"].drop_index("conversation_id__seq")

    deployment.json("migrate")
    deployment.with_store(drop)
    row = doctor(deployment, 1)["mongodb layout"]
    assert "messages.conversation_id__seq" in row["seen"]
    assert row["fix"] == "`headrace migrate`"


def test_a_redis_that_is_set_up_wrongly(deployment: Deployment, own: Server) -> None:
    deployment.json("migrate")
    settings = {"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb", "appendonly": "no", "appendfsync": "no"}
    on(own, *(("CONFIG", "SET", name, value) for name, value in settings.items()))
    rows = doctor(deployment, 1, HEADRACE_REDIS_URL=redis_url(own))
    assert {what: level for what, level in wrong(rows).items() if what.startswith("redis")} == {
        "redis maxmemory-policy": "error",
        "redis appendonly": "error",
        "redis appendfsync": "warning",
    }
    assert "100 MiB" in rows["redis maxmemory"]["seen"]


def test_a_lossless_restart_that_is_none(deployment: Deployment, own: Server) -> None:
    claimed = {"HEADRACE_REDIS_URL": redis_url(own), "HEADRACE_REDIS_LOSSLESS_RESTART": "true"}
    deployment.json("migrate")
    assert doctor(deployment, 1, **claimed)["redis appendfsync"]["is"] == "error"
    on(own, ("CONFIG", "SET", "appendfsync", "always"))
    assert doctor(deployment, 0, **claimed)["redis appendfsync"]["is"] == "ok"


def test_a_replica_is_an_error(deployment: Deployment, own: Server) -> None:
    on(own, ("REPLICAOF", "127.0.0.1", str(free_port())))
    assert doctor(deployment, 1, HEADRACE_REDIS_URL=redis_url(own))["redis role"]["is"] == "error"


def test_what_an_acl_refuses_is_said(deployment: Deployment, own: Server) -> None:
    on(
        own,
        ("ACL", "SETUSER", "careful", "on", ">secret", "~*", "&*", "+@all", "-config"),
        ("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "&*", "-@all", "+ping", "+time", "+get"),
    )

    def url(user: str, password: str = "secret") -> str:
        return f"redis://{user}:{password}@127.0.0.1:{own.port}/0"

    deployment.json("migrate")
    rows = doctor(deployment, 0, HEADRACE_REDIS_URL=url("careful"))
    assert rows["redis appendfsync"]["is"] == "warning"
    assert "could not be read" in rows["redis appendfsync"]["seen"]
    rows = doctor(deployment, 1, HEADRACE_REDIS_URL=url("narrow"))
    assert (rows["redis INFO"]["is"], rows["redis functions"]["is"]) == ("error", "error")
    rows = doctor(deployment, 1, HEADRACE_REDIS_URL=url("careful", "wrong"))
    assert "password" in rows["redis"]["fix"]
    assert "secret" not in str(rows)


def test_it_leaves_nothing_behind_but_the_function_libraries(deployment: Deployment, own: Server) -> None:
    doctor(deployment, 1, HEADRACE_REDIS_URL=redis_url(own))
    keys, libraries = on(own, ("DBSIZE",), ("FUNCTION", "LIST"))
    assert keys == 0
    assert libraries

    async def documents(store: Store) -> int:
        names = await store.database.list_collection_names()  # the stand-in makes one for an update of nothing
        return sum([await store.database[name].count_documents({}) for name in names])

    assert deployment.with_store(documents) == 0


def test_a_mongodb_that_is_no_replica_set_is_an_error(deployment: Deployment, tmp_path: Path) -> None:
    server = mongodb_server(tmp_path / "mongodb")
    plain = server.command
    server.command = lambda folder, port: [*plain(folder, port), "--standalone"]
    server.start()
    try:
        rows = doctor(deployment, 1, HEADRACE_MONGODB_URL=mongodb_url(server))
    finally:
        server.kill()
    assert rows["mongodb topology"]["is"] == "error"
    assert "--replSet" in rows["mongodb topology"]["fix"]


def test_a_certificate_that_is_not_trusted_names_the_option_to_set(
    deployment: Deployment, redis: Server, mongodb: Server, tmp_path: Path
) -> None:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other", "other")
    deployment.json("migrate")
    with (
        tls_in_front_of(redis.port, authority.issue()) as of_redis,
        tls_in_front_of(mongodb.port, authority.issue()) as of_mongodb,
    ):

        def urls(ca: Path) -> dict[str, str]:
            return {
                "HEADRACE_REDIS_URL": f"rediss://127.0.0.1:{of_redis.port}/0?ssl_ca_certs={ca}",
                "HEADRACE_MONGODB_URL": f"mongodb://127.0.0.1:{of_mongodb.port}/?directConnection=true&tls=true&tlsCAFile={ca}",
            }

        assert doctor(deployment, 0, **urls(authority.path))["redis TLS"]["seen"] == "encrypted"
        rows = doctor(deployment, 1, **urls(other.path))
        assert "ssl_ca_certs" in rows["redis"]["fix"]
        assert "tlsCAFile" in rows["mongodb"]["fix"]
        rows = doctor(deployment, 1, **urls(tmp_path / "none.pem"))
        assert "none.pem" in rows["redis"]["seen"]
        assert "none.pem" in rows["mongodb"]["seen"]
