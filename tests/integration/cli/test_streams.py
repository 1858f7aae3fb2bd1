"""`headrace streams` and `headrace groups`: what is there is shown as it is, and what is not known is not called zero."""

import json
import os
import selectors
import subprocess
import sys
import time

import pytest

from backplane.redis import Redis
from schemas.ids import IntentId, UserId
from schemas.marks import Mark, encode_mark
from schemas.names import MARK_FIELD
from tests.integration.cli.conftest import Deployment
from tests.integration.cli.shapes import an_intent, conversation_in


def test_every_stream_of_every_partition_is_listed(deployment: Deployment) -> None:
    deployment.append(*(an_intent(conversation_in(2)) for _ in range(3)))
    rows = deployment.json("streams", "ls")
    assert len(rows) == 16
    counts = {(row["partition"], row["stream"]): row["entries"] for row in rows}
    assert counts.pop((2, "intents")) == 3
    assert set(counts.values()) == {0}
    table = deployment.run("streams", "ls", "-p", "2").stdout.splitlines()
    assert table[0].split() == ["PARTITION", "STREAM", "ENTRIES", "BYTES", "FIRST", "LAST"]
    assert len(table) == 5


def test_a_partition_that_is_not_there_is_wrong_usage(deployment: Deployment) -> None:
    done = deployment.run("streams", "ls", "-p", "4")
    assert done.returncode == 2
    assert "0 to 3" in done.stderr


def test_the_tail_is_in_order_over_partitions_and_keeps_what_was_said_to_itself(deployment: Deployment) -> None:
    sent = [an_intent(conversation_in(number % 4), text=f"secret {number}") for number in range(8)]
    for intent in sent:
        deployment.append(intent)
        time.sleep(0.002)  # the ids of one millisecond are alike in all partitions
    done = deployment.run("streams", "tail", "intents", "-n", "5", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in rows] == [intent.intent_id for intent in sent[3:]]
    assert "secret" not in done.stdout
    assert "secret 7" in deployment.run("streams", "tail", "intents", "-n", "1", "--bodies").stdout


def test_marks_are_shown_with_who_has_read_what(deployment: Deployment) -> None:
    here = conversation_in(1)
    mark = Mark(IntentId("m-1"), here, UserId("ann"), 1, read_seq=7, private=True)

    async def append(redis: Redis) -> None:
        await redis.command("XADD", deployment.names.receipts(1), "*", MARK_FIELD, encode_mark(mark))
        await redis.command("XADD", deployment.names.receipts(1), "*", MARK_FIELD, b"?")

    deployment.with_redis(append)
    shown, unreadable = deployment.json("streams", "tail", "receipts")
    assert (shown["user"], shown["conversation_id"], shown["note"]) == ("ann", here, "delivered 0, read 7, in private")
    assert unreadable["type"] == "unreadable"


def test_an_entry_that_is_none_of_ours_is_shown_as_unreadable(deployment: Deployment) -> None:
    async def scribble(redis: Redis) -> None:
        await redis.command("XADD", deployment.names.intents(0), "*", "x", "y")

    deployment.with_redis(scribble)
    [row] = deployment.json("streams", "tail", "intents")
    assert row["type"] == "unreadable"


def test_following_shows_what_comes(deployment: Deployment) -> None:
    here = conversation_in(1)
    deployment.append(an_intent(here))
    command = [sys.executable, "-P", "-m", "cli.main", "streams", "tail", "intents", "-f", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=deployment.environ) as follower:
        assert follower.stdout is not None
        try:
            first = json.loads(_line(follower.stdout))
            later = an_intent(here)
            deployment.append(later)
            assert json.loads(_line(follower.stdout))["id"] == later.intent_id != first["id"]
        finally:
            follower.terminate()


def _line(stream: object) -> bytes:
    """One line, within 30 s."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        line, deadline = b"", time.monotonic() + 30
        while not line.endswith(b"\n") and selector.select(deadline - time.monotonic()):
            line += os.read(stream.fileno(), 1)
    return line


def test_one_partition_is_shown_with_its_groups_and_keys(deployment: Deployment) -> None:
    deployment.append(an_intent(conversation_in(3)))
    deployment.bury_everything(3)
    [facts] = deployment.json("streams", "info", "3")
    assert {row["stream"]: row["entries"] for row in facts["streams"]} == {
        "intents": 1,
        "events": 0,
        "receipts": 0,
        "dead": 1,
    }
    assert [(group["name"], group["pending"]) for group in facts["groups"] if group["stream"] == "intents"] == [
        ("persist", 0)
    ]
    assert any(row["key"].endswith("lease:persist") and row["value"] == "worker-1" for row in facts["keys"])


def test_groups_show_owner_and_lag_and_call_the_unknown_unknown(deployment: Deployment) -> None:
    deployment.append(an_intent(conversation_in(1)), an_intent(conversation_in(2)))
    deployment.bury_everything(1)
    rows = {row["partition"]: row for row in deployment.json("groups", "--stage", "persist")}
    assert (rows[1]["owner"], rows[1]["lag"], rows[1]["pending"]) == ("worker-1", 0, 0)
    assert rows[2]["owner"] is None
    assert rows[2]["lag"] is None, "there are entries and no group: unknown, never zero"


@pytest.mark.parametrize(("partition", "code"), [("1", 0), ("2", 1)])
def test_a_limit_on_age_fails_for_what_waits_and_for_what_is_unknown(
    deployment: Deployment, partition: str, code: int
) -> None:
    deployment.append(an_intent(conversation_in(1)), an_intent(conversation_in(2)))
    deployment.bury_everything(1)
    done = deployment.run("groups", "--stage", "persist", "-p", partition, "--max-age", "600")
    assert done.returncode == code, done.stderr


def test_an_optional_stage_that_nobody_runs_is_late_only_if_it_is_asked_for(deployment: Deployment) -> None:
    async def an_event(redis: Redis) -> None:
        stream = deployment.names.events(1)
        await redis.command("XADD", stream, "*", "h", "x")
        await redis.command("XGROUP", "CREATE", stream, "fanout", "$")

    deployment.with_redis(an_event)
    assert deployment.run("groups", "-p", "1", "--max-age", "600").returncode == 0
    assert deployment.run("groups", "-p", "1", "--max-age", "600", "--stage", "webhooks").returncode == 1


def test_a_redis_that_is_away_is_exit_code_3_in_one_line(deployment: Deployment) -> None:
    done = deployment.run("groups", HEADRACE_REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
