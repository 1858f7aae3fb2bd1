"""`headrace dead`: nothing is lost on the way back, and nothing goes for good unasked."""

from tests.integration.cli.conftest import Deployment
from tests.integration.cli.shapes import an_intent, conversation_in


def test_a_dead_letter_says_why_and_steers_no_terminal(deployment: Deployment) -> None:
    intent = an_intent(conversation_in(1), text="secret")
    deployment.append(intent)
    deployment.bury_everything(1)
    [row] = deployment.json("dead", "ls")
    assert (row["stage"], row["attempts"], row["id"]) == ("persist", 5, intent.intent_id)
    table = deployment.run("dead", "ls")
    assert "it burns" in table.stdout
    assert "\x1b" not in table.stdout
    shown = deployment.run("dead", "show", row["entry"]).stdout
    assert intent.conversation_id in shown
    assert "secret" not in shown
    assert "secret" in deployment.run("dead", "show", row["entry"], "--bodies").stdout


def test_a_retry_is_the_very_same_intent_and_the_letter_is_gone(deployment: Deployment) -> None:
    """D5: the original ids are kept, so the stages know what they have done"""
    here = conversation_in(2)
    deployment.append(an_intent(here), an_intent(here))
    first, second = deployment.intents(2)
    deployment.bury_everything(2)
    letters = deployment.json("dead", "ls")
    [row] = deployment.json("dead", "retry", letters[-1]["entry"])
    assert row["outcome"] == "sent again"
    assert deployment.intents(2) == [first, second, first]
    assert [letter["entry"] for letter in deployment.json("dead", "ls")] == [letters[0]["entry"]]
    deployment.json("dead", "retry", "--all", "--stage", "persist")
    assert deployment.intents(2) == [first, second, first, second]
    assert deployment.run("dead", "ls").stdout == ""


def test_what_is_not_there_can_not_be_retried_shown_or_dropped(deployment: Deployment) -> None:
    assert deployment.json("dead", "retry", "1/5-0", code=1) == [{"entry": "1/5-0", "outcome": "not there"}]
    assert deployment.json("dead", "drop", "1/5-0", "--yes", code=1) == [{"entry": "1/5-0", "outcome": "not there"}]
    assert deployment.run("dead", "show", "1/5-0").returncode == 1


def test_dropping_needs_a_yes_where_nobody_can_be_asked(deployment: Deployment) -> None:
    deployment.append(an_intent(conversation_in(0)))
    deployment.bury_everything(0)
    assert deployment.run("dead", "drop", "--all").returncode == 2
    assert len(deployment.json("dead", "ls")) == 1
    assert [row["outcome"] for row in deployment.json("dead", "drop", "--all", "--yes")] == ["dropped"]
    assert deployment.json("dead", "ls") == []


def test_which_ones_must_be_said(deployment: Deployment) -> None:
    assert deployment.run("dead", "retry").returncode == 2
    assert deployment.run("dead", "retry", "1/5-0", "--all").returncode == 2
    done = deployment.run("dead", "show", "yesterday's")
    assert done.returncode == 2
    assert "3/1795000000000-0" in done.stderr
