"""`headrace replay`: a dry run changes nothing, a real one sends exactly what was selected, unchanged and once."""

import time

import pytest

from backplane.logs import Logs
from backplane.redis import Redis
from tests.integration.cli.conftest import Deployment
from tests.integration.cli.shapes import a_mark, an_intent, conversation_in
from tests.integration.store.shapes import a_user


def test_a_dry_run_counts_shows_a_few_and_sends_nothing(deployment: Deployment) -> None:
    deployment.append(*(an_intent(conversation_in(1)) for _ in range(8)))
    [found] = deployment.json("replay", "--all")
    assert (found["matched"], found["sent"], len(found["sample"])) == (8, 0, 5)
    assert len(deployment.intents(1)) == 8
    assert "--execute" in deployment.run("replay", "--all").stderr


def test_what_is_executed_is_sent_once_unchanged_and_in_order(deployment: Deployment) -> None:
    """What is appended by the replay itself is not replayed."""
    here = conversation_in(3)
    deployment.append(*(an_intent(here, text=str(number)) for number in range(700)))
    before = deployment.intents(3)
    [found] = deployment.json("replay", "--all", "--execute", "--rate", "100000")
    assert (found["matched"], found["sent"]) == (700, 700)
    assert deployment.intents(3) == before + before
    (noted,) = deployment.with_store(lambda store: store.database["audit"].find({}).to_list())
    assert noted["event"] == "streams.replayed"
    assert noted["actor"].startswith("operator:")
    assert noted["detail"] == {"streams": ["intents", "receipts"], "entries": 700, "of": {}}


def test_marks_are_sent_again_too_behind_the_intents(deployment: Deployment) -> None:
    here, there = conversation_in(3), conversation_in(1)
    deployment.append(an_intent(here), an_intent(there))
    deployment.append_marks(*(a_mark(here, number) for number in range(1, 4)), a_mark(there, actor_id="bob"))
    [dry] = deployment.json("replay", "--all")
    assert [row["type"] for row in dry["sample"]] == ["message.send", "message.send", "receipt", "receipt", "receipt"]
    before = deployment.marks(3)
    [found] = deployment.json("replay", "--all", "--execute")
    assert (found["matched"], found["sent"]) == (6, 6)
    assert deployment.marks(3) == before + before
    assert deployment.json("replay", "--user", "bob")[0]["matched"] == 2


@pytest.mark.parametrize(("stream", "counts"), [("intents", (2, 2)), ("receipts", (1, 4))], ids=["intents", "receipts"])
def test_one_of_the_streams_can_be_sent_alone(deployment: Deployment, stream: str, counts: tuple[int, int]) -> None:
    here = conversation_in(2)
    deployment.append(an_intent(here))
    deployment.append_marks(a_mark(here, 1), a_mark(here, 2))
    [found] = deployment.json("replay", "--all", "--stream", stream, "--execute")
    assert found["sent"] == (1 if stream == "intents" else 2)
    assert (len(deployment.intents(2)), len(deployment.marks(2))) == counts
    [entry] = [row["entry"] for row in deployment.json("streams", "tail", "receipts", "-n", "1")]
    assert deployment.json("replay", "--entry", entry)[0]["sample"][0]["type"] == "receipt"
    assert deployment.run("replay", "--entry", entry, "--stream", "intents").returncode == 1


def test_the_rate_is_kept(deployment: Deployment) -> None:
    deployment.append(*(an_intent(conversation_in(0)) for _ in range(30)))
    began = time.monotonic()
    deployment.json("replay", "--all", "--execute", "--rate", "20")
    assert time.monotonic() - began >= 1.5


def test_selections_hold_all_at_once(deployment: Deployment) -> None:
    here, there = conversation_in(1), conversation_in(1)
    mine = an_intent(here, actor_id="ada")
    deployment.append(mine, an_intent(here, actor_id="bob"), an_intent(there, actor_id="ada"))
    [by_conversation] = deployment.json("replay", "--conversation", here)
    assert by_conversation["matched"] == 2
    [both] = deployment.json("replay", "--conversation", here, "--user", "ada")
    assert [row["id"] for row in both["sample"]] == [mine.intent_id]
    [by_partition] = deployment.json("replay", "-p", "2")
    assert by_partition["matched"] == 0
    assert deployment.run("replay", "--conversation", here, "-p", "2").returncode == 1


def test_a_range_and_single_entries_are_found_by_their_ids(deployment: Deployment) -> None:
    here = conversation_in(2)
    deployment.append(*(an_intent(here) for _ in range(5)))
    entries = [row["entry"] for row in deployment.json("streams", "tail", "intents")]
    second, fourth = (entry.partition("/")[2] for entry in (entries[1], entries[3]))
    [found] = deployment.json("replay", "--from", second, "--to", fourth)
    assert [row["entry"] for row in found["sample"]] == entries[1:4]
    [found] = deployment.json("replay", "--entry", entries[4], "--entry", entries[0])
    assert [row["entry"] for row in found["sample"]] == [entries[0], entries[4]]
    [found] = deployment.json("replay", "--from", "1h")
    assert found["matched"] == 5
    [found] = deployment.json("replay", "--to", "2020-01-01T00:00:00Z")
    assert found["matched"] == 0
    assert deployment.run("replay", "--entry", "2/5-0").returncode == 1


def test_what_nobody_can_read_is_left_out_and_told(deployment: Deployment) -> None:
    async def scribble(redis: Redis) -> None:
        await redis.command("XADD", deployment.names.intents(0), "*", "i", "{}")
        await redis.command("XADD", deployment.names.receipts(0), "*", "m", "{}")

    deployment.with_redis(scribble)
    [found] = deployment.json("replay", "--all", "--execute")
    assert (found["matched"], found["unreadable"], found["sent"]) == (0, 2, 0)


@pytest.mark.parametrize(
    "wrong", [[], ["--entry", "1/1-0", "--from", "5m"], ["--from", "soon"], ["--all", "--rate", "0"]]
)
def test_a_selection_must_be_said_and_make_sense(deployment: Deployment, wrong: list[str]) -> None:
    assert deployment.run("replay", *wrong).returncode == 2


def test_a_users_log_is_thrown_away_so_that_their_clients_resync(deployment: Deployment) -> None:
    ada = a_user("ada")
    settings = deployment.settings

    async def open_log(redis: Redis) -> int:
        logs = Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)
        return (await logs.open(ada.user_id)).position.epoch

    assert deployment.with_store(lambda store: store.users.create(ada))
    epoch = deployment.with_redis(open_log)
    [dry] = deployment.json("replay", "user", ada.user_id)
    assert (dry["epoch"], dry["dropped"]) == (str(epoch), False)
    assert deployment.with_redis(open_log) == epoch
    [done] = deployment.json("replay", "user", ada.user_id, "--execute")
    assert done["dropped"] is True
    assert deployment.with_redis(open_log) != epoch
    assert deployment.run("replay", "user", "nobody", "--execute").returncode == 1
