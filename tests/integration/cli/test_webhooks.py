"""`headrace webhooks` on a real deployment."""

import uuid

from backplane.store.deliveries import StoredDelivery
from backplane.store.mongo import Store
from backplane.store.webhooks import StoredWebhook
from schemas.ids import UserId
from tests.integration.cli.conftest import Deployment


def a_webhook(deployment: Deployment, **more: object) -> str:
    webhook = StoredWebhook(
        **{
            "webhook_id": str(uuid.uuid4()),
            "owner_id": UserId("ann"),
            "url": "https://hooks.example/in",
            "secret": "whsec_secret",
            "created_ms": 1_795_000_000_000,
            "active_ms": 1_795_000_000_000,
            "enabled": True,
            **more,
        }
    )

    async def work(store: Store) -> None:
        await store.migrate(deployment.settings.names)
        await store.webhooks.create(webhook)
        await store.deliveries.park(
            [
                StoredDelivery(
                    delivery_id=f"{webhook.webhook_id}:e{number}",
                    webhook_id=webhook.webhook_id,
                    partition=number,
                    at=str(number),
                    event_id=f"e{number}",
                    body="{}",
                    parked_ms=0,
                )
                for number in range(3)
            ]
        )

    deployment.with_store(work)
    return webhook.webhook_id


def test_ls_lists_them_and_never_their_secrets(deployment: Deployment) -> None:
    healthy = a_webhook(deployment)
    failing = a_webhook(deployment, created_ms=1_795_000_000_001, failures=3, failing_since_ms=1_795_000_000_000)
    rows = deployment.json("webhooks", "ls")
    assert [(row["webhook_id"], row["state"]) for row in rows] == [(healthy, "enabled"), (failing, "failing")]
    assert [row["webhook_id"] for row in deployment.json("webhooks", "ls", "--failing")] == [failing]
    shown = deployment.run("webhooks", "ls")
    assert "hooks.example" in shown.stdout
    assert "whsec" not in shown.stdout


def test_show_tells_what_waits(deployment: Deployment) -> None:
    webhook_id = a_webhook(deployment, last_error="answered 500")
    (row,) = deployment.json("webhooks", "show", webhook_id)
    assert (row["waiting"], row["last_error"], row["state"]) == (3, "answered 500", "enabled")
    assert "secret" not in row


def test_one_that_is_disabled_says_why_and_what_waited_is_gone_and_enabling_wipes_the_slate(
    deployment: Deployment,
) -> None:
    webhook_id = a_webhook(deployment, failures=7)
    (off,) = deployment.json("webhooks", "disable", webhook_id, "--reason", "asked by mail")
    assert (off["state"], off["disabled_reason"], off["waiting"]) == ("disabled", "asked by mail", 0)
    (again,) = deployment.json("webhooks", "disable", webhook_id)
    assert again["disabled_reason"] == "asked by mail", "the first reason stays"
    (on,) = deployment.json("webhooks", "enable", webhook_id)
    assert (on["state"], on["disabled_reason"], on["failures"]) == ("enabled", None, 0)


def test_one_that_is_not_there_fails(deployment: Deployment) -> None:
    a_webhook(deployment)
    missing = str(uuid.uuid4())
    for verb in ("show", "enable", "disable"):
        done = deployment.run("webhooks", verb, missing)
        assert done.returncode == 1
        assert "is not there" in done.stderr
    assert deployment.run("webhooks", "show", "changed").returncode == 2


def test_no_webhooks_is_said(deployment: Deployment) -> None:
    deployment.with_store(lambda store: store.migrate(deployment.settings.names))
    done = deployment.run("webhooks", "ls")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no webhooks" in done.stderr
