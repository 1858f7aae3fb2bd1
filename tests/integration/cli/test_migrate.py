"""`headrace migrate`: the one step that makes a database a deployment."""

from backplane.redis import Redis
from tests.integration.cli.conftest import Deployment


def test_a_new_database_is_refused_by_the_check_then_migrated_then_accepted(deployment: Deployment) -> None:
    """C18"""
    refused = deployment.run("migrate", "--check")
    assert refused.returncode == 1
    assert "headrace migrate" in refused.stderr
    did = deployment.json("migrate")
    assert any("layout" in row["did"] for row in did)
    assert deployment.json("migrate") == []
    assert deployment.run("migrate", "--check").returncode == 0


def test_another_layout_is_refused_by_every_command_with_the_settings_to_mend(deployment: Deployment) -> None:
    """C18"""
    deployment.json("migrate")
    for command in (["migrate"], ["migrate", "--check"], ["streams", "ls"], ["replay", "--all"]):
        done = deployment.run(*command, HEADRACE_PARTITIONS="8")
        assert done.returncode == 1, command
        assert "HEADRACE_PARTITIONS" in done.stderr


def test_redis_gets_its_copy_back(deployment: Deployment) -> None:
    async def forget(redis: Redis) -> int:
        return await redis.command("DEL", deployment.names.layout())

    deployment.json("migrate")
    assert deployment.with_redis(forget) == 1
    deployment.json("migrate")
    assert deployment.with_redis(forget) == 1


def test_a_mongodb_that_is_away_is_exit_code_3_in_one_line(deployment: Deployment) -> None:
    done = deployment.run(
        "migrate", HEADRACE_MONGODB_URL="mongodb://127.0.0.1:1/", HEADRACE_MONGODB_TIMEOUT_SECONDS="1"
    )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
