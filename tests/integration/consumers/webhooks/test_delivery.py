"""Webhooks on real servers: intents → events → a receiver, whatever dies or fails on the way."""

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backplane.leases import Leases
from backplane.settings import Settings
from backplane.store.webhooks import StoredWebhook
from backplane.streams import Partition
from schemas.ids import ConversationId, UserId
from schemas.stages import STAGES, StageName
from tests.integration.consumers.deployment import Deployment, a_send, until
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

ANN, BEN, EVE = UserId("ann"), UserId("ben"), UserId("eve")
ALL: tuple[StageName, ...] = ("persist", "fanout", "webhooks")
SECRET = "whsec_known"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Quick to retry, and slow to give up."""
    return settings.model_copy(update={"webhooks_allow_private": True, "webhooks_retry_seconds": 0.02})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def hook(deployment: Deployment, receiver: Receiver, owner: UserId = ANN, **more: Any) -> str:
    webhook_id = str(uuid.uuid4())
    now_ms = int(time.time() * 1000)
    given = {"url": receiver.url, "secret": SECRET, "created_ms": now_ms, "active_ms": now_ms, "enabled": True} | more
    await deployment.store.webhooks.create(StoredWebhook(webhook_id=webhook_id, owner_id=owner, **given))
    return webhook_id


async def state(deployment: Deployment, webhook_id: str) -> StoredWebhook:
    found = await deployment.store.webhooks.get(webhook_id)
    assert found is not None
    return found


async def waiting(deployment: Deployment) -> int:
    lines = [await deployment.store.deliveries.webhooks(partition) for partition in range(deployment.names.partitions)]
    return sum(map(len, lines))


async def say(deployment: Deployment, room: ConversationId, *texts: str, who: UserId = ANN) -> None:
    await deployment.send(*(a_send(room, who, text) for text in texts))


async def heard(receiver: Receiver, *texts: str) -> None:
    async def all_there() -> bool:
        return len(receiver.texts()) >= len(texts)

    await until(all_there)
    assert receiver.texts() == list(texts)


async def test_events_of_its_owner_s_conversations_arrive_signed_and_in_order(
    deployment: Deployment, receiver: Receiver
) -> None:
    webhook_id = await hook(deployment, receiver)
    texts = [f"number {number}" for number in range(50)]
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, *texts)
        await heard(receiver, *texts)

        async def nothing_waits() -> bool:
            return await waiting(deployment) == 0

        await until(nothing_waits)
    assert [one.json["event"] for one in receiver.got[:2]] == ["conversation.created", "message.created"]
    for one in receiver.got:
        stamp, mac = (part.partition("=")[2] for part in one.headers["headrace-signature"].split(","))
        expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + one.body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(mac, expected)
        assert abs(int(stamp) - time.time()) < 60
        assert one.json["webhook_id"] == webhook_id
        assert one.headers["headrace-event-id"] == one.json["event_id"]
        assert one.headers["user-agent"].startswith("Headrace")
        assert set(one.json) == {"webhook_id", "event_id", "event", "ts", "data"}
    assert len({one.json["event_id"] for one in receiver.got}) == 51
    assert await deployment.unfinished("webhooks") == 0


async def test_who_is_not_a_member_gets_nothing_and_rejections_go_to_their_sender_alone(
    deployment: Deployment, receiver: Receiver, other: Receiver
) -> None:
    """B9"""
    await hook(deployment, receiver, EVE)
    await hook(deployment, other, BEN, events=("message.created", "message.rejected"))
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "not for eve")
        await say(deployment, room, "let me in", who=EVE)
        await say(deployment, room, "the end")
        await heard(other, "not for eve", "the end")

        async def eve_was_told() -> bool:
            return len(receiver.got) == 1

        await until(eve_was_told)
    assert [one.json["event"] for one in receiver.got] == ["message.rejected"]
    assert {one.json["event"] for one in other.got} == {"message.created"}


async def test_filters_by_conversation_and_by_event(deployment: Deployment, receiver: Receiver) -> None:
    async with deployment.consumers(*ALL):
        rooms = [await deployment.room(ANN, BEN) for _ in range(2)]
        await hook(deployment, receiver, conversation_id=rooms[1], events=("message.created",))
        await say(deployment, rooms[0], "elsewhere")
        await say(deployment, rooms[1], "here")
        await heard(receiver, "here")
    assert len(receiver.got) == 1


async def test_a_failed_delivery_is_tried_again_before_the_next_and_success_clears_the_record(
    deployment: Deployment, receiver: Receiver
) -> None:
    webhook_id = await hook(deployment, receiver, events=("message.created",))
    receiver.script.extend([500, 302, 404])
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "one", "two")
        await heard(receiver, "one", "one", "one", "one", "two")

        async def forgiven() -> bool:
            return (await state(deployment, webhook_id)).failing_since_ms is None

        await until(forgiven)
    assert len({one.headers["headrace-event-id"] for one in receiver.got[:4]}) == 1
    healthy = await state(deployment, webhook_id)
    assert (healthy.failures, healthy.last_error, healthy.dropped) == (0, None, 0)


async def test_a_dead_receiver_does_not_delay_another(
    deployment: Deployment, receiver: Receiver, other: Receiver
) -> None:
    """Both of one conversation, so of one partition."""

    async def silence(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    receiver.script.extend([silence] * 10)
    await hook(deployment, receiver, ANN)
    await hook(deployment, other, BEN)
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        began = time.monotonic()
        await say(deployment, room, *map(str, range(30)))
        await heard(other, *map(str, range(30)))
        assert time.monotonic() - began < 8, "less than one time-out of the dead one"
        assert await deployment.unfinished("webhooks") == 0, "settled though not delivered: parked"


async def test_what_is_not_delivered_in_time_is_given_up_and_the_next_one_goes_on(
    deployment: Deployment, receiver: Receiver
) -> None:
    deployment.settings = deployment.settings.model_copy(update={"webhooks_give_up_seconds": 0.05})
    webhook_id = await hook(deployment, receiver, events=("message.created",))
    receiver.status = 503
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "lost")

        async def given_up() -> bool:
            return (await state(deployment, webhook_id)).dropped == 1

        await until(given_up)
        receiver.status = 204
        await say(deployment, room, "found")

        async def found() -> bool:
            return "found" in receiver.texts()

        await until(found)
    assert set(receiver.texts()) == {"lost", "found"}


@pytest.mark.parametrize(
    ("status", "limits", "reason"),
    [
        (500, {"webhooks_disable_failures": 4}, "4 attempts in a row failed"),
        (500, {"webhooks_disable_seconds": 0.01}, "nothing got through"),
        (410, {}, "the receiver answered 410 Gone"),
    ],
)
async def test_a_webhook_that_fails_for_long_is_disabled_with_the_reason(
    deployment: Deployment, receiver: Receiver, status: int, limits: dict[str, Any], reason: str
) -> None:
    deployment.settings = deployment.settings.model_copy(update=limits)
    webhook_id = await hook(deployment, receiver, events=("message.created",))
    receiver.status = status
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "one", "two", "three")

        async def disabled_and_cleared() -> bool:
            seen = await state(deployment, webhook_id)
            # Those that come after it is disabled are not even parked.
            return not seen.enabled and seen.dropped > 0 and await waiting(deployment) == 0

        await until(disabled_and_cleared)
        assert reason in ((await state(deployment, webhook_id)).disabled_reason or "")
        tries = len(receiver.got)
        await say(deployment, room, "four")
        await until(lambda: everything_is_settled(deployment))
        assert len(receiver.got) == tries
        receiver.status = 204
        await deployment.store.webhooks.enable(webhook_id, now_ms=int(time.time() * 1000))
        await say(deployment, room, "five")

        async def back() -> bool:
            return "five" in receiver.texts()

        await until(back)
    assert (await state(deployment, webhook_id)).disabled_reason is None


async def everything_is_settled(deployment: Deployment) -> bool:
    return await deployment.unfinished(*ALL) == 0


async def test_a_deleted_webhook_gets_nothing_more(deployment: Deployment, receiver: Receiver) -> None:
    webhook_id = await hook(deployment, receiver, events=("message.created",))
    receiver.status = 500
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "one")

        async def tried() -> bool:
            return len(receiver.got) > 0

        await until(tried)
        await deployment.store.webhooks.delete(webhook_id)

        async def forgotten() -> bool:
            return await waiting(deployment) == 0

        await until(forgotten)
    assert set(receiver.texts()) == {"one"}


async def test_a_full_line_drops_what_comes_and_says_so(deployment: Deployment, receiver: Receiver) -> None:
    deployment.settings = deployment.settings.model_copy(update={"webhooks_queue_entries": 5})
    webhook_id = await hook(deployment, receiver, events=("message.created",))
    receiver.status = 500
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, *map(str, range(12)))

        async def seven_dropped() -> bool:
            return (await state(deployment, webhook_id)).dropped == 7

        await until(seven_dropped)
        receiver.status = 204

        async def drained() -> bool:
            return await waiting(deployment) == 0

        await until(drained)
    assert list(dict.fromkeys(receiver.texts())) == ["0", "1", "2", "3", "4"]


async def test_nothing_is_lost_when_the_process_is_killed_between_parking_and_delivery(
    deployment: Deployment, receiver: Receiver
) -> None:
    """D4"""
    webhook_id = await hook(deployment, receiver, events=("message.created",))
    receiver.status = 500
    room = await deployment.room(ANN, BEN)
    texts = [str(number) for number in range(40)]
    async with deployment.consumers("persist", "fanout"):
        with deployment.process("webhooks", webhooks_allow_private=True, webhooks_retry_seconds=0.02):
            await say(deployment, room, *texts[:20])

            async def tried() -> bool:
                return len(receiver.got) > 3

            await until(tried)
        # Killed. The events of the second half come while nobody runs the stage.
        await say(deployment, room, *texts[20:])
        receiver.status = 204
        async with deployment.consumers("webhooks"):

            async def all_there() -> bool:
                return set(receiver.texts()) == set(texts)

            await until(all_there)
    assert list(dict.fromkeys(receiver.texts())) == texts, "in order, though some came twice"
    assert (await state(deployment, webhook_id)).dropped == 0


async def test_a_hand_over_between_workers_keeps_the_order_and_loses_nothing(
    deployment: Deployment, receiver: Receiver
) -> None:
    await hook(deployment, receiver, events=("message.created",))
    room = await deployment.room(ANN, BEN)
    texts = [str(number) for number in range(60)]
    async with deployment.consumers("persist", "fanout"):
        for at in range(0, 60, 20):
            async with deployment.consumers("webhooks"):
                await say(deployment, room, *texts[at : at + 20])

                async def some_there(at: int = at) -> bool:
                    return len(set(receiver.texts())) > at

                await until(some_there)
        async with deployment.consumers("webhooks"):

            async def all_there() -> bool:
                return set(receiver.texts()) == set(texts)

            await until(all_there)
    assert list(dict.fromkeys(receiver.texts())) == texts


async def test_a_receiver_in_a_private_network_is_refused_at_every_delivery(
    deployment: Deployment, receiver: Receiver
) -> None:
    deployment.settings = deployment.settings.model_copy(update={"webhooks_allow_private": False})
    webhook_id = await hook(deployment, receiver)
    async with deployment.consumers(*ALL):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "inside")

        async def refused() -> bool:
            return "loopback" in ((await state(deployment, webhook_id)).last_error or "")

        await until(refused)
    assert receiver.connections == 0


async def test_a_webhook_gets_nothing_from_before_it_was_made(deployment: Deployment, receiver: Receiver) -> None:
    """A stage that was behind, or run for the first time, begins with old events."""
    async with deployment.consumers("persist", "fanout"):
        room = await deployment.room(ANN, BEN)
        await say(deployment, room, "old")
        await until(lambda: everything_of(deployment, "persist", "fanout"))
    later = int(time.time() * 1000) + 120_000
    await hook(deployment, receiver, active_ms=later)
    async with deployment.consumers("webhooks"):
        await until(lambda: everything_is_settled(deployment))
    assert receiver.got == []


async def everything_of(deployment: Deployment, *stages: StageName) -> bool:
    return await deployment.unfinished(*stages) == 0


async def test_the_stage_goes_on_behind_what_was_cut(deployment: Deployment, receiver: Receiver) -> None:
    """B14: cut beyond its max_lag, the stage loses what was cut, and nothing else."""
    await hook(deployment, receiver, events=("message.created",))
    room = await deployment.room(ANN, BEN)
    stage = STAGES["webhooks"]._replace(max_lag=3)
    partition = deployment.names.partition_of(room)
    async with deployment.consumers("webhooks"):
        await until(lambda: everything_of(deployment, "webhooks"))
    async with deployment.consumers("persist", "fanout"):
        await say(deployment, room, *map(str, range(10)))
        await until(lambda: everything_of(deployment, "persist", "fanout"))
    token = await Leases(deployment.redis, STAGES["fanout"], "trimmer", lease_ms=60_000).acquire(partition)
    assert token is not None
    owner = Partition(deployment.redis, STAGES["fanout"], partition, token)
    trimmed = await owner.trim(max_age_seconds=3600, max_entries=4, stages=[STAGES["fanout"], stage])
    assert trimmed.lost == {"webhooks": 7}
    async with deployment.consumers("webhooks"):
        await heard(receiver, "6", "7", "8", "9")
